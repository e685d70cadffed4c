import { beforeEach, describe, expect, it } from "vitest";
import { EventStream, type Probe, type SocketLike, type StreamItem, type StreamState } from "itsbox-client";

/** A socket that the test plays the service's side of. */
class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  constructor(readonly url: string) {}
  close(): void {
    this.closed = true;
  }
  send(...seqs: number[]): void {
    const events = seqs.map((seq) => ({ seq, step: seq, type: "driver.log", data: { line: `${seq}` } }));
    this.onmessage?.({ data: JSON.stringify({ epoch: 1, events }) });
  }
}

let sockets: FakeSocket[];
let timers: { run: () => void; ms: number }[];
let states: StreamState[];
let items: StreamItem[];
let probe: Probe;

function open(types: string[] = []): EventStream {
  const stream = new EventStream({
    url: "ws://host/v1/sessions/s/stream",
    types,
    socket: (url) => {
      sockets.push(new FakeSocket(url));
      return sockets.at(-1)!;
    },
    later: (run, ms) => {
      const timer = { run, ms };
      timers.push(timer);
      return () => timers.splice(timers.indexOf(timer), 1);
    },
    jitter: () => 0.5,
    probe: async () => probe,
    onItems: (more) => items.push(...more),
    onState: (state) => states.push(state),
  });
  stream.open();
  return stream;
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
};
const seen = (): number[] => items.flatMap((item) => (item.kind === "events" ? item.events.map((e) => e.seq) : []));

beforeEach(() => {
  sockets = [];
  timers = [];
  states = [];
  items = [];
  probe = { state: "there", epoch: 1, seq: 1_000 };
});

describe("EventStream", () => {
  it("resumes after a lost connection at the first event not yet seen", async () => {
    open(["driver.log", "violation"]);
    expect(sockets[0]!.url).toBe("ws://host/v1/sessions/s/stream?after=0&types=driver.log%2Cviolation");
    sockets[0]!.send(1, 2);
    sockets[0]!.onclose?.({ code: 1006, reason: "" });
    await settle();
    timers.shift()!.run();
    expect(sockets[1]!.url).toContain("after=2");
    sockets[1]!.send(2, 3);
    expect(seen()).toEqual([1, 2, 3]);
  });

  it("waits longer after each failure, up to ten seconds, and starts over once something came", async () => {
    open();
    const delays: number[] = [];
    for (let failure = 0; failure < 8; failure += 1) {
      sockets.at(-1)!.onclose?.({ code: 1006, reason: "" });
      await settle();
      delays.push(timers[0]!.ms);
      timers.shift()!.run();
    }
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    sockets.at(-1)!.send(1);
    sockets.at(-1)!.onclose?.({ code: 1006, reason: "" });
    await settle();
    expect(timers[0]!.ms).toBe(250);
  });

  it("waits longer when it was evicted as too slow", async () => {
    open();
    sockets[0]!.send(1);
    sockets[0]!.onclose?.({ code: 1013, reason: "slow consumer" });
    await settle();
    expect(timers[0]!.ms).toBe(2000);
  });

  it("ends plainly when the session is gone and does not retry", async () => {
    open();
    probe = { state: "gone", detail: "session expired" };
    sockets[0]!.onclose?.({ code: 1006, reason: "" });
    await settle();
    expect(states.at(-1)).toEqual({ state: "ended", why: "gone", detail: "session expired" });
    expect(timers).toEqual([]);
  });

  it.each([1008, 4401, 4403])("ends when the service refuses it with %d", async (code) => {
    open();
    sockets[0]!.onclose?.({ code, reason: "no" });
    await settle();
    expect(states.at(-1)).toMatchObject({ state: "ended", why: "denied" });
  });

  it("says why it waits while the server is gone", async () => {
    open();
    probe = { state: "unreachable", detail: "no answer" };
    sockets[0]!.onclose?.({ code: 1006, reason: "" });
    await settle();
    expect(states.at(-1)).toMatchObject({ state: "waiting", why: "no answer" });
  });

  it("begins again when a restarted service knows fewer events than were seen", async () => {
    open();
    sockets[0]!.send(1, 2, 3, 4);
    probe = { state: "there", epoch: 1, seq: 2 };
    sockets[0]!.onclose?.({ code: 1006, reason: "" });
    await settle();
    timers.shift()!.run();
    expect(items.at(-1)).toEqual({ kind: "epoch", from: 1, to: 1, rewound: true });
    expect(sockets[1]!.url).toContain("after=0");
    sockets[1]!.send(1, 2);
    expect(seen()).toEqual([1, 2, 3, 4, 1, 2]);
  });

  it("holds and releases without hole or duplicate", () => {
    const stream = open();
    sockets[0]!.send(1, 2, 3);
    stream.hold();
    expect(sockets[0]!.closed).toBe(true);
    sockets[0]!.send(4); // still in flight when the socket was dropped: comes again on release
    stream.release();
    sockets[1]!.send(4, 5);
    expect(sockets[1]!.url).toContain("after=3");
    expect(seen()).toEqual([1, 2, 3, 4, 5]);
  });

  it("reports a malformed frame and keeps the connection", () => {
    open();
    sockets[0]!.onmessage?.({ data: "<html>" });
    sockets[0]!.send(1);
    expect(items.map((item) => item.kind)).toEqual(["malformed", "events"]);
  });

  it("tries at once when asked to", async () => {
    const stream = open();
    sockets[0]!.onclose?.({ code: 1006, reason: "" });
    await settle();
    stream.retryNow();
    expect(sockets.length).toBe(2);
    expect(timers).toEqual([]);
  });
});
