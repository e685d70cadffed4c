import type { StreamItem } from "itsbox-client";
import { CHUNK } from "./protocol";

/** Items on their way to the page, handed out in pieces of bounded size. Pure, so that it is tested without a worker. */
export class Outbox {
  private items: StreamItem[] = [];
  /** Events inside. */
  queued = 0;

  put(items: readonly StreamItem[]): void {
    for (const item of items) {
      if (item.kind === "events") this.queued += item.events.length;
      this.items.push(item);
    }
  }

  /** Up to `room` events and at most CHUNK, with everything that stands between them, in order. */
  take(room: number): StreamItem[] {
    let left = Math.min(room, CHUNK);
    const taken: StreamItem[] = [];
    while (this.items.length > 0 && left > 0) {
      const item = this.items[0]!;
      if (item.kind !== "events") {
        taken.push(item);
        this.items.shift();
        left -= 1;
      } else if (item.events.length <= left) {
        taken.push(item);
        this.items.shift();
        left -= item.events.length;
        this.queued -= item.events.length;
      } else {
        taken.push({ ...item, events: item.events.slice(0, left) });
        this.items[0] = { ...item, events: item.events.slice(left) };
        this.queued -= left;
        left = 0;
      }
    }
    return taken;
  }

  get empty(): boolean {
    return this.items.length === 0;
  }
}
