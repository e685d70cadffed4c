import { ProblemError, type JournalPage, type Op, type Session, type SessionEvent } from "itsbox-client";
import { client } from "./api";

/** Metadata key of a replica: whose past it shows. */
export const REPLICA_OF = "itsbox.replica_of";

/** Metadata key of a session that the dashboard forked: its own snapshot of the machine that it began with. */
export const ORIGIN = "itsbox.origin";

const FORKED = "it was forked from another session, and nobody kept the machine that it began with";

export type PastState =
  | { state: "live" }
  | { state: "building"; done: number; total: number }
  /** `session` has the machine as it was; `key` names the moment. */
  | { state: "ready"; session: string; step: number; key: string }
  | { state: "unavailable"; why: string };

/** Why the machine of a moment cannot be built: a sentence that goes on after "cannot be: ". */
class Unavailable extends Error {}

/** Ops in one request of the replay; between two of them the progress is shown and a newer wish is heard. */
const CHUNK = 500;
/** Snapshots of the replica: where a scrubber that turns back starts from. The service keeps at most 64. */
const POINTS_KEPT = 24;
/** A replica that nobody looks at any more ends by itself. */
const IDLE_S = 300;

interface Point {
  step: number;
  snapshot: string;
}

/**
 * The machine as it was at an event. The service cannot turn back, but the same ops give the same machine: a second session
 * gets the ops of the first one's journal, up to the step of that event. Turning back starts from a snapshot of the replica.
 */
export class Replica {
  private session: string | null = null;
  private step = 0;
  private startStep = 0;
  private points: Point[] = [];
  private wish = 0;
  private busy: Promise<void> = Promise.resolve();
  private disposed = false;

  constructor(
    private readonly original: string,
    private readonly info: () => Session | null,
  ) {
    window.addEventListener("pagehide", this.onHide);
  }

  /** Builds the machine after event `seq`; the newest wish wins. Tells progress, then `ready` or `unavailable`. */
  goto(seq: number, step: number | null, tell: (state: PastState) => void): Promise<void> {
    const wish = ++this.wish;
    const current = (): boolean => wish === this.wish && !this.disposed;
    this.busy = this.busy.then(async () => {
      if (!current()) return;
      try {
        await this.build(seq, step, tell, current);
        if (current()) tell({ state: "ready", session: this.session!, step: this.step, key: `${this.session} ${this.step}` });
      } catch (error) {
        if (!current()) return;
        const why = error instanceof Error ? error.message : String(error);
        tell({ state: "unavailable", why });
        if (error instanceof ProblemError && error.gone) this.forget(); // it may have ended idle: the next wish makes another
      }
    });
    return this.busy;
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    window.removeEventListener("pagehide", this.onHide);
    await this.busy;
    const session = this.session;
    this.forget();
    if (session) await client.kill(session).catch(() => undefined); // it ends idle in any case
  }

  private onHide = (): void => {
    if (this.session) void client.kill(this.session, true).catch(() => undefined);
    this.forget();
  };

  private forget(): void {
    this.session = null;
    this.points = [];
  }

  private async build(seq: number, known: number | null, tell: (state: PastState) => void, current: () => boolean): Promise<void> {
    const snapshot = await this.originFor(seq);
    if (this.session === null) await this.create(snapshot);
    const target = Math.max(this.startStep, known ?? (await this.stepOf(seq)));
    if (target < this.step) await this.turnBack(target);
    const from = this.step;
    while (this.step < target && current()) {
      tell({ state: "building", done: this.step - from, total: target - from });
      const done = this.step - this.startStep;
      const page = await client.journal(this.original, done, Math.min(CHUNK, target - this.step));
      if (page.first > done + 1) {
        throw new Unavailable("the service no longer keeps the beginning of this session's journal");
      }
      if (page.ops.length === 0) throw new Unavailable("the journal ends before that event");
      const ops = page.ops.map(bare);
      const answer = await client.run(this.session!, ops);
      if (answer.step !== this.step + ops.length) {
        throw new Unavailable(`the replayed machine stands at step ${answer.step} where ${this.step + ops.length} was expected`);
      }
      this.step = answer.step;
    }
    if (this.step !== from) await this.mark();
  }

  /** What the journal starts from: null is a machine of the session's own configuration. */
  private async originFor(seq: number): Promise<string | null> {
    let page: JournalPage;
    try {
      page = await client.journal(this.original, 0, 1);
    } catch (error) {
      if (error instanceof ProblemError && [404, 405].includes(error.status)) throw new Unavailable("the service keeps no journal of this session");
      throw error;
    }
    const restored = (await this.eventsOf("session.restored")).at(-1);
    if (restored && seq < restored.seq) {
      throw new Unavailable(`the session was put back to a snapshot at event ${restored.seq}, and its journal begins there`);
    }
    return page.snapshot ?? null;
  }

  private async create(restored: string | null): Promise<void> {
    const metadata = { [REPLICA_OF]: this.original };
    const info = this.info() ?? (await client.session(this.original));
    // A restore starts the journal anew from its snapshot; a fork of ours kept a snapshot of its beginning.
    const origin = restored ?? info.metadata?.[ORIGIN] ?? null;
    let made: Session;
    if (origin !== null) {
      const forked = await this.forkAt(origin, restored === null);
      made = await client.change(forked.id, { metadata, idle_timeout_s: IDLE_S });
    } else {
      const { profile, cpus, ram_mib, hardening, start, error_policy, quirks, oracle } = info;
      made = await client.create({ profile, cpus, ram_mib, hardening, start, error_policy, quirks, oracle, metadata, idle_timeout_s: IDLE_S });
    }
    if (restored === null && !(await this.beginsAt(made.step))) {
      await client.kill(made.id);
      throw new Unavailable(FORKED);
    }
    this.session = made.id;
    this.step = this.startStep = made.step;
    await this.mark();
  }

  /**
   * Whether the journal starts from a machine at `step`. A session begins there, or as a fork of another one; a scenario's
   * machine is older than its session, and its journal says where it began: its ops are all the steps since.
   */
  private async beginsAt(step: number): Promise<boolean> {
    const created = (await this.eventsOf("session.created"))[0];
    if (!created || created.step === step) return true;
    for (let tries = 0; tries < 5; tries += 1) {
      const before = await client.journal(this.original, 0, 1);
      const now = await client.session(this.original);
      const after = await client.journal(this.original, 0, 1);
      if (before.head === after.head) return now.step - after.head === step;
    }
    return false; // it is being driven all the while, as a scenario's machine is not
  }

  private async forkAt(snapshot: string, ours: boolean): Promise<Session> {
    try {
      return (await client.fork(this.original, 1, snapshot))[0]!;
    } catch (error) {
      // Metadata outlives the snapshot that it names: it is copied to forks of forks, and anybody may delete a snapshot.
      if (ours && error instanceof ProblemError && error.gone) throw new Unavailable(FORKED);
      throw error;
    }
  }

  private async stepOf(seq: number): Promise<number> {
    if (seq === 0) return this.startStep;
    const [event] = (await client.events(this.original, { after: seq - 1, limit: 1 })).events;
    if (!event || event.seq !== seq) throw new Unavailable(`the service no longer keeps event ${seq}`);
    return event.step;
  }

  private async eventsOf(type: string): Promise<SessionEvent[]> {
    return (await client.events(this.original, { types: type })).events;
  }

  /** Remembers where the replica stands; of too many points the one that its neighbours replace best is given up. */
  private async mark(): Promise<void> {
    if (this.points.some((point) => point.step === this.step)) return;
    const { id } = await client.snapshot(this.session!);
    this.points.push({ step: this.step, snapshot: id });
    this.points.sort((a, b) => a.step - b.step);
    if (this.points.length <= POINTS_KEPT) return;
    let least = 1;
    const span = (at: number): number => (this.points[at + 1]?.step ?? Infinity) - this.points[at - 1]!.step;
    for (let at = 2; at < this.points.length - 1; at += 1) if (span(at) < span(least)) least = at;
    const [given] = this.points.splice(least, 1);
    await client.forgetSnapshot(this.session!, given!.snapshot);
  }

  private async turnBack(target: number): Promise<void> {
    const point = this.points.findLast(({ step }) => step <= target) ?? this.points[0]!;
    await client.restore(this.session!, point.snapshot);
    this.step = point.step;
  }
}

/** An op as a request takes it: a journal may say more about one than a request may. */
function bare(op: Op): Op {
  const { seq: _seq, step: _step, ...rest } = op;
  return rest as Op;
}
