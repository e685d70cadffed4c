// What the event stream carries: the wire contract, "Events", and openapi/asyncapi.yaml.

/** One event. `seq` starts at 1 and has no holes; `step` is the machine's own time. */
export interface SessionEvent {
  seq: number;
  step: number;
  type: string;
  data: Record<string, unknown>;
}

/** A text frame of the stream: a batch of events, or history that is gone. */
export interface Frame {
  epoch?: number;
  events?: SessionEvent[];
  gap?: { from: number; to: number };
}

/** What a reader of the stream gets, in order: nothing is left out without an item that says so. */
export type StreamItem =
  | { kind: "events"; epoch: number; events: SessionEvent[] }
  /** Events from..to will not come. `declared`: the service said so; otherwise numbers were simply missing. */
  | { kind: "gap"; from: number; to: number; declared: boolean }
  /** History began anew (restore, restart). `rewound`: numbers start again below what was seen. */
  | { kind: "epoch"; from: number; to: number; rewound: boolean }
  /** A frame that is not what the contract says; it was left out. */
  | { kind: "malformed"; why: string };

function isEvent(value: unknown): value is SessionEvent {
  if (typeof value !== "object" || value === null) return false;
  const event = value as Partial<SessionEvent>;
  return (
    Number.isSafeInteger(event.seq) &&
    Number.isSafeInteger(event.step) &&
    typeof event.type === "string" &&
    typeof event.data === "object" &&
    event.data !== null
  );
}

/** A frame from its text, or the sentence that says why it is none. */
export function parseFrame(text: string): Frame | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "a frame is not JSON";
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "a frame is not an object";
  const frame = value as Frame;
  if (frame.epoch !== undefined && !Number.isSafeInteger(frame.epoch)) return "epoch is not an integer";
  if (frame.gap !== undefined) {
    const { from, to } = frame.gap ?? {};
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return "a gap has no from and to";
  }
  if (frame.events !== undefined && !(Array.isArray(frame.events) && frame.events.every(isEvent))) {
    return "events are not events";
  }
  return frame;
}
