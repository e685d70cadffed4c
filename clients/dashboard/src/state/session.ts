import { computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import { ProblemError, type EventPage, type Session, type SessionEvent } from "itsbox-client";
import { Fold } from "../logic/fold";
import { client } from "./api";
import { Feed } from "./feed";
import { ORIGIN, Replica, type PastState } from "./replica";
import { place, showMoment } from "./router";

/** How often the session itself is asked for: before the switch-over an access makes no event that would tell. */
const POLL_MS = 2000;
/** A scrubber in motion names many moments: only one it rests on is worth a replay. */
const REST_MS = 250;

/** One open session: live feed, its resource, and the moment that every view shows. */
export class SessionModel {
  readonly feed: Feed;
  readonly info = signal<Session | null>(null);
  readonly problem = signal<Error | null>(null);
  /** The event after which everything is shown; null follows the machine. It is the one that the place names. */
  readonly cursor: ReadonlySignal<number | null>;
  readonly past = signal<PastState>({ state: "live" });
  /** Fold at the cursor where it had to be fetched from the service. */
  private readonly fetched = signal<{ seq: number; fold: Fold } | null>(null);
  /** The session to look at: this one, or its replica at the cursor; null while that is being made. */
  readonly subject: ReadonlySignal<string | null>;
  /** Changes when what the routes answer may have changed. */
  readonly moment: ReadonlySignal<string>;
  private readonly replica: Replica;
  private cached: { at: number; generation: number; whole: boolean; fold: Fold } | null = null;
  private readonly stop: (() => void)[] = [];
  private closed = false;

  constructor(readonly id: string) {
    this.feed = new Feed(id);
    this.replica = new Replica(id, () => this.info.peek());
    this.cursor = computed(() => {
      const here = place.value;
      return here.page === "session" && here.id === id ? here.at : null;
    });
    this.subject = computed(() => {
      const past = this.past.value;
      if (past.state === "live") return this.id;
      return past.state === "ready" ? past.session : null;
    });
    this.moment = computed(() => {
      const past = this.past.value;
      if (past.state !== "live") return `${past.state} ${past.state === "ready" ? past.key : ""}`;
      return `${this.feed.version.value} ${this.info.value?.step ?? 0} ${this.info.value?.epoch ?? 0}`;
    });
    this.stop.push(effect(() => this.follow(this.cursor.value)));
    void this.poll();
  }

  /** What events tell of the moment shown. Called while rendering, it has the component drawn again when that changes. */
  fold(): Fold {
    const at = this.cursor.value;
    const { history, version } = this.feed;
    const fetched = this.fetched.value;
    if (at === null) {
      void version.value;
      return history.head;
    }
    // The past does not change: it is folded once per place, however many events arrive meanwhile.
    const known = this.cached;
    if (known?.at === at && known.generation === history.generation && (known.whole || fetched?.seq !== at)) return known.fold;
    if (at > history.last) void version.value;
    const here = history.foldAt(at);
    const fold = here ?? (fetched?.seq === at ? fetched.fold : new Fold());
    this.cached = at > history.last ? null : { at, generation: history.generation, whole: here !== null || fetched?.seq === at, fold };
    return fold;
  }

  /** Shows the machine as it was after event `seq`; the newest event, and null, follow the machine. */
  goTo(seq: number | null): void {
    const at = seq === null ? null : Math.max(0, seq);
    showMoment(at === null || at >= this.head ? null : at);
  }

  /** So many events forward, or back. */
  step(by: number): void {
    this.goTo((this.cursor.peek() ?? this.head) + by);
  }

  get head(): number {
    return Math.max(this.feed.history.last, this.info.value?.seq ?? 0);
  }

  /** The event at the cursor, if this page has it. */
  eventAt(seq: number): SessionEvent | undefined {
    const { buffer } = this.feed.history;
    const found = buffer.at(buffer.seek(seq));
    return found?.seq === seq ? found : undefined;
  }

  /** The events that the op of event `seq` made, as far as this page has them: the machine can be shown only after all of them. */
  opEvents(seq: number): { first: number; last: number } | null {
    const step = this.eventAt(seq)?.step;
    if (step === undefined) return null;
    const { buffer } = this.feed.history;
    const made = (event: SessionEvent | undefined): boolean => event?.step === step && !event.type.startsWith("session.");
    const of = (seq: number, by: 1 | -1): number => {
      let position = buffer.seek(seq);
      while (made(buffer.at(position + by))) position += by;
      return buffer.at(position)!.seq;
    };
    return { first: of(seq, -1), last: of(seq, 1) };
  }

  /** A new session with the machine as it is at the cursor (or now); answers its id. */
  async fork(): Promise<string> {
    const source = this.subject.peek();
    if (source === null) throw new Error("the machine of that moment is not ready");
    const [child] = await client.fork(source);
    if (!child) throw new Error("the service forked nothing");
    // The child's own past begins here: a snapshot of it is what its replicas will start from. A replica's child is nobody's
    // replica: it goes by the metadata of the session that was looked at.
    const { id: origin } = await client.snapshot(child.id);
    const { metadata = {}, idle_timeout_s } = this.info.peek() ?? {};
    await client.change(child.id, { metadata: { ...metadata, [ORIGIN]: origin }, ...(idle_timeout_s && { idle_timeout_s }) });
    return child.id;
  }

  close(): void {
    this.closed = true;
    for (const stop of this.stop) stop();
    this.feed.close();
    void this.replica.dispose();
  }

  private follow(at: number | null): (() => void) | void {
    if (at === null) {
      this.past.value = { state: "live" };
      return;
    }
    this.past.value = { state: "building", done: 0, total: 0 };
    const timer = setTimeout(() => {
      if (this.feed.history.foldAt(at) === null) void this.fetchFold(at);
      void this.replica.goto(at, this.eventAt(at)?.step ?? null, (state) => {
        if (this.cursor.peek() === at && !this.closed) this.past.value = state;
      });
    }, REST_MS);
    return () => clearTimeout(timer);
  }

  /** Folds the service's own history up to `at`, page by page, where this page kept too little. */
  private async fetchFold(at: number): Promise<void> {
    const fold = new Fold();
    let after = 0;
    while (after < at && this.cursor.peek() === at && !this.closed) {
      let page: EventPage;
      try {
        page = await client.events(this.id, { after, limit: 1000 });
      } catch (error) {
        this.problem.value = error as Error;
        return;
      }
      if (page.events.length === 0) break;
      for (const event of page.events) if (event.seq <= at) fold.add(event);
      after = page.events.at(-1)!.seq;
    }
    fold.seq = at;
    if (this.cursor.peek() === at) this.fetched.value = { seq: at, fold };
  }

  private async poll(): Promise<void> {
    while (!this.closed) {
      const ended = this.feed.connection.peek();
      if (ended.state === "ended" && ended.why === "gone") return;
      try {
        this.info.value = await client.session(this.id);
        this.problem.value = null;
      } catch (error) {
        this.problem.value = error as Error;
        if (error instanceof ProblemError && error.gone) return;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
