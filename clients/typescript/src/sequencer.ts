import type { Frame, SessionEvent, StreamItem } from "./frames";

/**
 * Turns frames into items without hole or duplicate. Pure: no socket, no clock.
 *
 * Invariant: `last` is the seq up to which everything was handed on or reported missing, in `epoch`.
 */
export class Sequencer {
  epoch: number | null;
  last: number;
  /** Events that came twice (a resume overlaps) and were left out. */
  duplicates = 0;

  /** With a type filter (`filtered`) numbers are skipped by design, so that only declared gaps count. */
  constructor(
    after: number,
    epoch: number | null,
    private readonly filtered: boolean,
  ) {
    this.last = after;
    this.epoch = epoch;
  }

  accept(frame: Frame): StreamItem[] {
    const items: StreamItem[] = [];
    const first = frame.events?.[0]?.seq ?? frame.gap?.from;
    if (frame.epoch !== undefined && frame.epoch !== this.epoch) {
      // A new epoch with growing numbers continues; one whose numbers start again replaces what was seen.
      const rewound = first !== undefined && first <= this.last;
      if (this.epoch !== null) items.push({ kind: "epoch", from: this.epoch, to: frame.epoch, rewound });
      if (rewound && this.epoch !== null) this.last = first - 1;
      this.epoch = frame.epoch;
    }
    if (frame.gap) this.skip(frame.gap.from, frame.gap.to, items);
    if (frame.events && frame.events.length > 0) this.take(frame.events, items);
    return items;
  }

  /** The service says that it knows less than was seen: it lost its history and starts again. */
  rewind(): void {
    this.last = 0;
  }

  private skip(from: number, to: number, items: StreamItem[]): void {
    const start = Math.max(from, this.last + 1);
    if (to < start) return;
    if (!this.filtered && start > this.last + 1) {
      items.push({ kind: "gap", from: this.last + 1, to: start - 1, declared: false });
    }
    items.push({ kind: "gap", from: start, to, declared: true });
    this.last = to;
  }

  private take(events: SessionEvent[], items: StreamItem[]): void {
    let run: SessionEvent[] = [];
    const flush = (): void => {
      if (run.length > 0) items.push({ kind: "events", epoch: this.epoch ?? 0, events: run });
      run = [];
    };
    for (const event of events) {
      if (event.seq <= this.last) {
        this.duplicates += 1;
        continue;
      }
      if (!this.filtered && event.seq > this.last + 1) {
        flush();
        items.push({ kind: "gap", from: this.last + 1, to: event.seq - 1, declared: false });
      }
      run.push(event);
      this.last = event.seq;
    }
    flush();
  }
}
