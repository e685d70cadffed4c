// The memory-ownership map: runs of equal pages as the service sends them, and the grids drawn from them.

export interface PageRun {
  addr: bigint;
  pages: number;
  owner: string;
  state: string;
  pins: number;
  use: string;
}

export interface Grid {
  base: bigint;
  pagesPerCell: number;
  columns: number;
  rows: number;
  cells: number;
}

export const PAGE = 4096n;

/** Index of the run that holds `addr`, or -1. Runs are sorted and do not overlap. */
export function runAt(runs: readonly PageRun[], addr: bigint): number {
  let low = 0;
  let high = runs.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle]!;
    if (addr < run.addr) high = middle - 1;
    else if (addr >= run.addr + BigInt(run.pages) * PAGE) low = middle + 1;
    else return middle;
  }
  return -1;
}

/** A grid of at most `cells` cells over `pages` pages; the pages of a cell are a power of two. */
export function gridOver(base: bigint, pages: number, columns: number, cells: number): Grid {
  let pagesPerCell = 1;
  while (pages / pagesPerCell > cells) pagesPerCell *= 2;
  const count = Math.max(1, Math.ceil(pages / pagesPerCell));
  return { base, pagesPerCell, columns, rows: Math.ceil(count / columns), cells: count };
}

export const cellAddr = (grid: Grid, cell: number): bigint => grid.base + BigInt(cell * grid.pagesPerCell) * PAGE;

export function cellOf(grid: Grid, addr: bigint): number {
  return Number((addr - grid.base) / PAGE / BigInt(grid.pagesPerCell));
}

/** What matters most wins a cell with several owners: what must be protected is never hidden by plain host memory. */
const WEIGHT: Record<string, number> = { none: 0, host: 1, its: 3, mmio: 3, hyp: 4, guest: 5 };

export interface Cell {
  owner: string;
  state: string;
  use: string;
  pins: number;
  mixed: boolean;
}

const weightOf = (run: PageRun): number =>
  (WEIGHT[run.owner] ?? 2) * 10 + (run.state.includes("shared") ? 5 : 0) + (run.pins > 0 ? 2 : 0) + (run.use ? 1 : 0);

/** One entry per cell, in a single walk over the runs; null where no run reaches. */
export function cellsOf(grid: Grid, runs: readonly PageRun[]): (Cell | null)[] {
  const cells: (Cell | null)[] = new Array<Cell | null>(grid.cells).fill(null);
  const weights = new Float64Array(grid.cells).fill(-1);
  const last = grid.cells - 1;
  for (const run of runs) {
    const from = cellOf(grid, run.addr);
    const to = cellOf(grid, run.addr + BigInt(run.pages) * PAGE - 1n);
    if (to < 0 || from > last) continue;
    const weight = weightOf(run);
    for (let cell = Math.max(0, from); cell <= Math.min(last, to); cell += 1) {
      const there = cells[cell];
      if (weight > weights[cell]!) {
        weights[cell] = weight;
        const { owner, state, use, pins } = run;
        cells[cell] = { owner, state, use, pins, mixed: there != null };
      } else if (there) there.mixed = true;
    }
  }
  return cells;
}

/** Pages of each owner and state, largest first: the table beside the canvas. */
export function totals(runs: readonly PageRun[]): { owner: string; state: string; pages: number; pinned: number }[] {
  const sums = new Map<string, { owner: string; state: string; pages: number; pinned: number }>();
  for (const run of runs) {
    const key = `${run.owner} ${run.state}`;
    const sum = sums.get(key) ?? { owner: run.owner, state: run.state, pages: 0, pinned: 0 };
    sum.pages += run.pages;
    if (run.pins > 0) sum.pinned += run.pages;
    sums.set(key, sum);
  }
  return [...sums.values()].sort((a, b) => b.pages - a.pages);
}
