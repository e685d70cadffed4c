// Between the page and the worker that owns the socket.

import type { StreamItem, StreamState } from "itsbox-client";

export type ToWorker =
  | { op: "open"; baseUrl: string; apiKey: string | null; session: string; after: number; epoch: number | null }
  /** The page has digested what it got and has room for `room` more events. */
  | { op: "more"; room: number }
  | { op: "retry" }
  | { op: "close" };

export type FromWorker =
  | { op: "items"; items: StreamItem[]; queued: number }
  | { op: "queued"; queued: number }
  | { op: "state"; state: StreamState };

/** Events in one message: what the page can take in within a frame. */
export const CHUNK = 500;
/** Events that wait in the worker before it lets the service keep the rest, and when it asks for them again. */
export const HIGH_WATER = 20_000;
export const LOW_WATER = 2_000;
