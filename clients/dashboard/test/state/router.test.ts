import { beforeEach, expect, it, vi } from "vitest";
import type * as Router from "../../src/state/router";

/** The page opened at an address, with nothing remembered of the test before. */
async function openedAt(hash: string): Promise<typeof Router> {
  vi.resetModules();
  history.replaceState(null, "", hash);
  return import("../../src/state/router");
}

beforeEach(() => {
  vi.useFakeTimers();
  return () => void vi.useRealTimers();
});

it("shows the newest of many moments at once, and writes the address a few times a second", async () => {
  const { ADDRESS_MS, place, showMoment } = await openedAt("#/s/x/queues");
  const write = vi.spyOn(history, "replaceState");
  for (let at = 1000; at > 0; at -= 1) {
    showMoment(at);
    expect(place.peek()).toEqual({ page: "session", id: "x", view: "queues", at });
    await vi.advanceTimersByTimeAsync(10);
  }
  await vi.runAllTimersAsync();

  expect(location.hash).toBe("#/s/x/queues?at=1");
  expect(write.mock.calls.length).toBeLessThanOrEqual(10_000 / ADDRESS_MS + 2);
  write.mockRestore();
});

it("takes a wish for the newest moment however soon it follows the one before", async () => {
  const { place, showMoment } = await openedAt("#/s/x/refusals");
  showMoment(9);
  showMoment(8);
  showMoment(null);
  showMoment(7);
  await vi.runAllTimersAsync();

  expect([place.peek(), location.hash]).toEqual([{ page: "session", id: "x", view: "refusals", at: 7 }, "#/s/x/refusals?at=7"]);
});

it("keeps the moment when the view changes at the same time, and leaves it in the entry that was left", async () => {
  const { go, place, showMoment } = await openedAt("#/s/x/events");
  await vi.advanceTimersByTimeAsync(1000);
  const entries = history.length;
  showMoment(9);
  showMoment(8);
  go({ page: "session", id: "x", view: "memory", at: 8 });
  showMoment(5);
  await vi.runAllTimersAsync();

  expect(place.peek()).toEqual({ page: "session", id: "x", view: "memory", at: 5 });
  expect(location.hash).toBe("#/s/x/memory?at=5");
  expect(history.length).toBe(entries + 1);
});

it("leaves the newest moment in the entry that a link leads away from", async () => {
  const { showMoment } = await openedAt("#/s/x/events");
  await vi.advanceTimersByTimeAsync(1000);
  showMoment(9);
  await vi.advanceTimersByTimeAsync(0);
  showMoment(8);
  document.body.click();

  expect(location.hash).toBe("#/s/x/events?at=8");
});

it("writes no address over the one that a link has just led to", async () => {
  const { place, showMoment } = await openedAt("#/s/x/events");
  showMoment(9);
  history.pushState(null, "", "#/s/y/tables"); // what a click on a link does; the browser tells of it a moment later
  await vi.runAllTimersAsync();
  expect(location.hash).toBe("#/s/y/tables");

  showMoment(4);
  await vi.runAllTimersAsync();
  expect(place.peek()).toEqual({ page: "session", id: "y", view: "tables", at: 4 });
  expect(location.hash).toBe("#/s/y/tables?at=4");
});

it("has no moment outside a session", async () => {
  const { place, showMoment } = await openedAt("#/scenarios");
  showMoment(4);
  await vi.runAllTimersAsync();

  expect([place.peek(), location.hash]).toEqual([{ page: "scenarios" }, "#/scenarios"]);
});
