import { describe, expect, it } from "vitest";
import { angleOf, arcs, isWaiting, slotAt, visibleSpan, waiting, windowSlots } from "../../src/logic/rings";
import { cellAddr, cellOf, cellsOf, gridOver, runAt, totals, type PageRun } from "../../src/logic/pagemap";
import { diffTables } from "../../src/logic/tablediff";

const SLOTS = 2048;

describe("a queue as a ring", () => {
  it("finds every slot again under its own middle", () => {
    for (const slot of [0, 1, 511, 512, 1023, 1024, 1536, 2047]) {
      const angle = angleOf(slot + 0.5, SLOTS);
      expect(slotAt(Math.cos(angle) * 90, Math.sin(angle) * 90, 80, 100, SLOTS)).toBe(slot);
    }
    expect(slotAt(0, -50, 80, 100, SLOTS)).toBeNull();
    expect(slotAt(0, -90, 80, 100, 0)).toBeNull();
  });

  it("knows what waits across the wrap", () => {
    const pointers = { slots: SLOTS, read: 2046, write: 2, consumed: null };
    expect([2045, 2046, 2047, 0, 1, 2].map((slot) => isWaiting(slot, pointers))).toEqual([false, true, true, true, true, false]);
    expect(waiting(pointers)).toBe(4);
    expect(waiting({ ...pointers, write: 2046 })).toBe(0);
    expect(windowSlots(pointers, 2, 1, 100)).toEqual([2044, 2045, 2046, 2047, 0, 1, 2]);
    expect(windowSlots(pointers, 2, 1, 3)).toHaveLength(3);
  });

  it("joins neighbours into arcs, also over slot 0", () => {
    const kinds = ["a", "a", null, "b", "b", "a"];
    expect(arcs(6, (slot) => kinds[slot] ?? null)).toEqual([
      { from: 3, to: 5, kind: "b" },
      { from: 5, to: 8, kind: "a" },
    ]);
    expect(arcs(4, () => "x")).toEqual([{ from: 0, to: 4, kind: "x" }]);
    expect(arcs(4, () => null)).toEqual([]);
  });

  it("widens what would be thinner than a pixel", () => {
    const { start, end } = visibleSpan({ from: 5, to: 6, kind: "x" }, SLOTS, 0.02);
    expect(end - start).toBeCloseTo(0.02);
    expect((start + end) / 2).toBeCloseTo(angleOf(5.5, SLOTS));
  });
});

const runs: PageRun[] = [
  { addr: 0x4000_0000n, pages: 100, owner: "host", state: "owned", pins: 0, use: "" },
  { addr: 0x4006_4000n, pages: 1, owner: "hyp", state: "owned", pins: 0, use: "hw_queue" },
  { addr: 0x4006_5000n, pages: 27, owner: "host", state: "shared_owned", pins: 1, use: "host_queue" },
];

describe("the ownership map", () => {
  it("finds the run of an address", () => {
    expect([0x4000_0000n, 0x4006_3fffn, 0x4006_4000n, 0x4006_5000n, 0x4008_0000n, 0x3fff_ffffn].map((a) => runAt(runs, a))).toEqual([
      0, 0, 1, 2, -1, -1,
    ]);
  });

  it("never hides one protected page in a cell of host pages", () => {
    const grid = gridOver(0x4000_0000n, 128, 8, 16);
    expect(grid).toMatchObject({ pagesPerCell: 8, cells: 16, rows: 2 });
    const cells = cellsOf(grid, runs);
    expect(cells[12]).toMatchObject({ owner: "hyp", mixed: true });
    expect(cells[0]).toMatchObject({ owner: "host", mixed: false });
    expect(cellOf(grid, cellAddr(grid, 12))).toBe(12);
  });

  it("covers 4 GiB in a thousand cells and skips runs outside a detail grid", () => {
    expect(gridOver(0n, 1 << 20, 32, 1024)).toMatchObject({ pagesPerCell: 1024, cells: 1024 });
    expect(cellsOf(gridOver(0x5000_0000n, 16, 4, 16), runs).every((cell) => cell === null)).toBe(true);
  });

  it("sums pages by owner and state", () => {
    expect(totals(runs)[0]).toEqual({ owner: "host", state: "owned", pages: 100, pinned: 0 });
    expect(totals(runs).find((sum) => sum.state === "shared_owned")?.pinned).toBe(27);
  });
});

describe("tables side by side", () => {
  it("tells apart what differs, what is missing and what agrees, in the order of the numbers", () => {
    const host = new Map([["10", { valid: true, itt: "0x1" }], ["2", { valid: true }], ["7", { valid: true }]]);
    const hw = new Map([["10", { valid: true, itt: "0x2" }], ["2", { valid: true }], ["8", { valid: true }]]);
    expect(diffTables(host, hw).map((row) => [row.key, row.change, row.fields])).toEqual([
      ["2", "same", []],
      ["7", "host only", []],
      ["8", "hw only", []],
      ["10", "differs", ["itt"]],
    ]);
  });
});
