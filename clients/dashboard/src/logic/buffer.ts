import type { SessionEvent } from "itsbox-client";

/** Rows that the page itself adds to the stream; no filter hides them. */
export const NOTICE_TYPES: ReadonlySet<string> = new Set(["stream.gap", "stream.epoch", "stream.malformed"]);

/**
 * The events that this page keeps: the newest `capacity`, with a count of those it let go.
 *
 * A row has a position: 0 for the first one ever pushed, growing by one, never reused. Rows first..end-1 are here.
 */
export class EventBuffer {
  private rows: (SessionEvent | undefined)[];
  /** Position of the oldest row that is here. */
  first = 0;
  /** Position after the newest row. */
  end = 0;

  constructor(readonly capacity: number) {
    this.rows = new Array<SessionEvent | undefined>(capacity);
  }

  get length(): number {
    return this.end - this.first;
  }

  get free(): number {
    return this.capacity - this.length;
  }

  /** Appends; returns the rows that had to go for it, oldest first. */
  push(events: readonly SessionEvent[]): SessionEvent[] {
    const evicted: SessionEvent[] = [];
    for (const event of events) {
      if (this.length === this.capacity) {
        evicted.push(this.rows[this.first % this.capacity]!);
        this.first += 1;
      }
      this.rows[this.end % this.capacity] = event;
      this.end += 1;
    }
    return evicted;
  }

  at(position: number): SessionEvent | undefined {
    return position >= this.first && position < this.end ? this.rows[position % this.capacity] : undefined;
  }

  /** Position of the first row whose seq is at least `seq`; `end` if there is none. */
  seek(seq: number): number {
    let low = this.first;
    let high = this.end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle)!.seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  clear(): void {
    this.rows = new Array<SessionEvent | undefined>(this.capacity);
    this.first = this.end;
  }
}
