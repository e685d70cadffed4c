import { describe, expect, it } from "vitest";
import type { SessionEvent } from "itsbox-client";
import { EventBuffer } from "../../src/logic/buffer";
import { FilteredRows, matcher } from "../../src/logic/filter";

const event = (seq: number, type = "trap.mmio", data: Record<string, unknown> = {}): SessionEvent => ({ seq, step: seq, type, data });
const run = (from: number, to: number, type?: string): SessionEvent[] =>
  Array.from({ length: to - from + 1 }, (_, index) => event(from + index, type));

describe("EventBuffer", () => {
  it("keeps the newest and says which it let go", () => {
    const buffer = new EventBuffer(4);
    expect(buffer.push(run(1, 3))).toEqual([]);
    expect(buffer.push(run(4, 6)).map((e) => e.seq)).toEqual([1, 2]);
    expect([buffer.first, buffer.end, buffer.length, buffer.free]).toEqual([2, 6, 4, 0]);
    expect([2, 3, 4, 5].map((position) => buffer.at(position)?.seq)).toEqual([3, 4, 5, 6]);
    expect(buffer.at(1)).toBeUndefined();
  });

  it("finds a seq although some numbers are missing", () => {
    const buffer = new EventBuffer(8);
    buffer.push([event(2), event(5), event(9)]);
    expect([0, 2, 3, 5, 9, 10].map((seq) => buffer.seek(seq))).toEqual([0, 0, 1, 1, 2, 3]);
  });
});

describe("matcher", () => {
  it("wants every word of the text, in any case, anywhere in the event", () => {
    const wanted = matcher({ hidden: new Set(), text: "mapd  ITT_NOT" });
    expect(wanted(event(1, "command.rejected", { name: "MAPD", reason: "itt_not_host_owned" }))).toBe(true);
    expect(wanted(event(1, "command.rejected", { name: "MAPC", reason: "itt_not_host_owned" }))).toBe(false);
  });

  it("never hides what the page says about the stream itself", () => {
    const none = matcher({ hidden: new Set(["stream.gap"]), text: "nowhere" });
    expect(none(event(7, "stream.gap", { from: 7, to: 9 }))).toBe(true);
  });
});

describe("FilteredRows", () => {
  it("looks at each row once, in steps, and forgets rows that left the buffer", () => {
    const buffer = new EventBuffer(100);
    const rows = new FilteredRows(buffer, { hidden: new Set(["lpi.pending"]), text: "" });
    buffer.push(run(1, 60));
    buffer.push(run(61, 90, "lpi.pending"));
    rows.advance(50);
    expect([rows.length, rows.behind]).toEqual([50, 40]);
    rows.advance(1000);
    expect([rows.length, rows.behind]).toEqual([60, 0]);
    buffer.push(run(91, 120));
    rows.advance(1000);
    expect(rows.length).toBe(70);
    expect(rows.row(0)?.seq).toBe(21);
    expect(rows.row(69)?.seq).toBe(120);
    expect(rows.countUpTo(60)).toBe(40);
    expect(rows.countUpTo(95)).toBe(45);
  });

  it("starts over with a new filter", () => {
    const buffer = new EventBuffer(10);
    buffer.push([event(1, "driver.log", { line: "ITS queue timeout" }), event(2)]);
    const rows = new FilteredRows(buffer, { hidden: new Set(), text: "" });
    rows.advance(10);
    expect(rows.length).toBe(2);
    rows.setFilter({ hidden: new Set(), text: "timeout" });
    rows.advance(10);
    expect(rows.length).toBe(1);
  });

  it("keeps its memory bounded over a long stream", () => {
    const buffer = new EventBuffer(1000);
    const rows = new FilteredRows(buffer, { hidden: new Set(), text: "" });
    for (let seq = 1; seq <= 50_000; seq += 500) {
      buffer.push(run(seq, seq + 499));
      rows.advance(500);
    }
    expect(rows.length).toBe(1000);
    expect((rows as unknown as { positions: number[] }).positions.length).toBeLessThan(12_000);
  });
});
