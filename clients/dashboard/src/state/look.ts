import { useEffect, useRef } from "preact/hooks";
import { useSignal, type Signal } from "@preact/signals";
import { client } from "./api";
import type { SessionModel } from "./session";

export interface Look<T> {
  data: T | null;
  error: Error | null;
  /** The answer shown is not of the moment asked for (yet). */
  stale: boolean;
}

/** Live views are asked for again at most this often, one request at a time. */
export const REFRESH_MS = 500;

/** The answer of one of the session's routes at the moment shown; asked for again when the machine has moved. */
export function useLook<T>(model: SessionModel, route: string, query: Record<string, string> = {}): Signal<Look<T>> {
  const look = useSignal<Look<T>>({ data: null, error: null, stale: true });
  const asked = `${route}?${new URLSearchParams(query)}`;
  const moment = model.moment.value;
  const subject = model.subject.value;
  const busy = useRef<{ key: string; timer: number; abort: AbortController | null }>({ key: "", timer: 0, abort: null });
  useEffect(() => {
    const state = busy.current;
    const key = `${subject} ${asked}`;
    if (state.key !== key) {
      // Another machine or another question: what is shown is not it.
      clearTimeout(state.timer);
      state.abort?.abort();
      Object.assign(state, { key, timer: 0, abort: null });
      look.value = { ...look.peek(), stale: true };
    }
    if (subject === null || state.timer) return;
    const ask = async (): Promise<void> => {
      const abort = new AbortController();
      state.abort = abort;
      const before = model.moment.peek();
      try {
        const data = (await client.must(
          client.http.GET(`/v1/sessions/{session_id}/${route}` as never, {
            params: { path: { session_id: subject }, query },
            signal: abort.signal,
          } as never),
        )) as T;
        if (state.abort === abort) look.value = { data, error: null, stale: false };
      } catch (error) {
        if (state.abort === abort) look.value = { data: look.peek().data, error: error as Error, stale: true };
      }
      if (state.abort !== abort) return;
      state.timer = setTimeout(() => {
        state.timer = 0;
        if (model.moment.peek() !== before) void ask();
      }, REFRESH_MS) as unknown as number;
    };
    state.timer = -1; // taken: the request itself sets the pause after it
    void ask();
  }, [subject, asked, moment]);
  useEffect(
    () => () => {
      clearTimeout(busy.current.timer);
      busy.current.abort?.abort();
      busy.current.abort = null;
    },
    [],
  );
  return look;
}
