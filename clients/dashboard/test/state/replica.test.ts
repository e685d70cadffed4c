import { beforeEach, describe, expect, it, vi } from "vitest";
import { ProblemError, type Op, type Session, type SessionEvent } from "itsbox-client";

/** A service of machines that count: a machine is its start step and the ops it was given. */
class FakeService {
  machines = new Map<string, Op[]>();
  snapshots = new Map<string, Op[]>();
  journalOps: Op[] = Array.from({ length: 1200 }, (_, index) => ({ op: "ack", cpu: index }));
  first = 1;
  start = 3;
  origin: string | null = null;
  events_: SessionEvent[] = [];
  calls: string[] = [];
  lost: Error | null = null;
  private next = 0;

  create = async (body: { metadata: Record<string, string> }): Promise<Session> => {
    this.calls.push("create");
    const id = `r${++this.next}`;
    this.machines.set(id, []);
    return { id, step: this.start, metadata: body.metadata } as unknown as Session;
  };
  now = 1277;
  session = async (): Promise<Session> => ({ profile: "virt-gicv3", step: this.now }) as unknown as Session;
  fork = async (_: string, __: number, snapshot: string): Promise<Session[]> => {
    if (this.lost) throw this.lost;
    this.calls.push(`fork ${snapshot}`);
    this.machines.set("f1", []);
    return [{ id: "f1", step: this.start }] as unknown as Session[];
  };
  change = async (id: string): Promise<Session> => ({ id, step: this.start }) as unknown as Session;
  kill = async (id: string): Promise<void> => {
    this.machines.delete(id);
  };
  journal = async (_: string, after: number, limit: number) => ({
    ops: this.journalOps.slice(after, after + limit),
    next: after + limit,
    head: this.journalOps.length,
    first: this.first,
    snapshot: this.origin,
  });
  events = async (_: string, { after = 0, types }: { after?: number; types?: string }) => ({
    epoch: 1,
    events: this.events_.filter((event) => event.seq > after && (!types || types === event.type)),
    next: 0,
    head: 0,
  });
  run = async (id: string, ops: Op[]) => {
    this.calls.push(`run ${ops.length}`);
    const machine = this.machines.get(id)!;
    machine.push(...ops);
    return { results: [], executed: ops.length, violations: [], seq: 0, step: this.start + machine.length };
  };
  snapshot = async (id: string) => {
    const name = `s${++this.next}`;
    this.snapshots.set(name, [...this.machines.get(id)!]);
    return { id: name };
  };
  forgetSnapshot = async (_: string, name: string): Promise<void> => {
    this.snapshots.delete(name);
  };
  restore = async (id: string, name: string): Promise<void> => {
    this.calls.push("restore");
    this.machines.set(id, [...this.snapshots.get(name)!]);
  };
}

const box = vi.hoisted(() => ({ client: null as unknown }));
vi.mock("../../src/state/api", () => ({
  get client() {
    return box.client;
  },
}));
const { Replica } = await import("../../src/state/replica");
type State = Parameters<Parameters<InstanceType<typeof Replica>["goto"]>[2]>[0];

let service: FakeService;
let states: State[];
const make = () => new Replica("original", () => null);
const last = () => states.at(-1)!;
const tell = (state: State): void => void states.push(state);

beforeEach(() => {
  service = new FakeService();
  box.client = service;
  states = [];
});

describe("Replica", () => {
  it("replays the journal up to the step of the event and no further", async () => {
    await make().goto(10, 703, tell);
    expect(last()).toMatchObject({ state: "ready", step: 703 });
    expect(service.machines.get("r1")).toEqual(service.journalOps.slice(0, 700));
    expect(states.some((state) => state.state === "building" && state.done === 500)).toBe(true);
  });

  it("goes on from where it stands, and back by a snapshot instead of from the start", async () => {
    const replica = make();
    await replica.goto(10, 503, tell);
    await replica.goto(20, 603, tell);
    service.calls = [];
    await replica.goto(15, 553, tell);
    expect(service.calls).toEqual(["restore", "run 50"]);
    expect(service.machines.get("r1")).toEqual(service.journalOps.slice(0, 550));
  });

  it("lets the newest wish win", async () => {
    const replica = make();
    const seen: number[] = [];
    const wishes = [103, 203, 303].map((step) => replica.goto(step, step, (state) => state.state === "ready" && seen.push(state.step)));
    await Promise.all(wishes);
    expect(seen).toEqual([303]);
  });

  it("asks for the step of an event that the page no longer has", async () => {
    service.events_ = [{ seq: 8, step: 43, type: "lpi.pending", data: {} }];
    await make().goto(8, null, tell);
    expect(last()).toMatchObject({ state: "ready", step: 43 });
  });

  it("starts from the snapshot that the journal starts from", async () => {
    service.origin = "snap";
    await make().goto(10, 13, tell);
    expect(service.calls[0]).toBe("fork snap");
    expect(service.machines.get("f1")).toHaveLength(10);
  });

  it("starts a fork's past from the snapshot that was taken of its beginning", async () => {
    const replica = new Replica("original", () => ({ metadata: { "itsbox.origin": "begin" } }) as unknown as Session);
    service.events_ = [{ seq: 1, step: 3, type: "session.created", data: {} }];
    await replica.goto(10, 13, tell);
    expect(service.calls[0]).toBe("fork begin");
    expect(last()).toMatchObject({ state: "ready", step: 13 });
  });

  it("replays a machine that is older than its session, whose journal has all it did", async () => {
    service.events_ = [{ seq: 900, step: 1203, type: "session.created", data: {} }];
    service.now = service.start + service.journalOps.length;
    await make().goto(10, 703, tell);
    expect(last()).toMatchObject({ state: "ready", step: 703 });
    expect(service.machines.get("r1")).toEqual(service.journalOps.slice(0, 700));
  });

  it("says so when that snapshot is gone, or belongs to the fork's parent", async () => {
    const replica = new Replica("original", () => ({ metadata: { "itsbox.origin": "begin" } }) as unknown as Session);
    service.lost = new ProblemError(404, "", "No such snapshot", "", {}, null);
    await replica.goto(10, 13, tell);
    expect((last() as { why: string }).why).toMatch(/forked from another session/);
  });

  it.each([
    ["a journal whose beginning is gone", (s: FakeService) => (s.first = 5), /no longer keeps the beginning/],
    ["a restore after the event", (s: FakeService) => (s.events_ = [{ seq: 50, step: 9, type: "session.restored", data: {} }]), /put back to a snapshot at event 50/],
    ["an unknown origin", (s: FakeService) => (s.events_ = [{ seq: 1, step: 77, type: "session.created", data: {} }]), /forked from another session/],
    ["a journal that ends early", (s: FakeService) => (s.journalOps = []), /journal ends before/],
  ])("says why it cannot: %s", async (_, spoil, sentence) => {
    spoil(service);
    await make().goto(10, 103, tell);
    expect(last()).toMatchObject({ state: "unavailable" });
    expect((last() as { why: string }).why).toMatch(sentence);
  });

  it("notices when the replayed machine goes its own way", async () => {
    const run = service.run;
    service.run = async (id, ops) => ({ ...(await run(id, ops)), step: 1 });
    await make().goto(10, 103, tell);
    expect((last() as { why: string }).why).toMatch(/stands at step 1/);
  });

  it("keeps a bounded number of snapshots and ends its machine when it is disposed of", async () => {
    const replica = make();
    for (let step = 13; step < 800; step += 10) await replica.goto(step, step, tell);
    expect(service.snapshots.size).toBeLessThanOrEqual(24);
    await replica.dispose();
    expect(service.machines.size).toBe(0);
  });
});
