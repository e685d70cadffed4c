import { useState } from "preact/hooks";
import type { OpAnswer, Session } from "itsbox-client";
import { asCurl, asJson } from "../logic/copies";
import { apiKey, baseUrl, client } from "../state/api";
import type { SessionModel } from "../state/session";
import { Chip, Copy, Empty, Note, Panel } from "../ui/marks";

interface Sent {
  id: number;
  body: Record<string, unknown>;
  answer: OpAnswer | null;
  error: string | null;
}

/** Ready-made ops: what somebody new tries first, written with this machine's own addresses. */
function examples(session: Session | null): [string, Record<string, unknown>][] {
  const its = BigInt(session?.map.its ?? "0x8080000");
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  return [
    ["Read GITS_TYPER", { op: "mmio_read", addr: hex(its + 0x8n), size: 8 }],
    ["Read GITS_CREADR", { op: "mmio_read", addr: hex(its + 0x90n), size: 4 }],
    ["Driver: probe", { op: "driver", call: "probe", args: {} }],
    ["Driver: deprivilege", { op: "driver", call: "deprivilege", args: {} }],
    ["Driver: map a device", { op: "driver", call: "map_device", args: { device_id: 16, events: 3 } }],
    ["Device 16 raises MSI 0", { op: "msi", device_id: 16, event_id: 0 }],
    ["CPU 0 acknowledges", { op: "ack", cpu: 0 }],
    ["Attack: write to hypervisor memory", { op: "store", addr: session?.map.hyp ?? "0x4ff00000", hex: "deadbeef" }],
    ["Attack: point GITS_BASER0 at it", { op: "mmio_write", addr: hex(its + 0x100n), size: 8, value: `0x81070000${(session?.map.hyp ?? "0x4ff00000").slice(2)}` }],
    ["Hypercall that does not exist", { op: "hvc", function: "__pkvm_no_such_call", args: [] }],
  ];
}

export function DriveView({ model }: { model: SessionModel }) {
  const [text, setText] = useState('{\n  "op": "mmio_read",\n  "addr": "0x8080008",\n  "size": 8\n}');
  const [sent, setSent] = useState<Sent[]>([]);
  const live = model.cursor.value === null;
  const run = async (source: string): Promise<void> => {
    let body: Record<string, unknown>;
    try {
      body = JSON.parse(source) as Record<string, unknown>;
    } catch (error) {
      setSent((before) => [{ id: Date.now(), body: {}, answer: null, error: `This is not JSON: ${String(error)}` }, ...before]);
      return;
    }
    const entry: Sent = { id: Date.now() + Math.random(), body, answer: null, error: null };
    try {
      entry.answer = (await client.run(model.id, [body as never])).results[0] ?? null;
    } catch (error) {
      entry.error = (error as Error).message;
    }
    setSent((before) => [entry, ...before].slice(0, 50));
  };
  return (
    <>
      <p class="lead">Be the host kernel, honest or not: each op goes to the machine as it is now, and its answer says whether isolation held.</p>
      {!live && <Note tone="past">The past is shown, but an op always goes to the live machine.</Note>}
      <div class="cols">
        <Panel title="Send an op" tools={<Copy text={() => asCurl({ method: "POST", url: `${baseUrl}/v1/sessions/${model.id}/ops`, body: { ops: [safeParse(text)] } }, apiKey.peek() !== null)}>Copy as curl</Copy>}>
          <div class="detail">
            <div class="row">
              {examples(model.info.value).map(([label, op]) => (
                <button key={label} type="button" onClick={() => setText(JSON.stringify(op, null, 2))}>
                  {label}
                </button>
              ))}
            </div>
            <textarea
              class="mono"
              rows={8}
              aria-label="Op as JSON; Control and Enter send it"
              value={text}
              spellcheck={false}
              onInput={(event) => setText(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void run(text);
              }}
            />
            <div class="row">
              <button type="button" class="primary" onClick={() => void run(text)}>
                Send
              </button>
              <span class="soft">
                or <kbd>Ctrl</kbd> <kbd>Enter</kbd>
              </span>
            </div>
          </div>
        </Panel>
        <Panel title="Answers">
          {sent.length === 0 ? (
            <Empty title="Nothing sent yet">Pick an example and send it.</Empty>
          ) : (
            <div class="detail" aria-live="polite">
              {sent.map((entry) => (
                <Answer key={entry.id} entry={entry} />
              ))}
            </div>
          )}
        </Panel>
      </div>
    </>
  );
}

function safeParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function Answer({ entry: { body, answer, error } }: { entry: Sent }) {
  const outcome = answer?.outcome ?? "error";
  const violated = (answer?.violations?.length ?? 0) > 0;
  return (
    <section class="evidence">
      <div class="row">
        <b class="mono">{String(body.op ?? "?")}</b>
        <Chip tone={error ? "bad" : outcome === "ok" ? "good" : "warn"}>{error ? "problem" : outcome}</Chip>
        {answer?.reason && <Chip tone="warn">{answer.reason}</Chip>}
        {violated && <Chip tone="bad">▲ {answer!.violations!.length} violations</Chip>}
      </div>
      <pre>{error ?? asJson(answer)}</pre>
    </section>
  );
}
