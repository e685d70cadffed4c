// Names for the schemas of openapi/openapi.json, and the shapes that those leave open (decoded machine state, outcomes).

import type { components } from "./schema";

type Schemas = components["schemas"];

export type MemoryMap = Schemas["MemoryMap"];
export type Session = Schemas["SessionInfo"];
export type SessionPage = Schemas["SessionList"];
export type Snapshot = Schemas["SnapshotInfo"];
export type Restored = Schemas["Restored"];
export type Register = Schemas["Register"];
export type PageRun = Schemas["PageRun"];
export type EventPage = Schemas["EventPage"];
export type TableKind = "device" | "collection" | "vpe";
/** Profiles, presets, knobs and quirks are names: a client passes on what it was told, and the service judges. */
export type CreateSession = Omit<Schemas["CreateSession"], "profile" | "hardening" | "quirks"> & {
  profile?: string;
  hardening?: string | { preset?: string; knobs?: Record<string, unknown> };
  quirks?: Record<string, unknown>;
};
export type PatchSession = Schemas["PatchSession"];

export interface Op {
  op: string;
  [field: string]: unknown;
}

/** A piece of a session's journal; `snapshot` is what it starts from, null for the machine as it was made. */
export type JournalPage = Omit<Schemas["JournalPage"], "ops"> & { ops: Op[] };

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
