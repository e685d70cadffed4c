import { useEffect, useState } from "preact/hooks";
import type { ScenarioRun, Verdict } from "itsbox-client";
import { clip, shown, violationOf } from "../logic/shapes";
import { client } from "../state/api";
import { loadArch } from "../state/arch";
import { catalogue, loadCatalogue } from "../state/catalogue";
import { hashOf } from "../state/router";
import { Chip, Empty, Note, Panel } from "../ui/marks";
import { Choice } from "./new-session";
import { MatrixPanel } from "./matrix";
import { EvidenceList, pageLink } from "./violations";

type Side = { preset: string; run: ScenarioRun | null; busy: boolean; error: string | null };
const side = (preset: string): Side => ({ preset, run: null, busy: false, error: null });

export function ScenariosPage() {
  useEffect(() => {
    void loadCatalogue();
    void loadArch();
  }, []);
  const { scenarios, presets, profiles, error } = catalogue.value;
  const [name, setName] = useState("A4");
  const [profile, setProfile] = useState("");
  const [sides, setSides] = useState<[Side, Side]>([side("off"), side("strict")]);
  const chosen = scenarios.find((each) => each.name === name);
  const set = (index: 0 | 1, change: Partial<Side>): void =>
    setSides((before) => before.map((each, at) => (at === index ? { ...each, ...change } : each)) as [Side, Side]);

  const run = async (scenario: string, at: 0 | 1, preset: string): Promise<void> => {
    set(at, { preset, busy: true, error: null, run: null });
    try {
      const answer = await client.runScenario(scenario, { hardening: preset, ...(profile ? { profile } : {}) });
      set(at, { run: answer, busy: false });
    } catch (problem) {
      set(at, { busy: false, error: (problem as Error).message });
    }
  };
  const both = (): void => {
    void run(name, 0, sides[0].preset);
    void run(name, 1, sides[1].preset);
  };
  const names = scenarios.length > 0 ? scenarios : [{ name: "A4", title: "", doc: "", profile: null }];
  return (
    <div class="page">
      <div>
        <h1>Scenarios</h1>
        <p class="lead">
          The same attack against two hypervisors: what the first one lets through, the second may refuse. Each run leaves a session that you can open
          and walk through event by event.
        </p>
      </div>
      {error && <Note tone="bad">{error.message}</Note>}
      <Panel title="Side by side">
        <div class="form">
          <div class="row fields">
            <label class="field grow">
              Attack or story
              <select value={name} onChange={(event) => setName(event.currentTarget.value)}>
                {names.map((each) => (
                  <option key={each.name} value={each.name} selected={each.name === name}>
                    {each.title ? `${each.name}: ${clip(each.title, 90)}` : each.name}
                  </option>
                ))}
              </select>
            </label>
            {([0, 1] as const).map((index) => (
              <Choice
                key={`${index} ${sides[index].preset}`}
                name={`preset${index}`}
                label={index === 0 ? "Left" : "Right"}
                options={presets.map((each) => [each.name, each.name])}
                initial={sides[index].preset}
                onChange={(preset) => set(index, { preset })}
              />
            ))}
            <Choice name="profile" label="Profile" options={[["", "the scenario's own"], ...profiles.map((each) => [each.name, each.name] as const)]} initial={profile} onChange={setProfile} />
            <button type="button" class="primary" onClick={both} disabled={sides[0].busy || sides[1].busy}>
              Run both
            </button>
          </div>
          {chosen?.doc && <p class="soft">{chosen.doc}</p>}
        </div>
      </Panel>
      <div class="cols wide" aria-live="polite">
        {sides.map((each, index) => (
          <Outcome key={index} side={each} where={index === 0 ? "Left" : "Right"} />
        ))}
      </div>
      <MatrixPanel
        scenarios={names.map((each) => each.name)}
        presets={presets.map((each) => each.name)}
        onPick={(scenario, preset) => {
          setName(scenario);
          void run(scenario, 0, preset);
          void run(scenario, 1, sides[1].preset);
          document.querySelector("main")?.scrollTo({ top: 0 });
        }}
      />
    </div>
  );
}

export const VERDICTS: Record<Verdict, { letter: string; text: string }> = {
  isolated: { letter: "I", text: "isolated: tried to its end, and memory stayed apart" },
  violated: { letter: "V", text: "violated: the attack got through" },
  wedged: { letter: "W", text: "wedged: the command queue no longer moves" },
  error: { letter: "E", text: "error: the scenario could not be run" },
};

function Outcome({ side: { preset, run, busy, error }, where }: { side: Side; where: string }) {
  return (
    <Panel title={`${where}: ${preset}`} tools={run && <b class={`chip v-${run.verdict}`}>{run.verdict}</b>}>
      {busy && <Empty title="Running…" />}
      {error && <Note tone="bad">{error}</Note>}
      {!busy && !error && !run && <Empty title="Not run yet" />}
      {run && (
        <div class="detail">
          <p>{VERDICTS[run.verdict]?.text ?? run.verdict}</p>
          {typeof run.detail === "string" && <p class="soft">{run.detail}</p>}
          <Steps value={run.steps} />
          <h3>Refusals ({run.refusals?.length ?? 0})</h3>
          {run.refusals?.length ? (
            <ul class="plainlist mono">
              {run.refusals.slice(0, 100).map((refusal, index) => (
                <li key={index}>{refusalText(refusal)}</li>
              ))}
            </ul>
          ) : (
            <p class="soft">Nothing was refused.</p>
          )}
          <h3>Violations ({run.violations?.length ?? 0})</h3>
          {run.violations?.length ? (
            run.violations.slice(0, 20).map((violation, index) => {
              const row = violationOf(violation);
              return (
                <section key={index} class="evidence">
                  <div class="row">
                    <Chip tone="bad">▲ {row.oracle}</Chip> <span class="mono soft">{row.bucket}</span>
                  </div>
                  <p>{row.sentence}</p>
                  <EvidenceList evidence={row.evidence} pageLink={run.session ? pageLink(run.session, null) : null} />
                </section>
              );
            })
          ) : (
            <p class="soft">The oracle saw none.</p>
          )}
          {run.session && (
            <p>
              <a href={hashOf({ page: "session", id: run.session, view: "timeline", at: null })}>Open the session of this run</a>
            </p>
          )}
        </div>
      )}
    </Panel>
  );
}

interface Step {
  text: string;
  acts: { op: string; result: string }[];
}

/** Steps in a row with one text are one step that took several ops. */
function stepsOf(value: unknown): Step[] {
  const steps: Step[] = [];
  for (const item of Array.isArray(value) ? value : []) {
    const { text, op, result } = (item ?? {}) as Record<string, unknown>;
    const last = steps.at(-1);
    const act = { op: shown(op), result: shown(result) };
    if (last && last.text === shown(text)) last.acts.push(act);
    else steps.push({ text: shown(text), acts: [act] });
  }
  return steps;
}

function Steps({ value }: { value: unknown }) {
  const steps = stepsOf(value);
  if (steps.length === 0) return null;
  return (
    <>
      <h3>What was done, and what came of it</h3>
      <ol class="steps">
        {steps.map((step, index) => (
          <li key={index}>
            {step.text}
            {step.acts.map((act, at) => (
              <div key={at} class={`act mono ${/refus|abort|violat/i.test(act.result) ? "hit" : ""}`}>
                <span title={act.op}>{clip(act.op, 90)}</span> <b>→ {clip(act.result, 160)}</b>
              </div>
            ))}
          </li>
        ))}
      </ol>
    </>
  );
}

function refusalText(value: unknown): string {
  if (typeof value !== "object" || value === null) return shown(value);
  const { reason, ...rest } = value as Record<string, unknown>;
  const facts = Object.entries(rest)
    .filter(([, item]) => item !== null && item !== undefined)
    .map(([name, item]) => `${name} ${shown(item)}`);
  return [shown(reason), ...facts].join(" · ");
}
