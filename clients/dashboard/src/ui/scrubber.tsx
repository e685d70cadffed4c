import { useCallback } from "preact/hooks";
import { FAMILIES, type Family } from "../logic/bins";
import { go } from "../state/router";
import type { SessionModel } from "../state/session";
import { Canvas, type Drawing } from "./canvas";
import { useKeys } from "./keys";
import { attempt, toast } from "./toast";

const TONES: Record<Family, string> = {
  traps: "host", commands: "shared", pages: "guest", interrupts: "its", other: "none", refusals: "hyp", violations: "bad",
};
const LOUD: ReadonlySet<Family> = new Set(["refusals", "violations"]);

/** The strip under every view: which moment is shown, and the way to another one. */
export function Scrubber({ model }: { model: SessionModel }) {
  const version = model.feed.version.value;
  const at = model.cursor.value;
  void model.info.value;
  const head = model.head;
  const { bins } = model.feed.history;
  useKeys({
    "[": () => model.step(-1),
    "]": () => model.step(1),
    "{": () => model.step(-100),
    "}": () => model.step(100),
    l: () => model.goTo(null),
  });
  const draw = useCallback(
    ({ ctx, width, height, color }: Drawing) => {
      const scale = width / Math.max(1, (head || bins.length * bins.width) / bins.width);
      const wide = Math.max(1, scale);
      for (let index = 0; index < bins.length; index += 1) {
        // A point holds the same number of events everywhere: what changes is what they are.
        const all = FAMILIES.reduce((sum, name) => sum + bins.rows[name][index]!, 0);
        let y = height;
        for (const name of FAMILIES) {
          const tall = (bins.rows[name][index]! / Math.max(1, all)) * height;
          if (tall === 0) continue;
          ctx.globalAlpha = LOUD.has(name) ? 1 : 0.4;
          ctx.fillStyle = color(TONES[name]);
          ctx.fillRect(index * scale, y - tall, wide, tall);
          y -= tall;
        }
        ctx.globalAlpha = 1;
        if (bins.rows.violations[index]! > 0) {
          ctx.fillStyle = color("bad");
          ctx.fillRect(index * scale, 0, Math.max(2, scale), height);
        } else if (bins.rows.refusals[index]! > 0) {
          ctx.fillStyle = color("hyp");
          ctx.fillRect(index * scale, height - 6, Math.max(2, scale), 6);
        }
      }
      if (at !== null && head > 0) {
        ctx.fillStyle = color("cursor");
        ctx.fillRect((at / head) * width - 1, 0, 2, height);
      }
    },
    [version, at, head],
  );
  const fork = (): Promise<unknown> =>
    attempt("Could not fork", async () => {
      const id = await model.fork();
      toast(`Forked ${at === null ? "the machine as it is" : `at event ${at}`} into session ${id}`);
      go({ page: "session", id, view: "events", at: null });
    });
  return (
    <footer class={`time ${at === null ? "" : "past"}`} aria-label="Timeline">
      <div class="row">
        <button type="button" class="icon" onClick={() => model.step(-1)} aria-label="One event back" title="[" disabled={head === 0 || at === 0}>
          ◀
        </button>
        <button type="button" class="icon" onClick={() => model.step(1)} aria-label="One event forward" title="]" disabled={at === null}>
          ▶
        </button>
        <button type="button" aria-pressed={at === null} onClick={() => model.goTo(at === null ? head - 1 : null)} title="l">
          Live
        </button>
      </div>
      <div class="track">
        <Canvas draw={draw} label={`Activity over ${head} events`} />
        <input
          type="range"
          min={0}
          max={Math.max(1, head)}
          value={at ?? head}
          aria-label="Moment shown, as the number of the event"
          aria-valuetext={at === null ? `live, event ${head}` : `after event ${at} of ${head}`}
          onInput={(event) => model.goTo(Number(event.currentTarget.value))}
        />
      </div>
      <div class="row">
        <span class="mono nowrap" data-testid="moment">
          {at === null ? head.toLocaleString("en") : `${at.toLocaleString("en")} / ${head.toLocaleString("en")}`}
        </span>
        <button type="button" onClick={() => void fork()} disabled={model.subject.value === null}>
          {at === null ? "Fork" : "Fork here"}
        </button>
      </div>
    </footer>
  );
}
