import { expect, it } from "vitest";
import { bitsOf, parseHex, problemOf, toHex } from "itsbox-client";

it("keeps what a problem says beyond RFC 9457, and when to come back", () => {
  const body = { type: "/problems/quota", title: "Too many sessions", status: 429, detail: "256 of 256", cap: "sessions" };
  const problem = problemOf({ status: 429, headers: new Headers({ "retry-after": "7" }) }, body);
  expect(problem.message).toBe("Too many sessions: 256 of 256");
  expect(problem.extra).toEqual({ cap: "sessions" });
  expect(problem.retryAfterS).toBe(7);
});

it("makes a problem of any body, even of one that is no problem document", () => {
  expect(problemOf({ status: 502, headers: new Headers() }, "Bad gateway").message).toBe("HTTP 502: Bad gateway");
  expect(problemOf({ status: 500, headers: new Headers() }, null).message).toBe("HTTP 500");
});

it("keeps all 64 bits of a value", () => {
  expect(parseHex("0xffffffffffffffff")).toBe(0xffff_ffff_ffff_ffffn);
  expect(parseHex(4096)).toBe(4096n);
  for (const wrong of [null, "", "0x", "12z", -1, 1.5, 2 ** 60, {}]) expect(parseHex(wrong)).toBeNull();
  expect(toHex(0x8000_0008_0000_1200n)).toBe("0x8000000800001200");
  expect(bitsOf(0x8000_0000_4012_3400n, 51, 8)).toBe(0x40_1234n);
});
