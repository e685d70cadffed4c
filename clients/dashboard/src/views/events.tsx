import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { familyOf } from "../logic/bins";
import { NOTICE_TYPES } from "../logic/buffer";
import { FilteredRows, matcher } from "../logic/filter";
import { refusalOf } from "../logic/groups";
import { summary } from "../logic/summary";
import type { SessionModel } from "../state/session";
import { useKeys } from "../ui/keys";
import { Empty, Note } from "../ui/marks";
import { Menu } from "../ui/menu";
import { VirtualGrid } from "../ui/virtual";
import { EventDetail } from "./event-detail";
import { inNextFrame } from "../state/frame";

/** Rows that one frame looks at for a new filter: a search through everything kept takes a few frames, never a freeze. */
const ROWS_PER_FRAME = 2500;

export function EventsView({ model }: { model: SessionModel }) {
  const { feed } = model;
  const { history } = feed;
  void feed.version.value;
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [text, setText] = useState("");
  const [stick, setStick] = useState(true);
  const [selected, setSelected] = useState<number | null>(null);
  const [goTo, setGoTo] = useState<{ index: number; token: number } | null>(null);
  const [, again] = useState(0);
  const search = useRef<HTMLInputElement>(null);

  const rows = useMemo(() => new FilteredRows(history.buffer, { hidden, text }), [history]);
  useEffect(() => {
    rows.setFilter({ hidden, text });
    again((n) => n + 1);
  }, [rows, hidden, text]);
  rows.advance(ROWS_PER_FRAME);
  if (rows.behind > 0) inNextFrame(() => again((n) => n + 1));

  const at = model.cursor.value;
  const count = at === null ? rows.length : rows.countUpTo(at);
  const paused = feed.paused.value;
  const types = [...history.head.byType].sort(([a], [b]) => a.localeCompare(b)).filter(([type]) => !NOTICE_TYPES.has(type));
  const chosen = selected === null ? undefined : history.buffer.at(history.buffer.seek(selected));
  const selectedIndex = selected === null ? null : rows.countUpTo(selected) - 1;
  const wanted = useMemo(() => matcher({ hidden, text }), [hidden, text]);

  const jump = (seq: number): void => {
    const index = Math.max(0, rows.countUpTo(seq) - 1);
    setStick(false);
    setSelected(rows.row(index)?.seq ?? null);
    setGoTo((before) => ({ index, token: (before?.token ?? 0) + 1 }));
  };
  useKeys({
    "/": () => search.current?.focus(),
    " ": () => feed.setPaused(!paused),
    Escape: () => setSelected(null),
  });
  useEffect(() => {
    if (at !== null) jump(at);
  }, [at]);

  return (
    <>
      <div class="row" role="search">
        <input
          ref={search}
          type="search"
          class="grow"
          value={text}
          placeholder="Search in events ( / )"
          aria-label="Search in events"
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <Menu title={hidden.size > 0 ? `Types (${hidden.size} hidden)` : "Types"} legend="Types of events to show">
            <div class="row">
              <button type="button" onClick={() => setHidden(new Set())}>
                All
              </button>
              <button type="button" onClick={() => setHidden(new Set(types.map(([type]) => type)))}>
                None
              </button>
            </div>
            {types.map(([type, seen]) => (
              <label key={type} class="check">
                <input
                  type="checkbox"
                  checked={!hidden.has(type)}
                  onChange={(event) => {
                    const next = new Set(hidden);
                    if (event.currentTarget.checked) next.delete(type);
                    else next.add(type);
                    setHidden(next);
                  }}
                />
                <span class="grow mono">{type}</span>
                <span class="mono soft">{seen.toLocaleString("en")}</span>
              </label>
            ))}
        </Menu>
        <button type="button" aria-pressed={paused} onClick={() => feed.setPaused(!paused)} title="Space">
          {paused ? "Resume" : "Pause"}
        </button>
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            const seq = Number(new FormData(event.currentTarget).get("seq"));
            if (Number.isSafeInteger(seq) && seq > 0) jump(seq);
          }}
        >
          <input name="seq" class="mono" inputMode="numeric" size={8} placeholder="go to seq" aria-label="Go to event number" />
        </form>
      </div>
      <div class={`side stretch ${chosen ? "" : "alone"}`}>
        <section class="panel stream" aria-label="Events">
          <Counters model={model} shown={count} stick={stick} onStick={() => setStick(true)} />
          {count === 0 ? (
            <Empty title={rows.behind > 0 ? "Searching…" : history.head.events === 0 ? "No event yet" : "No event matches"}>
              {history.head.events === 0 ? "Whatever the machine does appears here at once." : "Change the search or the types."}
            </Empty>
          ) : (
            <VirtualGrid
              label="Event stream"
              count={count}
              headers={4}
              head={
                <>
                  <span role="columnheader" class="r">
                    seq
                  </span>
                  <span role="columnheader" class="r stepcol">
                    step
                  </span>
                  <span role="columnheader">type</span>
                  <span role="columnheader">what happened</span>
                </>
              }
              row={(index) => {
                const event = rows.row(index);
                if (!event || !wanted(event)) return null;
                const notice = NOTICE_TYPES.has(event.type);
                return {
                  key: `${event.seq}${notice ? event.type : ""}`,
                  class: notice ? "notice" : "",
                  cells: (
                    <>
                      <span role="gridcell" class="r">
                        {event.seq}
                      </span>
                      <span role="gridcell" class="r stepcol">
                        {event.step}
                      </span>
                      <span role="gridcell" class="kind">
                        <i class={`dot ${familyOf(event.type, refusalOf(event) !== null)}`} aria-hidden="true" />
                        {event.type}
                      </span>
                      <span role="gridcell">{summary(event)}</span>
                    </>
                  ),
                };
              }}
              selected={selectedIndex}
              onSelect={(index) => {
                setSelected(rows.row(index)?.seq ?? null);
                setStick(false);
              }}
              stick={stick && at === null && !paused}
              onStick={setStick}
              goTo={goTo}
              left={rows.left}
            />
          )}
        </section>
        {chosen && <EventDetail event={chosen} model={model} onClose={() => setSelected(null)} />}
      </div>
    </>
  );
}

/** What is shown, what left this page, what waits and what is gone: nothing is dropped in silence. */
function Counters({ model, shown, stick, onStick }: { model: SessionModel; shown: number; stick: boolean; onStick: () => void }) {
  const { history, queued, paused } = model.feed;
  const n = (value: number): string => value.toLocaleString("en");
  return (
    <header class="row counters">
      <span class="soft" data-testid="counters">
        <b>{n(shown)}</b> shown of {n(history.buffer.length)} kept
        {history.letGo > 0 && (
          <>
            {" · "}
            <b data-testid="dropped">{n(history.letGo)}</b> older ones left this page (the service has them)
          </>
        )}
        {queued.value > 0 && ` · ${n(queued.value)} waiting`}
        {history.head.missing > 0 && ` · ${n(history.head.missing)} lost`}
      </span>
      {paused.value && <Note>Paused: nothing is lost, events wait here and at the service.</Note>}
      {!stick && (
        <button type="button" onClick={onStick}>
          Follow the end
        </button>
      )}
    </header>
  );
}
