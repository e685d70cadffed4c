import { cellsOf, type Cell, type Grid, type PageRun } from "../logic/pagemap";
import type { Drawing } from "./canvas";
import { OWNERS, ownerKey, type Pattern } from "./marks";

export interface CellBox {
  size: number;
  columns: number;
}

/** Cells as large as fit; columns follow the width, so that a narrow page gets a taller map rather than smaller cells. */
export function layout(width: number, height: number, cells: number): CellBox {
  let size = Math.max(4, Math.floor(Math.sqrt((width * height) / Math.max(1, cells))));
  while (size > 4 && Math.ceil(cells / Math.floor(width / size)) * size > height) size -= 1;
  return { size, columns: Math.max(1, Math.floor(width / size)) };
}

export const cellAt = (x: number, y: number, { size, columns }: CellBox, cells: number): number | null => {
  const [column, row] = [Math.floor(x / size), Math.floor(y / size)];
  const cell = row * columns + column;
  return x < 0 || y < 0 || column >= columns || cell >= cells ? null : cell;
};

const tiles = new Map<string, CanvasPattern | string>();

/** A pattern that repeats in the owner's colour; kept until the theme changes it. */
function fillOf(ctx: CanvasRenderingContext2D, base: string, panel: string, pattern: Pattern): CanvasPattern | string {
  if (pattern === "plain") return base;
  const key = `${base} ${panel} ${pattern}`;
  const known = tiles.get(key);
  if (known) return known;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d")!;
  pen.fillStyle = base;
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = pen.fillStyle = panel;
  pen.globalAlpha = 0.6;
  pen.lineWidth = 1;
  pen.beginPath();
  if (pattern === "stripes" || pattern === "cross") {
    for (const shift of [-6, 0, 6]) {
      pen.moveTo(shift, 6);
      pen.lineTo(shift + 6, 0);
    }
  }
  if (pattern === "cross") {
    for (const shift of [-6, 0, 6]) {
      pen.moveTo(shift, 0);
      pen.lineTo(shift + 6, 6);
    }
  }
  if (pattern === "bars") {
    pen.moveTo(0, 2.5);
    pen.lineTo(6, 2.5);
  }
  pen.stroke();
  if (pattern === "dots") pen.fillRect(2, 2, 2, 2);
  const made = ctx.createPattern(tile, "repeat") ?? base;
  tiles.set(key, made);
  return made;
}

/** Cells that stand out: the one pointed at, those that changed lately, those that a violation names. */
export interface Marked {
  hover: number | null;
  touched: ReadonlySet<number>;
  hit: ReadonlySet<number>;
}

export function drawPages(drawing: Drawing, grid: Grid, runs: readonly PageRun[], { hover, touched, hit }: Marked): void {
  const { ctx, width, height, color } = drawing;
  const box = layout(width, height, grid.cells);
  const cells = cellsOf(grid, runs);
  const gap = box.size >= 7 ? 1 : 0;
  cells.forEach((cell, index) => {
    const x = (index % box.columns) * box.size;
    const y = Math.floor(index / box.columns) * box.size;
    paint(drawing, cell, x, y, box.size - gap);
    if (touched.has(index)) {
      ctx.strokeStyle = color("cursor");
      ctx.lineWidth = 2;
      ctx.strokeRect(x + 1, y + 1, box.size - gap - 2, box.size - gap - 2);
    }
  });
  for (const index of hit) cross(drawing, (index % box.columns) * box.size, Math.floor(index / box.columns) * box.size, box.size - gap);
  if (hover !== null) {
    ctx.strokeStyle = color("ink");
    ctx.lineWidth = 2;
    ctx.strokeRect((hover % box.columns) * box.size, Math.floor(hover / box.columns) * box.size, box.size - gap, box.size - gap);
  }
}

/** Thick on a ground of its own: seen on every owner's pattern. */
function cross({ ctx, color }: Drawing, x: number, y: number, size: number): void {
  ctx.fillStyle = color("panel");
  ctx.fillRect(x, y, size, size);
  ctx.strokeStyle = color("bad");
  ctx.lineWidth = Math.max(2, size / 5);
  ctx.beginPath();
  ctx.moveTo(x + 2, y + 2);
  ctx.lineTo(x + size - 2, y + size - 2);
  ctx.moveTo(x + size - 2, y + 2);
  ctx.lineTo(x + 2, y + size - 2);
  ctx.stroke();
}

function paint({ ctx, color }: Drawing, cell: Cell | null, x: number, y: number, size: number): void {
  if (!cell) {
    ctx.fillStyle = color("raised");
    ctx.fillRect(x, y, size, size);
    return;
  }
  const owner = OWNERS[ownerKey(cell.owner, cell.state)]!;
  const base = color(owner.color);
  ctx.fillStyle = fillOf(ctx, base, color("panel"), owner.pattern);
  // Untouched host memory is the quiet background of the map; what is used or protected stands out.
  ctx.globalAlpha = owner.letter === "H" && !cell.use && cell.pins === 0 ? 0.3 : 1;
  ctx.fillRect(x, y, size, size);
  ctx.globalAlpha = 1;
  if (cell.pins > 0) {
    ctx.fillStyle = color("ink");
    ctx.beginPath();
    ctx.moveTo(x + size, y);
    ctx.lineTo(x + size, y + Math.max(3, size / 2.4));
    ctx.lineTo(x + size - Math.max(3, size / 2.4), y);
    ctx.fill();
  }
  if (size >= 14 && (owner.letter !== "H" || cell.use)) {
    ctx.font = `700 ${Math.min(12, size - 4)}px ui-monospace, monospace`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.lineWidth = 3;
    ctx.strokeStyle = color("panel");
    ctx.strokeText(owner.letter, x + size / 2, y + size / 2 + 0.5);
    ctx.fillStyle = color("ink");
    ctx.fillText(owner.letter, x + size / 2, y + size / 2 + 0.5);
    ctx.textBaseline = "alphabetic";
  }
}
