import type { SessionEvent } from "itsbox-client";
import { NOTICE_TYPES, type EventBuffer } from "./buffer";

export interface EventFilter {
  /** Types that are hidden; a type never seen before is shown. */
  hidden: ReadonlySet<string>;
  /** Words that must all occur in the event's text, in any case. */
  text: string;
}

/** What a search looks at: the type, the numbers and every datum, as they stand in the event's JSON. */
export function searchText(event: SessionEvent): string {
  return `${event.seq} ${event.step} ${event.type} ${JSON.stringify(event.data)}`.toLowerCase();
}

/** A predicate made once per filter, so that a row costs no splitting of the search text. */
export function matcher(filter: EventFilter): (event: SessionEvent) => boolean {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return (event) => {
    if (NOTICE_TYPES.has(event.type)) return true;
    if (filter.hidden.has(event.type)) return false;
    if (words.length === 0) return true;
    const text = searchText(event);
    return words.every((word) => text.includes(word));
  };
}

/**
 * Positions of the rows that match, kept up to date in steps of bounded cost: each row is looked at once per filter.
 *
 * Invariant: `positions[head..]` are the matching positions in [buffer.first, scanned).
 */
export class FilteredRows {
  private positions: number[] = [];
  private head = 0;
  private scanned = 0;
  private matches: (event: SessionEvent) => boolean;
  /** Matching rows that left at the front since the filter was set: a list that is not at its end moves up by as many. */
  left = 0;

  constructor(
    private readonly buffer: EventBuffer,
    filter: EventFilter,
  ) {
    this.matches = matcher(filter);
    this.scanned = buffer.first;
  }

  get length(): number {
    return this.positions.length - this.head;
  }

  /** Rows not looked at yet. */
  get behind(): number {
    return this.buffer.end - Math.max(this.scanned, this.buffer.first);
  }

  setFilter(filter: EventFilter): void {
    this.matches = matcher(filter);
    this.positions = [];
    this.head = 0;
    this.left = 0;
    this.scanned = this.buffer.first;
  }

  /** Looks at up to `budget` rows and forgets those that left the buffer. Returns whether anything changed. */
  advance(budget: number): boolean {
    const before = this.head;
    while (this.head < this.positions.length && this.positions[this.head]! < this.buffer.first) this.head += 1;
    const gone = this.head - before;
    this.left += gone;
    if (this.head > 4096 && this.head * 2 > this.positions.length) {
      this.positions = this.positions.slice(this.head);
      this.head = 0;
    }
    const start = Math.max(this.scanned, this.buffer.first);
    const stop = Math.min(this.buffer.end, start + budget);
    for (let position = start; position < stop; position += 1) {
      if (this.matches(this.buffer.at(position)!)) this.positions.push(position);
    }
    this.scanned = stop;
    return stop > start || gone > 0;
  }

  row(index: number): SessionEvent | undefined {
    const position = this.positions[this.head + index];
    return position === undefined ? undefined : this.buffer.at(position);
  }

  /** How many matching rows have a seq of at most `seq`: where a jump or the time scrubber lands. */
  countUpTo(seq: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.row(middle)!.seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
