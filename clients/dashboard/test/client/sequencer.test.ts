import { describe, expect, it } from "vitest";
import { parseFrame, Sequencer, type SessionEvent } from "itsbox-client";

const event = (seq: number): SessionEvent => ({ seq, step: seq, type: "trap.mmio", data: {} });
const events = (...seqs: number[]) => ({ epoch: 1, events: seqs.map(event) });
const seqs = (items: ReturnType<Sequencer["accept"]>): number[] =>
  items.flatMap((item) => (item.kind === "events" ? item.events.map((e) => e.seq) : []));

describe("Sequencer", () => {
  it("hands on a run of events once, although a resume repeats some", () => {
    const sequencer = new Sequencer(0, null, false);
    expect(seqs(sequencer.accept(events(1, 2, 3)))).toEqual([1, 2, 3]);
    expect(seqs(sequencer.accept(events(2, 3, 4)))).toEqual([4]);
    expect(sequencer.duplicates).toBe(2);
    expect(sequencer.last).toBe(4);
  });

  it("reports numbers that are missing, as undeclared, before the events after them", () => {
    const sequencer = new Sequencer(2, 1, false);
    expect(sequencer.accept(events(3, 6)).map((item) => item.kind)).toEqual(["events", "gap", "events"]);
    expect(sequencer.accept({ epoch: 1, events: [event(9)] })[0]).toEqual({
      kind: "gap",
      from: 7,
      to: 8,
      declared: false,
    });
  });

  it("passes on a declared gap, cut to what is new, and goes on after it", () => {
    const sequencer = new Sequencer(10, 1, false);
    expect(sequencer.accept({ gap: { from: 5, to: 40 } })).toEqual([{ kind: "gap", from: 11, to: 40, declared: true }]);
    expect(seqs(sequencer.accept(events(41)))).toEqual([41]);
    expect(sequencer.accept({ gap: { from: 1, to: 41 } })).toEqual([]);
  });

  it("does not take the holes of a type filter for losses", () => {
    const sequencer = new Sequencer(0, 1, true);
    expect(sequencer.accept(events(3, 9, 27)).map((item) => item.kind)).toEqual(["events"]);
  });

  it("starts again when a new epoch has smaller numbers, and goes on when it has larger ones", () => {
    const sequencer = new Sequencer(0, null, false);
    sequencer.accept(events(1, 2, 3));
    const grown = sequencer.accept({ epoch: 2, events: [event(4)] });
    expect(grown[0]).toEqual({ kind: "epoch", from: 1, to: 2, rewound: false });
    expect(seqs(grown)).toEqual([4]);
    const reborn = sequencer.accept({ epoch: 3, events: [event(1), event(2)] });
    expect(reborn[0]).toEqual({ kind: "epoch", from: 2, to: 3, rewound: true });
    expect(seqs(reborn)).toEqual([1, 2]);
  });
});

describe("parseFrame", () => {
  it("names what is wrong with a frame rather than throwing", () => {
    expect(parseFrame("{")).toBe("a frame is not JSON");
    expect(parseFrame("[]")).toBe("a frame is not an object");
    expect(parseFrame('{"epoch":"1"}')).toBe("epoch is not an integer");
    expect(parseFrame('{"gap":{}}')).toBe("a gap has no from and to");
    expect(parseFrame('{"events":[{"seq":1}]}')).toBe("events are not events");
    expect(parseFrame('{"epoch":1,"events":[]}')).toEqual({ epoch: 1, events: [] });
  });
});
