// One render per frame whatever the event rate: state that the stream feeds changes only inside a frame.

import { batch } from "@preact/signals";

const jobs = new Set<() => void>();
let booked = false;

/** Runs `job` in the next frame, once, however often it is asked for. A hidden page runs it once a second at most. */
export function inNextFrame(job: () => void): void {
  jobs.add(job);
  if (booked) return;
  booked = true;
  const run = (): void => {
    if (!booked) return;
    booked = false;
    const due = [...jobs];
    jobs.clear();
    batch(() => {
      for (const each of due) each();
    });
  };
  // A hidden page gets no animation frames; its state still has to move, slowly.
  if (document.visibilityState === "hidden") setTimeout(run, 1000);
  else requestAnimationFrame(run);
}

document.addEventListener("visibilitychange", () => {
  if (booked && document.visibilityState === "visible") {
    booked = false;
    const [first] = jobs;
    if (first) inNextFrame(first);
  }
});
