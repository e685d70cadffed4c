import { describe, expect, it } from "vitest";
import { commandLayouts, decode, oneLine } from "../../src/logic/decode";
import { clip, entriesOf, pagesOf, pointersOf, registersOf, shown, violationOf } from "../../src/logic/shapes";
import { until } from "../../src/logic/clock";
import { summary } from "../../src/logic/summary";
import { hashOf, parsePlace } from "../../src/state/router";

describe("what the service answers", () => {
  it("registers: by name, with their frame, fields and policy", () => {
    const rows = registersOf({
      GITS_CTLR: { addr: "0x8080000", width: 32, access: "RW", value: "0x1", fields: { enabled: 1, quiescent: 0 }, policy: "emulated" },
      GICR3_WAKER: { addr: "0x8100014", width: 32, access: "RW", value: "0x0", fields: {}, policy: "direct" },
    });
    expect(rows.map((row) => [row.frame, row.name, row.value, row.policy])).toEqual([
      ["ITS", "GITS_CTLR", "0x1", "emulated"],
      ["Redistributor 3", "GICR3_WAKER", "0x0", "direct"],
    ]);
    expect(rows[0]!.fields).toEqual([
      { name: "enabled", value: "1", bits: "" },
      { name: "quiescent", value: "0", bits: "" },
    ]);
  });

  it("pages: sorted runs; what has no address is left out", () => {
    const runs = pagesOf([
      { addr: "0x4ff00000", pages: 256, owner: "hyp", state: "OWNED", pins: 0, use: null },
      { addr: "0x40000000", pages: 16, owner: "host", state: "SHARED_OWNED", pins: 2, use: ["host_queue", "itt"] },
      { pages: 1 },
    ]);
    expect(runs.map((run) => [run.addr, run.owner, run.state, run.pins, run.use])).toEqual([
      [0x4000_0000n, "host", "shared_owned", 2, "host_queue, itt"],
      [0x4ff0_0000n, "hyp", "owned", 0, ""],
    ]);
    expect(pagesOf({ nonsense: true })).toEqual([]);
  });

  it("queues: byte offsets become slots", () => {
    const queue = { base: "0x1", size: 65536, creadr: 1024, cwriter: 1056, stalled: false, consumed: null, entries: [] };
    expect(pointersOf(queue)).toEqual({ slots: 2048, read: 32, write: 33, consumed: null });
  });

  it("tables: a list with ids, its fields among its facts", () => {
    expect([...entriesOf([{ id: 17, addr: "0x40280088", raw: "09", fields: { valid: 1, size: 4 } }])]).toEqual([
      ["17", { valid: 1, size: 4, addr: "0x40280088", raw: "09" }],
    ]);
    expect([...entriesOf([{ index: 0, raw: "0x8000000040280000", valid: true }])][0]![0]).toBe("0");
    expect(entriesOf(null).size).toBe(0);
  });

  it("violations: evidence from inside and beside", () => {
    const row = violationOf({ oracle: "DMA", sentence: "s", bucket: "b", evidence: { owner: "hyp" }, step: 4 });
    expect(row.evidence).toEqual({ owner: "hyp", step: 4 });
  });
});

describe("commands by their declarations", () => {
  const arch = {
    commands: [
      {
        name: "MAPD", opcode: "0x08", since: "GICv3",
        fields: [
          { name: "device_id", arm: "DeviceID", word: 0, hi: 63, lo: 32, shift: 0 },
          { name: "size", arm: "Size", word: 1, hi: 4, lo: 0, shift: 0 },
          { name: "itt_addr", arm: "ITT_addr", word: 2, hi: 51, lo: 8, shift: 8 },
          { name: "valid", arm: "V", word: 2, hi: 63, lo: 63, shift: 0 },
        ],
      },
      { name: "VMAPP", opcode: "0x29", since: "GICv4", fields: [] },
      { name: "VMAPP", opcode: "0x29", since: "GICv4.1", fields: [{ name: "alloc", arm: "Alloc", word: 0, hi: 8, lo: 8, shift: 0 }] },
    ],
  };
  const layouts = commandLayouts(arch);

  it("decodes a MAPD with an address in place", () => {
    const words = ["0x1100000008", "0x4", "0x800000004ff00000", "0x0"];
    expect(oneLine(decode(words, layouts))).toBe("DeviceID 0x11, Size 4, ITT_addr 0x4ff00000, V 1");
  });

  it("takes the layout of the architecture's version", () => {
    expect(decode(["0x129"], layouts, "VMAPP", true).fields).toEqual([{ name: "Alloc", value: "1", bits: "DW0[8]" }]);
    expect(decode(["0x129"], layouts, "VMAPP", false).fields).toEqual([]);
  });

  it("leaves an unknown opcode its words", () => {
    expect(decode(["0xff"], layouts)).toEqual({ name: null, fields: [] });
  });
});

describe("text", () => {
  it("shows any value on one line and cuts what is long", () => {
    expect([null, undefined, 1, true, "x", [1], { a: 1 }].map(shown)).toEqual(["–", "–", "1", "true", "x", "[1]", '{"a":1}']);
    expect(clip("x".repeat(5000))).toBe(`${"x".repeat(120)}… (5000 characters)`);
  });

  it("names spans of time", () => {
    expect([-5, 12_000, 90_000, 7_500_000, 200_000_000, NaN].map(until)).toEqual(["now", "12 s", "2 min", "2 h 5 min", "2 d 7 h", "–"]);
  });

  it("sums up every kind of event without a field that is missing breaking it", () => {
    const types = ["trap.mmio", "trap.hvc", "trap.abort", "command.executed", "command.rejected", "command.error", "shadow.queue", "shadow.table"];
    for (const type of [...types, "page.state", "lpi.pending", "driver.log", "violation", "session.created", "stream.gap", "stream.epoch"]) {
      expect(typeof summary({ seq: 1, step: 1, type, data: {} })).toBe("string");
    }
    expect(summary({ seq: 1, step: 1, type: "trap.mmio", data: { register: "GITS_BASER0", write: true, value: "0x1", size: 8, action: "refused", reason: "baser_frozen" } })).toBe(
      "write GITS_BASER0 ← 0x1 (8 B) refused · baser_frozen",
    );
  });
});

describe("addresses", () => {
  it("lead to a view and a moment, and back", () => {
    for (const hash of ["#/", "#/scenarios", "#/story", "#/s/a%2Fb/memory?at=12", "#/s/x/events", "#/s/x/memory?addr=0x4ff50000", "#/s/x/memory?at=0&addr=0x4ff50000"]) expect(hashOf(parsePlace(hash))).toBe(hash);
  });

  it("never break the page", () => {
    for (const hash of ["", "#", "#/s", "#/s/", "#/s/%E0%A4%A/x", "#/nowhere/at/all"]) expect(parsePlace(hash).page).toBe("sessions");
    expect(parsePlace("#/s/x/memory?addr=javascript:1")).toEqual({ page: "session", id: "x", view: "memory", at: null });
    expect(parsePlace("#/s/x/nothing?at=-1")).toEqual({ page: "session", id: "x", view: "events", at: null });
  });
});
