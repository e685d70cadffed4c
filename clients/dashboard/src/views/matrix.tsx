import { useRef, useState } from "preact/hooks";
import type { Verdict } from "itsbox-client";
import { client } from "../state/api";
import { Empty, Note, Panel, Scroll } from "../ui/marks";
import { VERDICTS } from "./scenarios";

interface Props {
  scenarios: string[];
  presets: string[];
  onPick: (scenario: string, preset: string) => void;
}

/** Every scenario against every preset. A row is one request, so that the picture grows while it is computed. */
export function MatrixPanel({ scenarios, presets, onPick }: Props) {
  const [cells, setCells] = useState<Record<string, Record<string, Verdict>>>({});
  const [busy, setBusy] = useState<{ done: number; total: number } | null>(null);
  const [error, setError] = useState<string | null>(null);
  const stop = useRef(false);
  const compute = async (): Promise<void> => {
    stop.current = false;
    setError(null);
    const failed: string[] = [];
    for (const [index, scenario] of scenarios.entries()) {
      if (stop.current) break;
      setBusy({ done: index, total: scenarios.length });
      try {
        const matrix = await client.matrix([scenario], presets);
        setCells((before) => ({ ...before, ...matrix.cells }));
      } catch (problem) {
        failed.push(`${scenario}: ${(problem as Error).message}`);
        if (failed.length >= 3) break;
      }
    }
    setBusy(null);
    if (failed.length > 0) setError(failed.join("; "));
  };
  const known = scenarios.filter((scenario) => cells[scenario]);
  return (
    <Panel
      title="The matrix"
      tools={
        <span class="row">
          {busy && (
            <>
              <progress max={busy.total} value={busy.done} aria-label="Rows computed" />
              <span class="mono soft">
                {busy.done} of {busy.total}
              </span>
            </>
          )}
          <button type="button" class={busy ? "" : "primary"} onClick={() => (busy ? (stop.current = true) : void compute())} disabled={presets.length === 0}>
            {busy ? "Stop" : "Compute"}
          </button>
        </span>
      }
    >
      <div class="detail">
        {error && <Note tone="bad">{error}</Note>}
        <ul class="legend" aria-label="Verdicts">
          {Object.entries(VERDICTS).map(([verdict, { letter, text }]) => (
            <li key={verdict}>
              <b class={`vkey v-${verdict}`}>{letter}</b> {text}
            </li>
          ))}
        </ul>
        {known.length === 0 ? (
          <Empty title="Not computed yet">{`${scenarios.length} scenarios against ${presets.length} presets; each cell runs one.`}</Empty>
        ) : (
          <Scroll label="Verdict of each scenario under each preset">
            <table class="heat">
              <thead>
                <tr>
                  <td />
                  {presets.map((preset) => (
                    <th key={preset} scope="col">
                      <span>{preset}</span>
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {known.map((scenario) => (
                  <tr key={scenario}>
                    <th scope="row">{scenario}</th>
                    {presets.map((preset) => {
                      const verdict = cells[scenario]?.[preset];
                      return (
                        <td key={preset}>
                          {verdict && (
                            <button
                              type="button"
                              class={`v-${verdict}`}
                              title={`${scenario} under ${preset}: ${verdict}`}
                              aria-label={`${scenario} under ${preset}: ${verdict}; run it`}
                              onClick={() => onPick(scenario, preset)}
                            >
                              {VERDICTS[verdict]?.letter ?? "?"}
                            </button>
                          )}
                        </td>
                      );
                    })}
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </div>
    </Panel>
  );
}
