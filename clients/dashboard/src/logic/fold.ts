import type { SessionEvent } from "itsbox-client";
import { addToGroup, cloneGroups, refusalOf, type Group } from "./groups";

export type SlotVerdict = "executed" | "refused" | "error" | "stalled";

/** What became of the command that last stood in a slot. */
export interface SlotRecord {
  slot: number;
  seq: number;
  name: string | null;
  words: string[];
  verdict: SlotVerdict;
  why: string | null;
}

/** One change of pages, as `page.state` tells it. */
export interface Transition {
  seq: number;
  addr: bigint;
  pages: number;
  from: string;
  to: string;
  cause: string;
}

/** Changes that are remembered for the history of a page; older ones are counted. */
export const TRANSITIONS_KEPT = 20_000;
export const LOG_KEPT = 2_000;

/**
 * What can be told from events alone, after the event `seq`. Bounded whatever the number of events: groups, slots of a
 * queue (at most 2^15), the newest transitions and log lines.
 */
export class Fold {
  seq = 0;
  step = 0;
  events = 0;
  byType = new Map<string, number>();
  refusals = new Map<string, Group>();
  violations = new Map<string, Group>();
  slots = new Map<number, SlotRecord>();
  /** Byte offset up to which the hypervisor has taken the host's commands; null before the first. */
  consumed: number | null = null;
  mirrored = 0;
  transitions: Transition[] = [];
  transitionsDropped = 0;
  log: { seq: number; line: string }[] = [];
  /** Numbers that never came, in all. */
  missing = 0;
  private rejected: { step: number; reason: string } | null = null;

  clone(): Fold {
    const copy = new Fold();
    Object.assign(copy, this);
    copy.byType = new Map(this.byType);
    copy.refusals = cloneGroups(this.refusals);
    copy.violations = cloneGroups(this.violations);
    copy.slots = new Map(this.slots);
    copy.transitions = [...this.transitions];
    copy.log = [...this.log];
    return copy;
  }

  /** Takes one event in; its cost does not depend on how many came before. */
  add(event: SessionEvent): void {
    this.seq = event.seq;
    this.step = event.step;
    this.events += 1;
    this.byType.set(event.type, (this.byType.get(event.type) ?? 0) + 1);
    const refusal = refusalOf(event);
    if (refusal && !this.isEcho(event, refusal.reason)) addToGroup(this.refusals, refusal.reason, refusal.rule, event);
    const { data } = event;
    switch (event.type) {
      case "command.executed":
        return this.slot(event, "executed", null);
      case "command.rejected":
        return this.slot(event, "refused", asText(data.reason));
      case "command.error":
        return this.slot(event, data.stalled === true ? "stalled" : "error", asText(data.error));
      case "shadow.queue":
        this.consumed = asNumber(data.to);
        this.mirrored += asNumber(data.count) ?? 0;
        return;
      case "page.state":
        return this.transition(event);
      case "driver.log":
        this.log.push({ seq: event.seq, line: String(data.line ?? "") });
        if (this.log.length > LOG_KEPT * 2) this.log = this.log.slice(-LOG_KEPT);
        return;
      case "violation":
        return addToGroup(this.violations, asText(data.bucket) ?? asText(data.oracle) ?? "unnamed", asText(data.oracle) ?? "?", event);
      case "stream.gap":
        this.seq = Number(data.to);
        this.missing += Number(data.to) - Number(data.from) + 1;
        return;
      default:
        return;
    }
  }

  /** The write to CWRITER that carried a refused command is refused for the same reason: one refusal, told twice. */
  private isEcho(event: SessionEvent, reason: string): boolean {
    if (event.type === "command.rejected") this.rejected = { step: event.step, reason };
    return event.type === "trap.mmio" && this.rejected?.step === event.step && this.rejected.reason === reason;
  }

  private slot(event: SessionEvent, verdict: SlotVerdict, why: string | null): void {
    const slot = asNumber(event.data.slot);
    if (slot === null) return;
    const words = Array.isArray(event.data.words) ? event.data.words.map(String) : [];
    this.slots.set(slot, { slot, seq: event.seq, name: asText(event.data.name), words, verdict, why });
  }

  private transition(event: SessionEvent): void {
    const { addr, pages, from, to, cause } = event.data;
    let base: bigint;
    try {
      base = BigInt(String(addr));
    } catch {
      return; // an address that is none cannot belong to a page; the event list still shows it
    }
    const entry = { seq: event.seq, addr: base, pages: asNumber(pages) ?? 1, from: show(from), to: show(to), cause: show(cause) };
    this.transitions.push(entry);
    if (this.transitions.length > TRANSITIONS_KEPT * 2) {
      this.transitionsDropped += this.transitions.length - TRANSITIONS_KEPT;
      this.transitions = this.transitions.slice(-TRANSITIONS_KEPT);
    }
  }
}

const asText = (value: unknown): string | null => (typeof value === "string" ? value : null);
const asNumber = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);
const show = (value: unknown): string => (typeof value === "string" ? value : value == null ? "none" : JSON.stringify(value));

/** The changes that touched the page at `addr`, newest first. */
export function historyOf(transitions: readonly Transition[], addr: bigint, pageBytes = 4096n, limit = 20): Transition[] {
  const found: Transition[] = [];
  for (let index = transitions.length - 1; index >= 0 && found.length < limit; index -= 1) {
    const entry = transitions[index]!;
    if (addr >= entry.addr && addr < entry.addr + BigInt(entry.pages) * pageBytes) found.push(entry);
  }
  return found;
}
