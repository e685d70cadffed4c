// The answers of design section 5 that clients work with. The routes themselves are typed by schema.d.ts; these are
// the shapes inside, where a route's schema leaves them open (decoded machine state).

export interface MemoryMap {
  gicd: string;
  its: string;
  translater: string;
  gicr: string;
  gicr_stride: string;
  ram: string;
  ram_bytes: string;
  hyp: string;
  hyp_bytes: string;
  guest: string;
  guest_bytes: string;
}

export interface Session {
  id: string;
  profile: string;
  phase: string;
  state: string;
  hardening: { preset: string; knobs: Record<string, unknown> };
  map: MemoryMap;
  epoch: number;
  seq: number;
  step: number;
  /** null once the machine has crashed */
  state_hash: string | null;
  cpus: number;
  ram_mib: number;
  start: string;
  error_policy: string;
  quirks: Record<string, unknown>;
  oracle: string;
  metadata: Record<string, unknown>;
  created_at: string;
  expires_at: string;
  [more: string]: unknown;
}

export interface SessionPage {
  sessions: Session[];
  next_cursor?: string | null;
}

export interface Op {
  op: string;
  [field: string]: unknown;
}

/** A piece of a session's journal: ops `first`, `first` + 1, ... of `head`; `origin` is the snapshot it starts from. */
export interface JournalPage {
  ops: Op[];
  next: number;
  first?: number;
  head?: number;
  origin?: string | null;
}

export interface Violation {
  oracle: string;
  sentence?: string;
  bucket: string;
  [evidence: string]: unknown;
}

export interface Command {
  slot: number;
  name: string | null;
  words: string[];
  verdict: "executed" | "error" | "stalled" | "refused";
  error?: string;
  code?: string;
  reason?: string;
}

export interface OpAnswer {
  outcome: "ok" | "refused" | "abort" | "panic";
  reason?: string;
  commands?: Command[];
  violations?: Violation[];
  seq?: number;
  step?: number;
  [field: string]: unknown;
}

export interface BatchAnswer {
  results: OpAnswer[];
  executed: number;
  violations: Violation[];
  seq: number;
  step: number;
  state_hash?: string;
}

export interface QueueEntry {
  slot: number;
  name: string | null;
  words: string[];
  [more: string]: unknown;
}

export interface Queue {
  base: string;
  size: number | string;
  creadr: number | string;
  cwriter: number | string;
  stalled: boolean;
  consumed: number | string | null;
  entries: QueueEntry[];
}

export interface Queues {
  host: Queue | null;
  hw: Queue;
}

export type Verdict = "isolated" | "violated" | "wedged" | "error";

export interface ScenarioRun {
  name: string;
  hardening: unknown;
  verdict: Verdict;
  refusals: unknown[];
  violations: Violation[];
  session: string | null;
  [more: string]: unknown;
}

export interface Matrix {
  scenarios: string[];
  presets: string[];
  cells: Record<string, Record<string, Verdict>>;
}
