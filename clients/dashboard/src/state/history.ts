import type { SessionEvent, StreamItem } from "itsbox-client";
import { Bins, familyOf } from "../logic/bins";
import { EventBuffer } from "../logic/buffer";
import { Fold } from "../logic/fold";
import { refusalOf } from "../logic/groups";

/** Events that the page keeps; older ones are counted and asked of the service again when somebody goes there. */
export const EVENTS_KEPT = 20_000;

/** Events between two checkpoints: at most so many are folded to show a moment, however long the history. */
const CHECKPOINT_EVERY = 1000;

/** The fold of all rows before `position`; `seq` is that of the last of them. */
interface Checkpoint {
  position: number;
  seq: number;
  fold: Fold;
}

/**
 * All that the page knows of a session's past. Pure: items in, state out.
 *
 * Invariant: `head` is the fold of all rows; each checkpoint's rows from `position` on are in the buffer.
 */
export class History {
  readonly buffer: EventBuffer;
  head = new Fold();
  /** Rows that left the buffer. */
  letGo = 0;
  private checkpoints: Checkpoint[] = [{ position: 0, seq: 0, fold: new Fold() }];
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
    const start = this.checkpoints.findLast((each) => each.seq <= seq && each.position >= this.buffer.first);
    if (!start) return null;
    const fold = start.fold.clone();
    for (let position = start.position; position < this.buffer.end; position += 1) {
      const row = this.buffer.at(position)!;
      if (row.seq > seq) break;
      fold.add(row);
    }
    fold.seq = seq;
    return fold;
  }

  private forget(): void {
    this.buffer.clear();
    this.head = new Fold();
    this.letGo = 0;
    this.checkpoints = [{ position: this.buffer.end, seq: 0, fold: new Fold() }];
    this.bins = new Bins();
    this.last = 0;
    this.generation += 1;
  }

  private notice(type: string, seq: number, data: Record<string, unknown>): void {
    this.addAll([{ seq, step: this.head.step, type, data }]);
  }

  private addAll(events: readonly SessionEvent[]): void {
    for (const event of events) {
      if (this.head.events > 0 && this.head.events % CHECKPOINT_EVERY === 0) this.checkpoint();
      this.letGo += this.buffer.push([event]).length;
      this.head.add(event);
      if (event.seq > this.last) this.last = event.seq;
      if (!event.type.startsWith("stream.")) this.bins.add(event.seq, familyOf(event.type, refusalOf(event) !== null));
    }
  }

  private checkpoint(): void {
    this.checkpoints.push({ position: this.buffer.end, seq: this.last, fold: this.head.clone() });
    while (this.checkpoints[0]!.position < this.buffer.first) this.checkpoints.shift();
  }
}
