import type { SlotRecord } from "../logic/fold";
import { angleOf, arcs, isWaiting, visibleSpan, type QueuePointers } from "../logic/rings";
import type { Drawing } from "./canvas";

const FULL = 2 * Math.PI;
/** What a slot is drawn as: colour name, and how far the arc reaches into the band (shape beside colour). */
const KINDS: Record<string, { color: string; inset: number; outset: number }> = {
  executed: { color: "shared", inset: 0.25, outset: 0.25 },
  waiting: { color: "read", inset: 0.4, outset: 0.4 },
  refused: { color: "hyp", inset: 0, outset: 0 },
  error: { color: "its", inset: 0, outset: 0.4 },
  stalled: { color: "bad", inset: 0.4, outset: 0 },
};

export interface RingState {
  pointers: QueuePointers;
  slots: ReadonlyMap<number, SlotRecord> | null;
  stalled: boolean;
  hover: number | null;
  title: string;
}

export const radii = (width: number, height: number): { inner: number; outer: number } => {
  const outer = Math.min(width, height) / 2 - 34;
  return { inner: outer * 0.78, outer };
};

/** One command queue: the band of slots, what became of each, and the pointers as labelled hands. */
export function drawRing({ ctx, width, height, color }: Drawing, state: RingState): void {
  const { pointers, slots, hover } = state;
  const { inner, outer } = radii(width, height);
  const band = outer - inner;
  ctx.translate(width / 2, height / 2);
  ctx.lineCap = "butt";
  ring(ctx, inner, outer, 0, FULL, color("raised"));
  ctx.strokeStyle = color("line");
  ctx.lineWidth = 1;
  for (const radius of [inner, outer]) {
    ctx.beginPath();
    ctx.arc(0, 0, radius, 0, FULL);
    ctx.stroke();
  }
  ticks(ctx, pointers.slots, outer, color("strong-line"), color("faint"));
  const found = arcs(pointers.slots, (slot) => (isWaiting(slot, pointers) ? "waiting" : (slots?.get(slot)?.verdict ?? null)));
  // What went wrong is drawn last, so that one refused slot among thousands stays visible.
  const order = ["executed", "waiting", "error", "stalled", "refused"];
  for (const arc of found.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))) {
    const kind = KINDS[arc.kind];
    if (!kind) continue;
    const { start, end } = visibleSpan(arc, pointers.slots, arc.kind === "executed" ? 0.004 : 0.02);
    ring(ctx, inner + band * kind.inset, outer - band * kind.outset, start, end, color(kind.color));
  }
  if (hover !== null && pointers.slots > 0) {
    const { start, end } = visibleSpan({ from: hover, to: hover + 1, kind: "" }, pointers.slots, 0.012);
    ring(ctx, inner - 5, outer + 5, start, end, color("ink"));
  }
  hands(ctx, state, inner, color);
  ctx.fillStyle = color("ink");
  ctx.textAlign = "center";
  ctx.font = "600 13px system-ui, sans-serif";
  ctx.fillText(state.title, 0, -10);
  ctx.font = "12px ui-monospace, monospace";
  ctx.fillStyle = color("soft");
  ctx.fillText(`${pointers.slots.toLocaleString("en")} slots`, 0, 8);
  ctx.fillStyle = state.stalled ? color("bad") : color("soft");
  ctx.fillText(state.stalled ? "STALLED" : "running", 0, 25);
}

function ring(ctx: CanvasRenderingContext2D, inner: number, outer: number, start: number, end: number, fill: string): void {
  ctx.beginPath();
  ctx.arc(0, 0, outer, start, end);
  ctx.arc(0, 0, inner, end, start, true);
  ctx.closePath();
  ctx.fillStyle = fill;
  ctx.fill();
}

function ticks(ctx: CanvasRenderingContext2D, slots: number, outer: number, line: string, text: string): void {
  ctx.font = "10px ui-monospace, monospace";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (let eighth = 0; eighth < 8; eighth += 1) {
    const angle = angleOf((slots / 8) * eighth, slots || 1);
    const [x, y] = [Math.cos(angle), Math.sin(angle)];
    ctx.strokeStyle = line;
    ctx.beginPath();
    ctx.moveTo(x * outer, y * outer);
    ctx.lineTo(x * (outer + 5), y * (outer + 5));
    ctx.stroke();
    ctx.fillStyle = text;
    ctx.fillText(String(Math.floor((slots / 8) * eighth)), x * (outer + 18), y * (outer + 14));
  }
  ctx.textBaseline = "alphabetic";
}

/** Hands point from the centre side to the band: read inside, write outside, the hypervisor's cursor as a diamond. */
function hands(ctx: CanvasRenderingContext2D, { pointers }: RingState, inner: number, color: (name: string) => string): void {
  const { slots } = pointers;
  if (slots <= 0) return;
  const marks = [
    { slot: pointers.read, label: "R", tone: "read", from: inner - 26, to: inner - 3 },
    { slot: pointers.write, label: "W", tone: "write", from: inner - 44, to: inner - 3 },
    ...(pointers.consumed === null ? [] : [{ slot: pointers.consumed, label: "C", tone: "cursor", from: inner - 62, to: inner - 3 }]),
  ];
  for (const { slot, tone, from, to } of marks) {
    const angle = angleOf(slot, slots);
    const [x, y] = [Math.cos(angle), Math.sin(angle)];
    ctx.strokeStyle = ctx.fillStyle = color(tone);
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(x * from, y * from);
    ctx.lineTo(x * to, y * to);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x * (to + 3), y * (to + 3));
    ctx.lineTo(x * (to - 5) - y * 4, y * (to - 5) + x * 4);
    ctx.lineTo(x * (to - 5) + y * 4, y * (to - 5) - x * 4);
    ctx.fill();
  }
  // Labels after all hands: where two pointers meet, each can still be read.
  for (const { slot, label, tone, from } of marks) {
    const angle = angleOf(slot, slots);
    const [x, y] = [Math.cos(angle) * from, Math.sin(angle) * from];
    ctx.fillStyle = color(tone);
    ctx.beginPath();
    ctx.arc(x, y, 8, 0, FULL);
    ctx.fill();
    ctx.fillStyle = color("panel");
    ctx.font = "700 10px ui-monospace, monospace";
    ctx.textAlign = "center";
    ctx.fillText(label, x, y + 3.5);
  }
}
