import type { SessionEvent, StreamItem } from "itsbox-client";
import { Bins, familyOf } from "../logic/bins";
import { EventBuffer } from "../logic/buffer";
import { Fold } from "../logic/fold";
import { refusalOf } from "../logic/groups";

/** Events that the page keeps; older ones are counted and asked of the service again when somebody goes there. */
export const EVENTS_KEPT = 20_000;

/**
 * All that the page knows of a session's past. Pure: items in, state out.
 *
 * Invariant: `base` is the fold of the rows that left the buffer, `head` that of all rows.
 */
export class History {
  readonly buffer: EventBuffer;
  base = new Fold();
  head = new Fold();
  bins = new Bins();
  epoch = 0;
  /** Grows when everything known was thrown away because history began anew. */
  generation = 0;
  /** Seq of the newest event, gaps included. */
  last = 0;

  constructor(capacity = EVENTS_KEPT) {
    this.buffer = new EventBuffer(capacity);
  }

  /** Seq of the oldest event that is here. */
  get firstSeq(): number {
    return this.buffer.at(this.buffer.first)?.seq ?? this.last + 1;
  }

  get letGo(): number {
    return this.base.events;
  }

  take(items: readonly StreamItem[]): void {
    for (const item of items) {
      switch (item.kind) {
        case "events":
          this.epoch = item.epoch;
          this.addAll(item.events);
          break;
        case "gap":
          this.notice("stream.gap", item.from, { from: item.from, to: item.to, declared: item.declared });
          this.last = item.to;
          break;
        case "epoch":
          if (item.rewound) this.forget();
          this.epoch = item.to;
          this.notice("stream.epoch", this.last, { from: item.from, to: item.to, rewound: item.rewound });
          break;
        case "malformed":
          this.notice("stream.malformed", this.last, { why: item.why });
          break;
      }
    }
  }

  /** The fold after event `seq`, from what is here; null if that lies before it. */
  foldAt(seq: number): Fold | null {
    if (seq >= this.last) return this.head;
    if (seq < this.firstSeq - 1) return null;
    const fold = this.base.clone();
    for (const row of this.buffer.rowsUpTo(seq)) fold.add(row);
    fold.seq = seq;
    return fold;
  }

  private forget(): void {
    this.buffer.clear();
    this.base = new Fold();
    this.head = new Fold();
    this.bins = new Bins();
    this.last = 0;
    this.generation += 1;
  }

  private notice(type: string, seq: number, data: Record<string, unknown>): void {
    this.addAll([{ seq, step: this.head.step, type, data }]);
  }

  private addAll(events: readonly SessionEvent[]): void {
    for (const evicted of this.buffer.push(events)) this.base.add(evicted);
    for (const event of events) {
      this.head.add(event);
      if (event.seq > this.last) this.last = event.seq;
      if (!event.type.startsWith("stream.")) this.bins.add(event.seq, familyOf(event.type, refusalOf(event) !== null));
    }
  }
}
