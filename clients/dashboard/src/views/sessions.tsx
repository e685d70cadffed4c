import { useEffect, useState } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Session } from "itsbox-client";
import { clip, shown } from "../logic/shapes";
import { until } from "../logic/clock";
import { client } from "../state/api";
import { ORIGIN, REPLICA_OF } from "../state/replica";
import { go, hashOf } from "../state/router";
import { Chip, Empty, Note, Panel, Scroll } from "../ui/marks";
import { attempt, toast } from "../ui/toast";
import { NewSession } from "./new-session";

const POLL_MS = 2000;

interface Row {
  session: Session;
  /** ops per second since the last look */
  rate: number | null;
}

export function SessionsPage() {
  const rows = useSignal<Row[] | null>(null);
  const problem = useSignal<Error | null>(null);
  const [text, setText] = useState("");
  const [now, setNow] = useState(Date.now());

  const refresh = async (): Promise<void> => {
    const before = new Map(rows.peek()?.map(({ session }) => [session.id, session.step]));
    const started = performance.now();
    try {
      const list = await client.sessions();
      const seconds = (performance.now() - last.at) / 1000;
      last.at = started;
      rows.value = list.map((session) => {
        const step = before.get(session.id);
        return { session, rate: step === undefined || seconds <= 0 ? null : Math.max(0, (session.step - step) / seconds) };
      });
      problem.value = null;
    } catch (error) {
      problem.value = error as Error;
    }
    setNow(Date.now());
  };
  useEffect(() => {
    let stopped = false;
    const loop = async (): Promise<void> => {
      while (!stopped) {
        if (document.visibilityState === "visible") await refresh();
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    };
    void loop();
    return () => {
      stopped = true;
    };
  }, []);

  const kill = (session: Session): Promise<unknown> =>
    attempt("Could not end the session", async () => {
      await client.kill(session.id);
      toast(`Session ${session.id} ended`);
      await refresh();
    });

  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const visible = (rows.value ?? []).filter(({ session }) => {
    const haystack = JSON.stringify(session).toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
  return (
    <div class="page">
      <div>
        <h1>Sessions</h1>
        <p class="lead">
          Each session is a virtual Arm machine whose interrupt translation service is guarded by an emulation of pKVM's ITS
          hardening. Open one to watch it; the stream, the queues and the owners of memory are live.
        </p>
      </div>
      {problem.value && <Note tone="bad">{problem.value.message}. Trying again every two seconds.</Note>}
      <NewSession onCreated={(id) => go({ page: "session", id, view: "events", at: null })} />
      <Panel
        title={rows.value === null ? "Running" : `Running (${rows.value.length})`}
        flush
        tools={
          <input type="search" placeholder="Filter" aria-label="Filter sessions" value={text} onInput={(e) => setText(e.currentTarget.value)} />
        }
      >
        {rows.value === null && !problem.value ? (
          <Empty title="Asking the service…" />
        ) : visible.length === 0 ? (
          <Empty title={rows.value?.length ? "No session matches" : "No session yet"}>Create one above, or run a scenario.</Empty>
        ) : (
          <Scroll label="Sessions">
            <table>
              <thead>
                <tr>
                  <th>id</th>
                  <th>profile</th>
                  <th>hardening</th>
                  <th>phase</th>
                  <th>state</th>
                  <th class="num">step</th>
                  <th class="num">events</th>
                  <th class="num">ops/s</th>
                  <th class="num">age</th>
                  <th class="num">ends in</th>
                  <th>metadata</th>
                  <th>
                    <span class="sr">actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {visible.map(({ session, rate }) => (
                  <tr key={session.id} class="pick">
                    <th scope="row" class="mono">
                      <a href={hashOf({ page: "session", id: session.id, view: "events", at: null })}>{clip(session.id, 40)}</a>
                    </th>
                    <td>{session.profile}</td>
                    <td class="nowrap">
                      {session.hardening.preset} <Overrides session={session} />
                    </td>
                    <td>{session.phase}</td>
                    <td>
                      <Chip tone={session.state === "running" ? "good" : session.state === "crashed" ? "bad" : ""}>{session.state}</Chip>
                    </td>
                    <td class="num">{session.step.toLocaleString("en")}</td>
                    <td class="num">{session.seq.toLocaleString("en")}</td>
                    <td class="num">{rate === null ? "–" : Math.round(rate).toLocaleString("en")}</td>
                    <td class="num">{until(now - Date.parse(session.created_at))}</td>
                    <td class="num">{session.expires_at ? until(Date.parse(session.expires_at) - now) : "–"}</td>
                    <td class="wrap">
                      <Metadata metadata={session.metadata} />
                    </td>
                    <td>
                      <button type="button" class="danger" onClick={() => void kill(session)} aria-label={`Kill session ${session.id}`}>
                        Kill
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Panel>
    </div>
  );
}

const last = { at: performance.now() };

function Overrides({ session }: { session: Session }) {
  const own = (session.hardening as Record<string, unknown>).overrides;
  const count = typeof own === "object" && own !== null ? Object.keys(own).length : 0;
  return count > 0 ? <Chip tone="accent">{count} knobs changed</Chip> : null;
}

function Metadata({ metadata }: { metadata: Record<string, unknown> }) {
  const entries = Object.entries(metadata ?? {}).filter(([key]) => key !== REPLICA_OF && key !== ORIGIN);
  const replica = metadata?.[REPLICA_OF];
  return (
    <span class="row">
      {metadata?.[ORIGIN] !== undefined && replica === undefined && <Chip tone="accent">fork</Chip>}
      {replica !== undefined && <Chip tone="accent">replica of {clip(shown(replica), 24)}</Chip>}
      {entries.slice(0, 6).map(([key, value]) => (
        <Chip key={key}>
          {clip(key, 40)}={clip(shown(value), 60)}
        </Chip>
      ))}
      {entries.length > 6 && <span class="soft">and {entries.length - 6} more</span>}
    </span>
  );
}
