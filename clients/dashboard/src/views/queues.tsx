import { useCallback, useState } from "preact/hooks";
import type { Queue, Queues } from "itsbox-client";
import { decode, oneLine } from "../logic/decode";
import type { SlotRecord } from "../logic/fold";
import { isWaiting, slotAt, waiting, type QueuePointers } from "../logic/rings";
import { pointersOf, shown } from "../logic/shapes";
import { arch } from "../state/arch";
import { useLook } from "../state/look";
import type { SessionModel } from "../state/session";
import { Canvas, type Drawing } from "../ui/canvas";
import { Chip, Empty, LookNote, Note, Panel, Scroll } from "../ui/marks";
import { drawRing, radii } from "../ui/ring";

export function QueuesView({ model }: { model: SessionModel }) {
  const look = useLook<Queues>(model, "queues", (c, id, signal) => c.queues(id, signal)).value;
  const fold = model.fold();
  const { data } = look;
  const folded = model.past.value.state === "unavailable" || model.past.value.state === "building";
  return (
    <>
      <LookNote look={look} past={model.past.value} />
      {folded && (
        <Note tone="past">
          What became of each slot is told by the events up to {fold.seq}
          {fold.consumed === null ? "" : `; by then the hypervisor had taken the host's commands up to byte ${fold.consumed}`}. Pointers and slots are
          those of {model.past.value.state === "building" ? "the moment before" : "now"}.
        </Note>
      )}
      {data && (
        <>
          <ul class="legend" aria-label="Legend">
            <li>
              <Hand tone="read" letter="R" /> CREADR
            </li>
            <li>
              <Hand tone="write" letter="W" /> CWRITER
            </li>
            <li>
              <Hand tone="cursor" letter="C" /> the hypervisor's own cursor
            </li>
            {(["executed", "waiting", "refused", "error", "stalled"] as const).map((kind) => (
              <li key={kind}>
                <i class={`slot s-${kind}`} aria-hidden="true" /> {kind}
              </li>
            ))}
          </ul>
          <div class="cols">
            {data.host ? (
              <OneQueue title="Host queue" about="what the host writes; the hypervisor copies from here" queue={data.host} slots={null} fold={fold.slots} />
            ) : (
              <Panel title="Host queue">
                <Empty title="There is none yet">Before the switch-over the host and the hardware share one queue.</Empty>
              </Panel>
            )}
            <OneQueue title="Hardware queue" about="what the ITS reads, at GITS_CBASER" queue={data.hw} slots={fold.slots} fold={fold.slots} />
          </div>
        </>
      )}
    </>
  );
}

const Hand = ({ tone, letter }: { tone: string; letter: string }) => <b class={`hand h-${tone}`}>{letter}</b>;

interface One {
  title: string;
  about: string;
  queue: Queue;
  slots: ReadonlyMap<number, SlotRecord> | null;
  fold: ReadonlyMap<number, SlotRecord>;
}

function OneQueue({ title, about, queue, slots, fold }: One) {
  const pointers = pointersOf(queue);
  const [hover, setHover] = useState<number | null>(null);
  const records = slots ?? fold;
  const draw = useCallback(
    (drawing: Drawing) => drawRing(drawing, { pointers, slots: records, stalled: queue.stalled, hover, title }),
    [queue, records, records.size, hover],
  );
  const turn = (by: number): void => {
    const from = hover ?? pointers.read;
    setHover(pointers.slots > 0 ? (from + by + pointers.slots) % pointers.slots : null);
  };
  return (
    <Panel
      title={title}
      tools={
        <span class="row">
          {queue.stalled && <Chip tone="bad">stalled</Chip>}
          <Chip tone={waiting(pointers) > 0 ? "accent" : ""}>{waiting(pointers)} waiting</Chip>
        </span>
      }
    >
      <p class="soft">
        {about}; base <span class="mono">{shown(queue.base)}</span>
      </p>
      <Canvas
        class="ring"
        label={`${title}: ring of ${pointers.slots} slots, read pointer at slot ${pointers.read}, write pointer at slot ${pointers.write}. Arrow keys walk the slots; the table below has the same.`}
        draw={draw}
        onPoint={(x, y, width, height) => {
          const { inner, outer } = radii(width, height);
          setHover(slotAt(x - width / 2, y - height / 2, inner - 6, outer + 6, pointers.slots));
        }}
        onLeave={() => setHover(null)}
        onKeyDown={(event) => {
          const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
          if (by === undefined) return;
          event.preventDefault();
          turn(by);
        }}
      />
      <p class="tip" aria-live="polite">
        {hover === null ? "Point at a slot, or focus the ring and use the arrow keys." : slotText(hover, queue, records, pointers)}
      </p>
      <QueueTable title={title} queue={queue} records={records} pointers={pointers} />
      <SeenTable title={title} records={records} />
    </Panel>
  );
}

function slotText(slot: number, queue: Queue, records: ReadonlyMap<number, SlotRecord>, pointers: QueuePointers): string {
  const record = records.get(slot);
  const entry = queue.entries?.find((each) => each.slot === slot);
  const words = entry?.words ?? record?.words;
  const place = `slot ${slot} (byte 0x${(slot * 32).toString(16)})`;
  if (!words) return `${place}: nothing was seen here`;
  const decoded = decode(words, arch.value.commands, entry?.name ?? record?.name ?? null);
  const fate = isWaiting(slot, pointers) ? "waiting" : record ? `${record.verdict}${record.why ? `: ${record.why}` : ""} (event ${record.seq})` : "";
  return `${place}: ${decoded.name ?? "unknown opcode"} ${oneLine(decoded)}${fate && ` · ${fate}`}`;
}

/** Every slot that the ring shows: what was seen in it last, newest first. */
function SeenTable({ title, records }: { title: string; records: ReadonlyMap<number, SlotRecord> }) {
  const [open, setOpen] = useState(false);
  const newest = open ? [...records.values()].sort((a, b) => b.seq - a.seq) : [];
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="soft">All slots of the ring that were seen ({records.size.toLocaleString("en")})</summary>
      <Scroll label={`${title}: all slots seen`} class="short">
        <table>
          <thead>
            <tr>
              <th class="num">slot</th>
              <th>command</th>
              <th>fields</th>
              <th>fate</th>
              <th class="num">event</th>
            </tr>
          </thead>
          <tbody>
            {newest.map((record) => (
              <tr key={record.slot}>
                <th scope="row" class="num">
                  {record.slot}
                </th>
                <td class="mono">{record.name ?? "–"}</td>
                <td class="mono wrap">{oneLine(decode(record.words, arch.value.commands, record.name)) || record.words.join(" ")}</td>
                <td>{record.why ? `${record.verdict}: ${record.why}` : record.verdict}</td>
                <td class="num">{record.seq}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </details>
  );
}

function QueueTable({ title, queue, records, pointers }: { title: string; queue: Queue; records: ReadonlyMap<number, SlotRecord>; pointers: QueuePointers }) {
  const entries = queue.entries ?? [];
  return (
    <Scroll label={`${title}: slots around the pointers`} class="short">
      <table>
        <caption>
          Slots around the pointers: CREADR <span class="mono">{shown(queue.creadr)}</span>, CWRITER <span class="mono">{shown(queue.cwriter)}</span>
          {queue.consumed !== null && queue.consumed !== undefined && (
            <>
              , consumed <span class="mono">{shown(queue.consumed)}</span>
            </>
          )}
        </caption>
        <thead>
          <tr>
            <th class="num">slot</th>
            <th>command</th>
            <th>fields</th>
            <th>fate</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => {
            const decoded = decode(entry.words ?? [], arch.value.commands, entry.name);
            const record = records.get(entry.slot);
            const same = record !== undefined && record.words.join() === (entry.words ?? []).join();
            const marks = [entry.slot === pointers.read && "R", entry.slot === pointers.write && "W", entry.slot === pointers.consumed && "C"];
            return (
              <tr key={entry.slot}>
                <th scope="row" class="num">
                  {marks.map((mark) => mark && <Hand key={mark} tone={mark === "R" ? "read" : mark === "W" ? "write" : "cursor"} letter={mark} />)} {entry.slot}
                </th>
                <td class="mono">{entry.name ?? decoded.name ?? "–"}</td>
                <td class="mono wrap">{decoded.fields.length > 0 ? oneLine(decoded) : (entry.words ?? []).join(" ")}</td>
                <td>
                  {isWaiting(entry.slot, pointers) ? (
                    <Chip tone="accent">waiting</Chip>
                  ) : same ? (
                    <Chip tone={record.verdict === "executed" ? "good" : "bad"}>{record.why ? `${record.verdict}: ${record.why}` : record.verdict}</Chip>
                  ) : null}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
