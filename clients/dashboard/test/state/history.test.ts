import { describe, expect, it } from "vitest";
import type { SessionEvent, StreamItem } from "itsbox-client";
import { Fold } from "../../src/logic/fold";
import { History } from "../../src/state/history";
import { Outbox } from "../../src/state/outbox";
import { CHUNK } from "../../src/state/protocol";

const event = (seq: number): SessionEvent =>
  seq % 7 === 0
    ? { seq, step: seq, type: "command.rejected", data: { slot: seq % 64, name: "MAPD", words: [], reason: "itt_not_host_owned", rule: "MAPD" } }
    : { seq, step: seq, type: "command.executed", data: { slot: seq % 64, name: "INT", words: ["0x3"] } };
const run = (from: number, to: number): StreamItem => ({
  kind: "events",
  epoch: 1,
  events: Array.from({ length: to - from + 1 }, (_, index) => event(from + index)),
});

describe("Outbox", () => {
  it("hands out everything, in order, in pieces of bounded size, with what stands between", () => {
    const outbox = new Outbox();
    outbox.put([run(1, 2500), { kind: "gap", from: 2501, to: 2600, declared: true }, run(2601, 2700)]);
    expect(outbox.queued).toBe(2600);
    const seen: (number | string)[] = [];
    while (!outbox.empty) {
      const items = outbox.take(CHUNK);
      const size = items.reduce((sum, item) => sum + (item.kind === "events" ? item.events.length : 1), 0);
      expect(size).toBeLessThanOrEqual(CHUNK);
      for (const item of items) seen.push(...(item.kind === "events" ? item.events.map((e) => e.seq) : [item.kind]));
    }
    expect(seen.length).toBe(2601);
    expect(seen[2500]).toBe("gap");
    expect(seen.at(-1)).toBe(2700);
    expect(outbox.queued).toBe(0);
  });

  it("gives no more than there is room for", () => {
    const outbox = new Outbox();
    outbox.put([run(1, 10)]);
    expect(outbox.take(3)).toHaveLength(1);
    expect(outbox.queued).toBe(7);
    expect(outbox.take(0)).toEqual([]);
  });
});

describe("History", () => {
  it("folds the same at any past event, whether rows have left the buffer or not", () => {
    const history = new History(2500);
    for (let seq = 1; seq <= 5000; seq += 50) history.take([run(seq, seq + 49)]);
    expect([history.firstSeq, history.letGo, history.last]).toEqual([2501, 2500, 5000]);
    for (const at of [3000, 3001, 3500, 4000, 4999, 5000]) {
      const direct = new Fold();
      for (let seq = 1; seq <= at; seq += 1) direct.add(event(seq));
      expect(history.foldAt(at)).toEqual(direct);
    }
    expect(history.foldAt(2499)).toBeNull();
  });

  it("shows the very beginning while it is all here", () => {
    const history = new History(2500);
    history.take([run(1, 1500)]);
    expect([0, 1, 1200].map((at) => history.foldAt(at)!.events)).toEqual([0, 1, 1200]);
  });

  it("keeps a gap as a row and counts what is missing", () => {
    const history = new History(100);
    history.take([run(1, 3), { kind: "gap", from: 4, to: 9, declared: true }, run(10, 12)]);
    expect(history.head.missing).toBe(6);
    expect(history.buffer.length).toBe(7);
    expect(history.buffer.at(3)).toMatchObject({ type: "stream.gap", seq: 4 });
    expect(history.last).toBe(12);
  });

  it("forgets everything when history begins anew, and says so", () => {
    const history = new History(100);
    history.take([run(1, 50), { kind: "epoch", from: 1, to: 2, rewound: true }, run(1, 5)]);
    expect(history.head.byType.get("command.executed")).toBe(5);
    expect(history.buffer.at(history.buffer.first)).toMatchObject({ type: "stream.epoch" });
    expect([history.last, history.generation]).toEqual([5, 1]);
  });

  it("stays small over fifty thousand events", () => {
    const history = new History(500);
    for (let seq = 1; seq <= 50_000; seq += 500) history.take([run(seq, seq + 499)]);
    expect(history.buffer.length).toBe(500);
    expect(history.head.slots.size).toBe(64);
    expect(history.head.refusals.get("itt_not_host_owned")!.samples.length).toBe(50);
    expect(history.bins.length).toBeLessThanOrEqual(512);
    expect(history.letGo + history.buffer.length).toBe(50_000);
  });
});
