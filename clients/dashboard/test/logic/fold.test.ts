import { describe, expect, it } from "vitest";
import type { SessionEvent } from "itsbox-client";
import { Fold, historyOf } from "../../src/logic/fold";
import { GROUPS_KEPT, OTHER, ranked, SAMPLES_KEPT } from "../../src/logic/groups";
import { Bins, familyOf } from "../../src/logic/bins";

let seq = 0;
const event = (type: string, data: Record<string, unknown>): SessionEvent => ({ seq: ++seq, step: seq, type, data });
function folded(...events: SessionEvent[]): Fold {
  const fold = new Fold();
  for (const each of events) fold.add(each);
  return fold;
}

describe("Fold", () => {
  it("gathers refusals of all four channels under their reason", () => {
    const fold = folded(
      event("command.rejected", { slot: 3, name: "MAPD", words: [], reason: "itt_not_host_owned", rule: "MAPD" }),
      event("command.rejected", { slot: 4, name: "MAPD", words: [], reason: "itt_not_host_owned", rule: "MAPD" }),
      event("trap.mmio", { register: "GITS_BASER0", action: "refused", reason: "its_enabled" }),
      event("trap.mmio", { register: "GITS_CTLR", action: "emulated", reason: null }),
      event("trap.abort", { addr: "0x4ff00000", write: true, owner: "hyp", reason: "stage2_not_host" }),
      event("trap.hvc", { function: "__pkvm_host_share_hyp", errno: "EPERM", args: [] }),
      event("trap.hvc", { function: "__pkvm_host_share_hyp", errno: null, args: [] }),
    );
    expect(ranked(fold.refusals).map((group) => [group.key, group.count])).toEqual([
      ["itt_not_host_owned", 2],
      ["its_enabled", 1],
      ["stage2_not_host", 1],
      ["EPERM", 1],
    ]);
    expect(fold.slots.get(4)).toMatchObject({ verdict: "refused", why: "itt_not_host_owned" });
  });

  it("counts a refused command once, although the write that carried it is refused, too", () => {
    const fold = new Fold();
    fold.add({ seq: 1, step: 9, type: "command.rejected", data: { slot: 3, reason: "itt_not_host_owned", rule: "MAPD" } });
    fold.add({ seq: 2, step: 9, type: "trap.mmio", data: { register: "GITS_CWRITER", action: "refused", reason: "itt_not_host_owned" } });
    fold.add({ seq: 3, step: 10, type: "trap.mmio", data: { register: "GITS_CWRITER", action: "refused", reason: "itt_not_host_owned" } });
    expect(fold.refusals.get("itt_not_host_owned")?.count).toBe(2);
  });

  it("bounds samples and the number of groups, but not the counts", () => {
    const fold = new Fold();
    for (let index = 0; index < GROUPS_KEPT + 100; index += 1) {
      fold.add(event("command.rejected", { slot: 0, reason: `r${index}`, rule: "x" }));
    }
    for (let index = 0; index < 200; index += 1) fold.add(event("command.rejected", { slot: 0, reason: "r0", rule: "x" }));
    expect(fold.refusals.size).toBe(GROUPS_KEPT + 1);
    expect(fold.refusals.get(OTHER)?.count).toBe(100);
    expect(fold.refusals.get("r0")?.count).toBe(201);
    expect(fold.refusals.get("r0")?.samples.length).toBe(SAMPLES_KEPT);
  });

  it("answers the history of a page, newest first", () => {
    const fold = folded(
      event("page.state", { addr: "0x40010000", pages: 16, from: "host", to: "hyp", cause: "host_donate_hyp" }),
      event("page.state", { addr: "0x40013000", pages: 1, from: "hyp", to: "host", cause: "hyp_donate_host" }),
      event("page.state", { addr: "junk", pages: 1, from: "a", to: "b", cause: "c" }),
    );
    expect(historyOf(fold.transitions, 0x4001_3000n).map((entry) => entry.to)).toEqual(["host", "hyp"]);
    expect(historyOf(fold.transitions, 0x4002_0000n)).toEqual([]);
  });

  it("is the same whether cloned half way or folded in one go", () => {
    const events = Array.from({ length: 40 }, (_, index) =>
      event("command.executed", { slot: index % 8, name: "INT", words: ["0x3", "0x0", "0x0", "0x0"] }),
    );
    const half = folded(...events.slice(0, 20));
    const copy = half.clone();
    for (const each of events.slice(20)) copy.add(each);
    expect(copy).toEqual(folded(...events));
    expect(half.events).toBe(20);
  });

  it("counts what never came", () => {
    expect(folded(event("stream.gap", { from: 5, to: 14, declared: true })).missing).toBe(10);
  });
});

describe("Bins", () => {
  it("merges neighbours when it runs out and loses no event", () => {
    const bins = new Bins(8);
    for (let at = 1; at <= 1000; at += 1) bins.add(at, at % 2 ? "traps" : "commands");
    expect(bins.length).toBeLessThanOrEqual(8);
    const sum = (row: number[]): number => row.reduce((a, b) => a + b, 0);
    expect(sum(bins.rows.traps) + sum(bins.rows.commands)).toBe(1000);
    expect(bins.width).toBe(128);
  });

  it("counts a refused trap as a refusal", () => {
    expect([familyOf("trap.mmio", true), familyOf("trap.mmio", false), familyOf("violation", false)]).toEqual([
      "refusals",
      "traps",
      "violations",
    ]);
  });
});
