import { useEffect, useRef } from "preact/hooks";
import { useSignal, type Signal } from "@preact/signals";
import type { ItsboxClient } from "itsbox-client";
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

export type Ask<T> = (client: ItsboxClient, session: string, signal: AbortSignal) => Promise<T>;

/**
 * The answer of one of the session's routes at the moment shown; asked for again when the machine has moved. `asked` names the
 * question: another name is another question.
 */
export function useLook<T>(model: SessionModel, asked: string, ask: Ask<T>): Signal<Look<T>> {
  const look = useSignal<Look<T>>({ data: null, error: null, stale: true });
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
    const refresh = async (): Promise<void> => {
      const abort = new AbortController();
      state.abort = abort;
      const before = model.moment.peek();
      try {
        const data = await ask(client, subject, abort.signal);
        if (state.abort === abort) look.value = { data, error: null, stale: false };
      } catch (error) {
        if (state.abort === abort) look.value = { data: look.peek().data, error: error as Error, stale: true };
      }
      if (state.abort !== abort) return;
      state.timer = setTimeout(() => {
        state.timer = 0;
        if (model.moment.peek() !== before) void refresh();
      }, REFRESH_MS) as unknown as number;
    };
    state.timer = -1; // taken: the request itself sets the pause after it
    void refresh();
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
