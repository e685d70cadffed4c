import { parseFrame, type StreamItem } from "./frames";
import { Sequencer } from "./sequencer";

/** The part of a WebSocket that the stream needs; a test or Node passes its own. */
export interface SocketLike {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: (() => void) | null;
  close(code?: number): void;
}

/** Why a socket could not be had. A browser hides the handshake's answer, so the session itself is asked. */
export type Probe =
  | { state: "there"; epoch: number; seq: number }
  | { state: "gone"; detail: string }
  | { state: "denied"; detail: string }
  | { state: "unreachable"; detail: string };

export type StreamState =
  | { state: "connecting"; attempt: number }
  | { state: "live" }
  /** The reader asked for a rest; the service keeps the events and the next connection resumes. */
  | { state: "held" }
  | { state: "waiting"; attempt: number; delayMs: number; why: string }
  | { state: "ended"; why: "gone" | "denied" | "closed"; detail: string };

export interface StreamOptions {
  /** ws(s)://.../v1/sessions/{id}/stream without query */
  url: string;
  after?: number;
  epoch?: number | null;
  types?: readonly string[];
  onItems: (items: StreamItem[]) => void;
  onState?: (state: StreamState) => void;
  /** A browser cannot set headers on a WebSocket: the key goes as a second subprotocol. */
  apiKey?: string | null;
  /** Asked after each failed or lost connection; without it every loss is retried. */
  probe?: () => Promise<Probe>;
  socket?: (url: string, protocols: string[]) => SocketLike;
  /** Replaces setTimeout in tests; returns what cancels. */
  later?: (run: () => void, ms: number) => () => void;
  /** 0..1, spreads the retries of many readers. */
  jitter?: () => number;
}

export const FIRST_DELAY_MS = 250;
export const LONGEST_DELAY_MS = 10_000;
/** Close codes after which a retry cannot help: policy, unauthenticated, forbidden. */
const DENIED = new Set([1008, 4401, 4403]);
/** 1013 "try again later", 4429: wait longer than after a plain loss. */
const OVERLOADED = new Set([1013, 4429]);

/**
 * The events of one session: resumes after a lost connection at the first event not yet seen, reports what is gone.
 *
 * It ends by itself only where a retry is pointless: the session is gone, or the service refuses us.
 */
export class EventStream {
  readonly sequencer: Sequencer;
  private socket: SocketLike | null = null;
  private cancelTimer: (() => void) | null = null;
  private attempt = 0;
  private wanted = false;
  private holding = false;

  constructor(private readonly options: StreamOptions) {
    const filtered = (options.types?.length ?? 0) > 0;
    this.sequencer = new Sequencer(options.after ?? 0, options.epoch ?? null, filtered);
  }

  open(): void {
    if (this.wanted) return;
    this.wanted = true;
    this.connect();
  }

  close(): void {
    if (!this.wanted) return;
    this.wanted = false;
    this.drop();
    this.tell({ state: "ended", why: "closed", detail: "closed by the reader" });
  }

  /** Stop receiving without losing anything: the next `release` resumes where this stopped. */
  hold(): void {
    if (!this.wanted || this.holding) return;
    this.holding = true;
    this.drop();
    this.tell({ state: "held" });
  }

  release(): void {
    if (!this.wanted || !this.holding) return;
    this.holding = false;
    this.attempt = 0;
    this.connect();
  }

  /** Do not wait for the timer: the reader asked to try now. */
  retryNow(): void {
    if (!this.wanted || this.holding || this.socket) return;
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.connect();
  }

  /** Where the next connection resumes. */
  address(): string {
    const query = new URLSearchParams({ after: String(this.sequencer.last) });
    if (this.options.types?.length) query.set("types", this.options.types.join(","));
    return `${this.options.url}?${query}`;
  }

  private connect(): void {
    this.attempt += 1;
    this.tell({ state: "connecting", attempt: this.attempt });
    const { apiKey } = this.options;
    const make = this.options.socket ?? ((url, protocols) => new WebSocket(url, protocols) as unknown as SocketLike);
    let socket: SocketLike;
    try {
      socket = make(this.address(), apiKey ? ["itsbox", `bearer.${apiKey}`] : []);
    } catch (error) {
      this.retry(String(error), 1006);
      return;
    }
    this.socket = socket;
    socket.onopen = () => {
      if (this.socket !== socket) return;
      this.tell({ state: "live" });
    };
    socket.onmessage = ({ data }) => {
      if (this.socket === socket) this.receive(data);
    };
    socket.onerror = () => undefined; // a close event always follows and says more
    socket.onclose = ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      void this.lost(code, reason);
    };
  }

  private receive(data: unknown): void {
    this.attempt = 0; // what answers is alive: the next loss starts with the shortest delay
    const frame = typeof data === "string" ? parseFrame(data) : "a frame is not text";
    const items: StreamItem[] =
      typeof frame === "string" ? [{ kind: "malformed", why: frame }] : this.sequencer.accept(frame);
    if (items.length > 0) this.options.onItems(items);
  }

  private async lost(code: number, reason: string): Promise<void> {
    if (code === 4404) return this.end("gone", reason || "the session is gone");
    if (DENIED.has(code)) return this.end("denied", reason || `the service closed the stream with code ${code}`);
    const probe = await this.options.probe?.();
    if (!this.wanted || this.holding || this.socket) return;
    if (probe?.state === "gone") return this.end("gone", probe.detail);
    if (probe?.state === "denied") return this.end("denied", probe.detail);
    if (probe?.state === "there" && probe.seq < this.sequencer.last) {
      // The same id with a shorter history: the service was restarted. Begin again rather than wait for ever.
      const from = this.sequencer.epoch ?? 0;
      this.sequencer.rewind();
      this.sequencer.epoch = probe.epoch;
      this.options.onItems([{ kind: "epoch", from, to: probe.epoch, rewound: true }]);
    }
    this.retry(probe?.state === "unreachable" ? probe.detail : reason || `connection lost (${code})`, code);
  }

  private retry(why: string, code: number): void {
    const floor = OVERLOADED.has(code) ? FIRST_DELAY_MS * 8 : FIRST_DELAY_MS;
    const bare = Math.min(LONGEST_DELAY_MS, floor * 2 ** Math.max(0, this.attempt - 1));
    const delayMs = Math.round(bare * (0.75 + 0.5 * (this.options.jitter ?? Math.random)()));
    this.tell({ state: "waiting", attempt: this.attempt, delayMs, why });
    const later =
      this.options.later ??
      ((run, ms) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      });
    this.cancelTimer = later(() => {
      this.cancelTimer = null;
      if (this.wanted && !this.holding) this.connect();
    }, delayMs);
  }

  private end(why: "gone" | "denied", detail: string): void {
    this.wanted = false;
    this.drop();
    this.tell({ state: "ended", why, detail });
  }

  private drop(): void {
    this.cancelTimer?.();
    this.cancelTimer = null;
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  private tell(state: StreamState): void {
    this.options.onState?.(state);
  }
}
