import { parseHex, type SessionEvent } from "itsbox-client";
import type { Group } from "./groups";
import { cellOf, PAGE, type Grid } from "./pagemap";
import { violationOf } from "./shapes";

/** Memory that a violation names, and what it says about it. */
export interface Hit {
  seq: number;
  addr: bigint;
  bytes: bigint;
  oracle: string;
  sentence: string;
}

const rowsOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter((row): row is Record<string, unknown> => typeof row === "object" && row !== null) : [];

/** Every range that a violation names; none if its evidence is no list of addresses. */
export function hitsOf(event: SessionEvent): Hit[] {
  const { oracle, sentence, evidence } = violationOf(event.data);
  return rowsOf(evidence.addresses).flatMap((row) => {
    const addr = parseHex(row.addr);
    const bytes = typeof row.length === "number" && row.length > 0 ? BigInt(Math.floor(row.length)) : 1n;
    return addr === null ? [] : [{ seq: event.seq, addr, bytes, oracle, sentence }];
  });
}

/** What the newest violations of each kind name, newest first. */
export function hitsIn(violations: Iterable<Group>): Hit[] {
  return [...violations].flatMap((group) => group.samples.flatMap(hitsOf)).sort((a, b) => b.seq - a.seq);
}

/** Those that name one of the pages from `addr` on. */
export function hitsAt(hits: readonly Hit[], addr: bigint, pages: number): Hit[] {
  const end = addr + BigInt(pages) * PAGE;
  return hits.filter((hit) => hit.addr < end && hit.addr + hit.bytes > addr);
}

/** The cells of a map that some violation names. */
export function hitCells(hits: readonly Hit[], grid: Grid): Set<number> {
  const cells = new Set<number>();
  for (const { addr, bytes } of hits) {
    if (addr + bytes <= grid.base) continue;
    const from = addr < grid.base ? 0 : cellOf(grid, addr);
    const to = Math.min(grid.cells - 1, cellOf(grid, addr + bytes - 1n));
    for (let cell = from; cell <= to; cell += 1) cells.add(cell);
  }
  return cells;
}

/** The page that an event is about, if it is about one. */
export function pageOf(event: SessionEvent): string | null {
  const named = event.type === "violation" ? (hitsOf(event)[0]?.addr ?? null) : ["page.state", "trap.abort"].includes(event.type) ? parseHex(event.data.addr) : null;
  return named === null ? null : `0x${((named / PAGE) * PAGE).toString(16)}`;
}
