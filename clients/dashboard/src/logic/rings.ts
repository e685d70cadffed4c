// Geometry of a command queue drawn as a ring: slot 0 at twelve o'clock, slots clockwise.

export interface QueuePointers {
  /** slots in the ring */
  slots: number;
  /** slot numbers, not byte offsets */
  read: number;
  write: number;
  /** where the hypervisor's own cursor stands, if it has one */
  consumed: number | null;
}

/** Bytes of one ITS command (IHI 0069H.b, the command queue). */
export const COMMAND_BYTES = 32;

export const slotOf = (offset: number): number => Math.floor(offset / COMMAND_BYTES);

/** Radians, 0 at twelve o'clock, clockwise, in canvas convention. */
export function angleOf(slot: number, slots: number): number {
  return (slot / slots) * 2 * Math.PI - Math.PI / 2;
}

/** The slot under a point relative to the centre, or null outside the band between the radii. */
export function slotAt(x: number, y: number, inner: number, outer: number, slots: number): number | null {
  const radius = Math.hypot(x, y);
  if (slots <= 0 || radius < inner || radius > outer) return null;
  const turn = (Math.atan2(y, x) + Math.PI / 2 + 2 * Math.PI) % (2 * Math.PI);
  return Math.min(slots - 1, Math.floor((turn / (2 * Math.PI)) * slots));
}

/** Whether a slot waits to be read: in [read, write) with wrap. An empty queue has read = write. */
export function isWaiting(slot: number, { read, write, slots }: QueuePointers): boolean {
  return read === write ? false : (slot - read + slots) % slots < (write - read + slots) % slots;
}

/** Commands that wait, with wrap. */
export function waiting({ read, write, slots }: QueuePointers): number {
  return slots > 0 ? (write - read + slots) % slots : 0;
}

export interface Arc {
  from: number;
  /** after the last slot; may exceed `slots` on an arc that wraps */
  to: number;
  kind: string;
}

/** Neighbouring slots of one kind as one arc, so that a full ring of 2,048 slots is drawn in few strokes. */
export function arcs(slots: number, kindOf: (slot: number) => string | null): Arc[] {
  const found: Arc[] = [];
  for (let slot = 0; slot < slots; slot += 1) {
    const kind = kindOf(slot);
    const last = found.at(-1);
    if (kind === null) continue;
    if (last && last.kind === kind && last.to === slot) last.to = slot + 1;
    else found.push({ from: slot, to: slot + 1, kind });
  }
  const [first] = found;
  const last = found.at(-1);
  if (first && last && first !== last && first.from === 0 && last.to === slots && first.kind === last.kind) {
    last.to = slots + first.to;
    found.shift();
  }
  return found;
}

/** An arc of a few slots among thousands is thinner than a pixel: widen it about its middle to `least` radians. */
export function visibleSpan(arc: Arc, slots: number, least: number): { start: number; end: number } {
  const start = angleOf(arc.from, slots);
  const end = angleOf(arc.to, slots);
  if (end - start >= least) return { start, end };
  const middle = (start + end) / 2;
  return { start: middle - least / 2, end: middle + least / 2 };
}

/** Slots to list around the pointers: `before` the read pointer, everything that waits, `after` the write pointer. */
export function windowSlots(pointers: QueuePointers, before: number, after: number, limit: number): number[] {
  const { slots, read } = pointers;
  if (slots <= 0) return [];
  const count = Math.min(slots, limit, before + waiting(pointers) + after);
  return Array.from({ length: count }, (_, index) => (((read - before + index) % slots) + slots) % slots);
}
