import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { asCurl, asJson, eventAsCurl, shellQuote } from "../../src/logic/copies";

it("quotes so that a real shell gives the same text back", () => {
  for (const text of ["plain", "it's", "$(reboot)", "`x`", 'a"b', "a\\b", "two words", "<b>", "é\n!"]) {
    expect(execFileSync("/bin/sh", ["-c", `printf %s ${shellQuote(text)}`]).toString()).toBe(text);
  }
});

it("writes a call as curl, without the key itself", () => {
  expect(asCurl({ method: "GET", url: "http://127.0.0.1:8321/v1/sessions" }, false)).toBe("curl -sS http://127.0.0.1:8321/v1/sessions");
  expect(asCurl({ method: "POST", url: "http://h/v1/x", body: { a: "it's" } }, true)).toBe(
    `curl -sS -X POST -H "Authorization: Bearer $ITSBOX_API_KEY" -H 'Content-Type: application/json' -d '{"a":"it'\\''s"}' http://h/v1/x`,
  );
});

it("copies a trapped access as the op that repeats it, and anything else as the request that answers it", () => {
  const write = { seq: 9, step: 3, type: "trap.mmio", data: { addr: "0x8080088", size: 4, write: true, value: "0x20" } };
  expect(eventAsCurl(write, "s 1", "http://h", false)).toContain(
    `-d '{"addr":"0x8080088","size":4,"value":"0x20"}' http://h/v1/sessions/s%201/mmio/write`,
  );
  expect(eventAsCurl({ seq: 9, step: 3, type: "driver.log", data: {} }, "s", "http://h", false)).toBe(
    "curl -sS 'http://h/v1/sessions/s/events?after=8&limit=1'",
  );
});

it("copies a violation as the op that made it", () => {
  const op = { op: "msi", device_id: 66, event_id: 1 };
  expect(eventAsCurl({ seq: 34, step: 13, type: "violation", data: { oracle: "DMA", evidence: { op } } }, "s", "http://h", false)).toBe(
    `curl -sS -X POST -H 'Content-Type: application/json' -d '{"ops":[{"op":"msi","device_id":66,"event_id":1}]}' http://h/v1/sessions/s/ops`,
  );
  expect(eventAsCurl({ seq: 34, step: 13, type: "violation", data: { evidence: null } }, "s", "http://h", false)).toContain("events?after=33");
});

it("writes 64-bit values as the wire does", () => {
  expect(asJson({ addr: 0x8000_0000_0000_0000n })).toContain('"0x8000000000000000"');
});
