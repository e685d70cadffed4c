export { bitsOf, parseHex, toHex } from "./hex";
export { parseFrame, type Frame, type SessionEvent, type StreamItem } from "./frames";
export { Sequencer } from "./sequencer";
export {
  EventStream,
  FIRST_DELAY_MS,
  LONGEST_DELAY_MS,
  type Probe,
  type SocketLike,
  type StreamOptions,
  type StreamState,
} from "./stream";
export { problemOf, ProblemError, UnreachableError } from "./problems";
export { ItsboxClient, type CallRecord, type ClientOptions } from "./client";
export type * from "./wire";
