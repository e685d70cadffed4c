import type { SessionEvent } from "itsbox-client";

/** Events of one kind gathered: exact counts for ever, and the newest few as samples. */
export interface Group {
  key: string;
  count: number;
  firstSeq: number;
  lastSeq: number;
  /** How often each rule (or register, or function) was the one that refused. */
  rules: Map<string, number>;
  samples: SessionEvent[];
}

export const SAMPLES_KEPT = 50;
/** Reasons and buckets are closed sets of dozens; rules carry register names: a hostile stream may not grow them. */
export const GROUPS_KEPT = 500;
export const OTHER = "(other)";

const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

/** Under which reason an event is a refusal of the hypervisor, and what the refusal was about; null if it is none. */
export function refusalOf(event: SessionEvent): { reason: string; rule: string } | null {
  const { data } = event;
  switch (event.type) {
    case "command.rejected":
      return { reason: text(data.reason) ?? "unnamed", rule: text(data.rule) ?? text(data.name) ?? "unknown opcode" };
    case "trap.mmio":
      if (data.action !== "refused") return null;
      return { reason: text(data.reason) ?? "unnamed", rule: text(data.register) ?? text(data.addr) ?? "?" };
    case "trap.abort":
      return { reason: text(data.reason) ?? "stage2_abort", rule: `page of ${text(data.owner) ?? "nobody"}` };
    case "trap.hvc":
      if (text(data.errno) === null) return null;
      return { reason: text(data.reason) ?? text(data.errno)!, rule: text(data.function) ?? String(data.function) };
    default:
      return null;
  }
}

export function addToGroup(groups: Map<string, Group>, key: string, rule: string, event: SessionEvent): void {
  const name = groups.has(key) || groups.size < GROUPS_KEPT ? key : OTHER;
  let group = groups.get(name);
  if (!group) {
    group = { key: name, count: 0, firstSeq: event.seq, lastSeq: event.seq, rules: new Map(), samples: [] };
    groups.set(name, group);
  }
  group.count += 1;
  group.lastSeq = event.seq;
  const known = group.rules.has(rule) || group.rules.size < GROUPS_KEPT ? rule : OTHER;
  group.rules.set(known, (group.rules.get(known) ?? 0) + 1);
  group.samples.push(event);
  if (group.samples.length > SAMPLES_KEPT) group.samples.shift();
}

export function cloneGroups(groups: Map<string, Group>): Map<string, Group> {
  return new Map(
    [...groups].map(([key, group]) => [key, { ...group, rules: new Map(group.rules), samples: [...group.samples] }]),
  );
}

/** Most frequent first; equal counts in order of first appearance. */
export function ranked(groups: Map<string, Group>): Group[] {
  return [...groups.values()].sort((a, b) => b.count - a.count || a.firstSeq - b.firstSeq);
}
