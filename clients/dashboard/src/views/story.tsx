import { useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { OpAnswer } from "itsbox-client";
import { shown } from "../logic/shapes";
import { client } from "../state/api";
import { hashOf } from "../state/router";
import { Chip, Note, Panel } from "../ui/marks";

const DEVICE = { device_id: 16, events: 3 };

interface Run {
  session: string | null;
  /** steps done: 0 none .. 4 all */
  done: number;
  lines: string[];
  diagnosis: Record<string, unknown> | null;
  strict: string[] | null;
}

const NOTHING: Run = { session: null, done: 0, lines: [], diagnosis: null, strict: null };

const logOf = (answer: OpAnswer): string[] => (Array.isArray(answer.log) ? answer.log.map(shown) : []);

async function boot(preset: string): Promise<string> {
  return (await client.create({ profile: "snapdragon", hardening: preset, start: "host", metadata: { story: "hang", preset } })).id;
}

const COMPLAINT = /timeout|failed/;

/** The boot hang reported on the mailing list, step by step on a machine of that kind. */
export function StoryPage() {
  const [run, setRun] = useState<Run>(NOTHING);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);

  const steps: ((before: Run) => Promise<Run>)[] = [
    async () => ({ ...NOTHING, done: 1, session: await boot("rfc-v1") }),
    async (before) => {
      const answer = await client.driver(before.session!, "deprivilege", {});
      return { ...before, done: 2, lines: [...before.lines, ...logOf(answer)] };
    },
    async (before) => {
      const answer = await client.driver(before.session!, "map_device", DEVICE);
      return { ...before, done: 3, lines: [...before.lines, ...logOf(answer)] };
    },
    async (before) => {
      return { ...before, done: 4, diagnosis: await client.diagnosis(before.session!) };
    },
    async (before) => {
      const session = await boot("strict");
      const log = logOf(await client.driver(session, "deprivilege", {}));
      log.push(...logOf(await client.driver(session, "map_device", DEVICE)));
      return { ...before, done: 5, strict: log };
    },
  ];
  const advance = async (upTo: number): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      let state = run.done >= steps.length ? NOTHING : run;
      while (state.done < upTo) {
        state = await steps[state.done]!(state);
        setRun(state);
      }
    } catch (problem) {
      setError((problem as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const open = (view: "queues" | "events" | "refusals") => run.session && <a href={hashOf({ page: "session", id: run.session, view, at: null })}>{view}</a>;
  return (
    <div class="page narrow">
      <div>
        <h1>The hang</h1>
        <p class="lead">
          A tester of the RFC wrote: “the kernel hangs at boot for me”. His eight-core machine printed “ITS queue timeout (1056 1024)” and three more
          like it; the author saw nothing of the kind under QEMU. Here the same hypervisor runs on the same kind of machine, and you can look inside.
        </p>
      </div>
      <div class="row">
        <button type="button" class="primary" disabled={busy} onClick={() => void advance(run.done >= steps.length ? 1 : run.done + 1)}>
          {run.done === 0 ? "Begin" : run.done >= steps.length ? "Begin again" : "Next step"}
        </button>
        <button type="button" disabled={busy || run.done >= steps.length} onClick={() => void advance(steps.length)}>
          Run it to the end
        </button>
        {busy && <span class="soft">running…</span>}
      </div>
      {error && <Note tone="bad">{error}</Note>}
      <ol class="story">
        <Step at={1} done={run.done} title="A machine boots">
          <p>
            Profile <code>snapdragon</code>: eight CPUs, a command queue that is not cache-coherent. The hypervisor is <code>rfc-v1</code>, bug for bug. Each
            CPU's bring-up posts four commands of 32 bytes, so the queue stands at byte 8 × 128 = 1024 when the boot is over.
          </p>
          {run.session && (
            <p>
              Session <code>{run.session}</code>: {open("events")}, {open("queues")}, {open("refusals")}.
            </p>
          )}
        </Step>
        <Step at={2} done={run.done} title="The host gives up its privileges">
          <p>
            pKVM initialises: stage 2 is switched on, the ITS frame is unmapped, the driver's queue is replaced by a host copy. From here on each write to
            CWRITER traps, and the hypervisor copies the commands, checks them and passes them on.
          </p>
        </Step>
        <Step at={3} done={run.done} title="The first device asks for three interrupts">
          <p>
            The driver posts MAPD (32 bytes, to 1056), then three times MAPTI with SYNC (64 bytes each: 1120, 1184, 1248), and waits for CREADR to follow.
          </p>
          {run.lines.length > 0 && <Log lines={run.lines} />}
        </Step>
        <Step at={4} done={run.done} title="Why the queue does not move">
          <p>
            The second number never changes and is even: the hardware is not stalled, it was never told. The hypervisor's own record says which command it
            refused, and each explanation can be held against what the machine shows.
          </p>
          {run.diagnosis && <Diagnosis value={run.diagnosis} />}
        </Step>
        <Step at={5} done={run.done} title="The same under strict">
          <p>
            With the test the right way round, an aligned ITT is what one wants to see. The same machine and the same driver calls under the preset{" "}
            <code>strict</code>:
          </p>
          {run.strict && (
            <>
              {run.strict.length > 0 && <Log lines={run.strict} />}
              {!run.strict.some((line) => COMPLAINT.test(line)) && <p class="good">The driver has nothing to complain about: all four commands were carried out.</p>}
            </>
          )}
        </Step>
      </ol>
    </div>
  );
}

function Step({ at, done, title, children }: { at: number; done: number; title: string; children: ComponentChildren }) {
  return (
    <li class={done >= at ? "done" : ""} aria-current={done + 1 === at ? "step" : undefined}>
      <Panel title={title}>
        <div class="detail">{children}</div>
      </Panel>
    </li>
  );
}

function Log({ lines }: { lines: string[] }) {
  return (
    <div class="console" role="group" aria-label="Kernel log" tabIndex={0}>
      {lines.map((line, index) => (
        <div key={index} class={COMPLAINT.test(line) ? "hot" : ""}>
          {line}
        </div>
      ))}
    </div>
  );
}

type Bag = Record<string, unknown>;
const isBag = (value: unknown): value is Bag => typeof value === "object" && value !== null && !Array.isArray(value);

/** GET .../diagnosis: what was refused, the pointers on both sides, the bytes that wait, each hypothesis judged. */
function Diagnosis({ value }: { value: Bag }) {
  const { hypotheses, last_refused: refused, host, hw, at_creadr: bytes, ...facts } = value;
  const rows = Array.isArray(hypotheses) ? hypotheses.filter(isBag) : [];
  const sides = [isBag(host) ? host : {}, isBag(hw) ? hw : {}] as const;
  const pointers = [...new Set(sides.flatMap((side) => Object.keys(side)))];
  return (
    <>
      {isBag(refused) && (
        <p>
          Refused: <b class="mono">{shown(refused.name)}</b> in slot {shown(refused.slot)}, <Chip tone="bad">{shown(refused.reason)}</Chip>{" "}
          <span class="mono nowrap">-{shown(refused.errno)}</span>. {shown(refused.sentence)}
        </p>
      )}
      <div class="scroll" role="group" aria-label="Pointers" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th>pointer</th>
              <th class="num">host</th>
              <th class="num">hardware</th>
            </tr>
          </thead>
          <tbody>
            {pointers.map((name) => (
              <tr key={name}>
                <th scope="row">{name.replaceAll("_", " ")}</th>
                {sides.map((side, index) => (
                  <td key={index} class="num">
                    {name in side ? shown(side[name]) : ""}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <dl class="kv">
        {Object.entries(isBag(bytes) ? bytes : {}).map(([name, item]) => (
          <Fact key={name} name={name === "offset" ? "read offset" : `bytes there: ${name}`} value={item} />
        ))}
        {Object.entries(facts)
          .filter(([, item]) => !(Array.isArray(item) && item.length === 0))
          .map(([name, item]) => (
            <Fact key={name} name={name} value={item} />
          ))}
      </dl>
      <div class="scroll" role="group" aria-label="Hypotheses" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th>hypothesis</th>
              <th>verdict</th>
              <th>what the machine shows</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={shown(row.hypothesis)}>
                <th scope="row">
                  <b class="mono">{shown(row.hypothesis)}</b> {shown(row.says)}
                </th>
                <td>
                  <Chip tone={row.verdict === "confirmed" ? "bad" : row.verdict === "contradicted" ? "" : "warn"}>{shown(row.verdict)}</Chip>
                </td>
                <td>{shown(row.evidence)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const Fact = ({ name, value }: { name: string; value: unknown }) => (
  <div class="pair">
    <dt>{name.replaceAll("_", " ")}</dt>
    <dd>{shown(value)}</dd>
  </div>
);
