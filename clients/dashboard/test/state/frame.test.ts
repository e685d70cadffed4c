import { effect, signal } from "@preact/signals";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

let frames: FrameRequestCallback[] = [];
beforeEach(() => {
  frames = [];
  vi.stubGlobal("requestAnimationFrame", (run: FrameRequestCallback) => frames.push(run));
});
afterEach(() => vi.unstubAllGlobals());

it("draws once per frame, however many events asked for it and however much they change", async () => {
  const { inNextFrame } = await import("../../src/state/frame");
  const [count, connection] = [signal(0), signal("connecting")];
  let draws = 0;
  const stop = effect(() => {
    void count.value, connection.value;
    draws += 1;
  });
  const job = (): void => {
    count.value += 1;
    connection.value = "live";
  };
  for (let event = 0; event < 5000; event += 1) inNextFrame(job);
  expect([frames.length, draws]).toEqual([1, 1]);

  frames.shift()!(0);
  expect(count.value).toBe(1);
  expect(draws).toBe(2);

  inNextFrame(job);
  inNextFrame(() => (count.value += 10));
  frames.shift()!(16);
  expect(count.value).toBe(12);
  expect(draws).toBe(3);
  stop();
});
