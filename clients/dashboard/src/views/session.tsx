import { useEffect, useMemo, useRef } from "preact/hooks";
import type { StreamState } from "itsbox-client";
import { until } from "../logic/clock";
import { clip, shown } from "../logic/shapes";
import { loadArch } from "../state/arch";
import { go, hashOf, VIEWS, type View } from "../state/router";
import { SessionModel } from "../state/session";
import { useKeys } from "../ui/keys";
import { Chip, Note } from "../ui/marks";
import { Scrubber } from "../ui/scrubber";
import { DriveView } from "./drive";
import { EventsView } from "./events";
import { MemoryView } from "./memory";
import { QueuesView } from "./queues";
import { RefusalsView } from "./refusals";
import { RegistersView } from "./registers";
import { TablesView } from "./tables";
import { TimelineView } from "./timeline";
import { ViolationsView } from "./violations";

const BODY: Record<View, (props: { model: SessionModel }) => preact.JSX.Element> = {
  events: EventsView,
  queues: QueuesView,
  memory: MemoryView,
  registers: RegistersView,
  tables: TablesView,
  refusals: RefusalsView,
  violations: ViolationsView,
  timeline: TimelineView,
  drive: DriveView,
};

export function SessionPage({ id, view }: { id: string; view: View }) {
  const model = useMemo(() => new SessionModel(id), [id]);
  useEffect(() => {
    void loadArch();
    return () => model.close();
  }, [model]);
  useKeys(Object.fromEntries(VIEWS.map(([name], index) => [String(index + 1), () => go({ page: "session", id, view: name, at: model.cursor.peek() })])));
  const Body = BODY[view];
  const cursor = model.cursor.value;
  return (
    <div class="session">
      <Head model={model} />
      <Rail model={model} view={view} />
      <div class={`view ${view === "events" ? "fill" : ""} ${cursor === null ? "" : "past"}`}>
        <Body key={view} model={model} />
      </div>
      <Scrubber model={model} />
    </div>
  );
}

function Head({ model }: { model: SessionModel }) {
  const info = model.info.value;
  const past = model.past.value;
  return (
    <div class="head">
      <h1 class="mono">{clip(model.id, 32)}</h1>
      <Connection state={model.feed.connection.value} retry={() => model.feed.retryNow()} />
      {model.feed.paused.value && <Chip tone="warn">paused</Chip>}
      <dl>
        <Fact name="profile" value={info?.profile} />
        <Fact name="hardening" value={info?.hardening.preset} />
        <Fact name="phase" value={info?.phase} />
        <Fact name="state" value={info?.state} />
        <Fact name="step" value={past.state === "ready" ? `${past.step} of ${info?.step ?? "?"}` : info?.step.toLocaleString("en")} wide />
        <Fact name="epoch" value={info?.epoch} wide />
        <Fact name={past.state === "live" ? "hash" : "hash now"} value={info?.state_hash?.slice(0, 12)} wide />
        <Fact name="ends in" value={info?.expires_at ? until(Date.parse(info.expires_at) - Date.now()) : undefined} wide />
      </dl>
      <Trouble model={model} />
    </div>
  );
}

const Fact = ({ name, value, wide }: { name: string; value: unknown; wide?: boolean }) => (
  <div class={wide ? "wide" : ""}>
    <dt>{name}</dt>
    <dd>{shown(value)}</dd>
  </div>
);

function Connection({ state, retry }: { state: StreamState; retry: () => void }) {
  switch (state.state) {
    case "live":
      return <Chip tone="good">● live</Chip>;
    case "held":
      return <Chip tone="accent">❙❙ events wait at the service</Chip>;
    case "connecting":
      return <Chip tone="accent">○ connecting</Chip>;
    case "waiting":
      return (
        <span class="row">
          <Chip tone="warn">○ no connection, try {state.attempt}</Chip>
          <button type="button" onClick={retry}>
            Try now
          </button>
        </span>
      );
    case "ended":
      return <Chip tone="bad">■ {state.why === "gone" ? "session ended" : state.why === "denied" ? "refused" : "closed"}</Chip>;
  }
}

/** What is wrong, in a sentence: the service is gone, the session is, the moment cannot be shown exactly. */
function Trouble({ model }: { model: SessionModel }) {
  const connection = model.feed.connection.value;
  const problem = model.problem.value;
  const past = model.past.value;
  const missing = model.feed.history.head.missing;
  void model.feed.version.value;
  return (
    <>
      {connection.state === "waiting" && (
        <Note tone="warn">The stream is interrupted ({connection.why}). What is shown is what arrived so far; it resumes without loss.</Note>
      )}
      {connection.state === "ended" && connection.why === "gone" && (
        <Note tone="bad">
          This session is over: {connection.detail}. What is shown is the last that arrived. <a href="#/">All sessions</a>
        </Note>
      )}
      {connection.state === "ended" && connection.why === "denied" && <Note tone="bad">The service refuses the stream: {connection.detail}</Note>}
      {problem && connection.state === "live" && <Note tone="bad">{problem.message}</Note>}
      {missing > 0 && <Note tone="warn">{missing.toLocaleString("en")} events of this session's history are gone; counts and views begin after them.</Note>}
      {past.state === "building" && (
        <Note tone="past">
          Rebuilding the machine of that moment{past.total > 0 ? `: ${past.done.toLocaleString("en")} of ${past.total.toLocaleString("en")} steps` : "…"}
        </Note>
      )}
      {past.state === "ready" && <AsItWas model={model} step={past.step} />}
      {past.state === "unavailable" && <Note tone="past">Events, refusals and violations are those of that moment. Queues, pages, registers and tables cannot be: {past.why}.</Note>}
    </>
  );
}

/** What the moment is exact to: an op is one step, whatever the number of its events; a call of the driver has many. */
function AsItWas({ model, step }: { model: SessionModel; step: number }) {
  const at = model.cursor.value;
  const op = at === null ? null : model.opEvents(at);
  const within = at !== null && op !== null && at < op.last;
  return (
    <Note tone="past">
      <span>
        Shown as it was after the op of that event: a second machine was given the same ops up to step {step.toLocaleString("en")}.
        {within && (
          <>
            {" "}
            That op made events {op.first.toLocaleString("en")} to {op.last.toLocaleString("en")}: lists and counts stop at event {at.toLocaleString("en")}, but queues, pages,
            registers and tables are those after the whole op,{" "}
            <button type="button" class="link" onClick={() => model.goTo(op.last)}>
              at event {op.last.toLocaleString("en")}
            </button>
            .
          </>
        )}
      </span>
    </Note>
  );
}

function Rail({ model, view }: { model: SessionModel; view: View }) {
  const fold = model.fold();
  const sum = (groups: Map<string, { count: number }>): number => [...groups.values()].reduce((all, group) => all + group.count, 0);
  const counts: Partial<Record<View, number>> = { events: fold.events, refusals: sum(fold.refusals), violations: sum(fold.violations) };
  const at = model.cursor.value;
  const list = useRef<HTMLUListElement>(null);
  // On a narrow page the views stand in a row that scrolls: the open one is in sight.
  useEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [view]);
  return (
    <nav class="rail" aria-label="Views of the session">
      <ul ref={list}>
        {VIEWS.map(([name, title]) => (
          <li key={name}>
            <a href={hashOf({ page: "session", id: model.id, view: name, at })} aria-current={name === view ? "page" : undefined}>
              {title}
              {counts[name] !== undefined && (
                <span class={`count ${name === "violations" && counts[name] ? "bad" : ""}`}>
                  {name === "violations" && counts[name] ? "▲ " : ""}
                  {counts[name].toLocaleString("en")}
                </span>
              )}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
