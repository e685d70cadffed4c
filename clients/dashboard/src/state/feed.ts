import { signal } from "@preact/signals";
import type { StreamItem, StreamState } from "itsbox-client";
import { History } from "./history";
import { inNextFrame } from "./frame";
import { apiKey, baseUrl } from "./api";
import { CHUNK, type FromWorker, type ToWorker } from "./protocol";

/** The live side of one session: the worker's items folded into a History, one signal that says "changed". */
export class Feed {
  readonly history = new History();
  /** Grows by one in each frame that brought something. */
  readonly version = signal(0);
  readonly connection = signal<StreamState>({ state: "connecting", attempt: 1 });
  readonly paused = signal(false);
  /** Events that arrived and wait for room. */
  readonly queued = signal(0);
  private readonly worker: Worker;
  private incoming: StreamItem[] = [];
  private state: StreamState | null = null;
  private waiting = 0;
  private owed = true;

  constructor(readonly session: string) {
    this.worker = new Worker(new URL("./stream.worker.ts", import.meta.url), { type: "module", name: "itsbox-stream" });
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    this.worker.onerror = (event) => {
      this.state = { state: "ended", why: "closed", detail: `the stream's worker failed: ${event.message}` };
      inNextFrame(this.flush);
    };
    this.post({ op: "open", baseUrl, apiKey: apiKey.peek(), session, after: 0, epoch: null });
    this.post({ op: "more", room: CHUNK });
  }

  /** Freezes what is shown. Events go on being kept: here while there is room, then in the worker, then at the service. */
  setPaused(paused: boolean): void {
    this.paused.value = paused;
    if (!paused) this.askForMore();
  }

  retryNow(): void {
    this.post({ op: "retry" });
  }

  close(): void {
    this.post({ op: "close" });
    this.worker.onmessage = null;
  }

  private receive(message: FromWorker): void {
    if (message.op === "state") this.state = message.state;
    else this.waiting = message.queued;
    if (message.op === "items") {
      this.incoming.push(...message.items);
      this.owed = true;
    }
    inNextFrame(this.flush);
  }

  private flush = (): void => {
    if (this.state) {
      this.connection.value = this.state;
      this.state = null;
    }
    this.queued.value = this.waiting;
    if (this.incoming.length > 0) {
      const items = this.incoming;
      this.incoming = [];
      this.history.take(items);
      this.version.value += 1;
    }
    this.askForMore();
  };

  private askForMore(): void {
    if (!this.owed) return;
    // While paused nothing may push out a row that somebody is reading.
    const room = this.paused.peek() ? Math.min(CHUNK, this.history.buffer.free) : CHUNK;
    if (room <= 0) return;
    this.owed = false;
    this.post({ op: "more", room });
  }

  private post(message: ToWorker): void {
    this.worker.postMessage(message);
  }
}
