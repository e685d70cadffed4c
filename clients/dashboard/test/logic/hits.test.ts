import { describe, expect, it } from "vitest";
import type { SessionEvent } from "itsbox-client";
import { addToGroup, type Group } from "../../src/logic/groups";
import { hitCells, hitsAt, hitsIn, hitsOf, pageOf } from "../../src/logic/hits";
import type { Grid } from "../../src/logic/pagemap";

const violation = (seq: number, ...addresses: [string, number][]): SessionEvent => ({
  seq,
  step: seq,
  type: "violation",
  data: {
    oracle: "DMA",
    sentence: `at ${seq}`,
    bucket: "b",
    evidence: { addresses: addresses.map(([addr, length]) => ({ addr, length, owner: "hyp" })) },
  },
});
const GRID: Grid = { base: 0x4000_0000n, pagesPerCell: 2, columns: 4, rows: 4, cells: 16 };

describe("pages that violations name", () => {
  it("are told newest first, each with its event and what it says", () => {
    const groups = new Map<string, Group>();
    for (const event of [violation(3, ["0x40001000", 8]), violation(9, ["0x40001ff8", 16])]) addToGroup(groups, "b", "DMA", event);
    const hits = hitsIn(groups.values());
    expect(hits.map(({ seq, addr, bytes, sentence }) => [seq, addr, bytes, sentence])).toEqual([
      [9, 0x4000_1ff8n, 16n, "at 9"],
      [3, 0x4000_1000n, 8n, "at 3"],
    ]);
    expect(hitsAt(hits, 0x4000_1000n, 1).map(({ seq }) => seq)).toEqual([9, 3]);
    expect(hitsAt(hits, 0x4000_2000n, 1).map(({ seq }) => seq)).toEqual([9]);
    expect(hitsAt(hits, 0x4000_0000n, 1)).toEqual([]);
    expect(hitsAt(hits, 0x4000_3000n, 8)).toEqual([]);
  });

  it("mark every cell that they reach into, and none outside the map", () => {
    expect([...hitCells(hitsOf(violation(1, ["0x40001ff8", 16])), GRID)]).toEqual([0, 1]);
    expect([...hitCells(hitsOf(violation(1, ["0x3ffff000", 0x1001])), GRID)]).toEqual([0]);
    expect([...hitCells(hitsOf(violation(1, ["0x3ffff000", 0x1000], ["0x40020000", 8])), GRID)]).toEqual([]);
    expect([...hitCells(hitsOf(violation(1, ["0x4001f000", 0x100000])), GRID)]).toEqual([15]);
  });

  it("are none where the evidence is no list of addresses", () => {
    for (const evidence of [null, "text", {}, { addresses: "0x0" }, { addresses: [null, 7, { addr: "nowhere" }] }])
      expect(hitsOf({ seq: 1, step: 1, type: "violation", data: { evidence } })).toEqual([]);
  });

  it("are the pages that events lead to", () => {
    expect(pageOf(violation(1, ["0x4ff5000c", 8]))).toBe("0x4ff50000");
    expect(pageOf({ seq: 1, step: 1, type: "page.state", data: { addr: "0x40210000" } })).toBe("0x40210000");
    expect(pageOf({ seq: 1, step: 1, type: "trap.abort", data: { addr: "0x4ff00123" } })).toBe("0x4ff00000");
    expect(pageOf({ seq: 1, step: 1, type: "trap.mmio", data: { addr: "0x8080088" } })).toBeNull();
    expect(pageOf({ seq: 1, step: 1, type: "violation", data: {} })).toBeNull();
  });
});
