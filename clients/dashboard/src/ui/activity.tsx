import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { FAMILIES, type Bins } from "../logic/bins";
import { inNextFrame } from "../state/frame";
import { scheme } from "../state/theme";

/** Colour and dash of each family: two lines that a colour-blind reader confuses differ in their dash. */
const LINES: Record<(typeof FAMILIES)[number], { color: string; dash: number[] }> = {
  traps: { color: "host", dash: [] },
  commands: { color: "shared", dash: [] },
  refusals: { color: "hyp", dash: [6, 3] },
  pages: { color: "guest", dash: [2, 3] },
  interrupts: { color: "its", dash: [] },
  violations: { color: "bad", dash: [8, 2, 2, 2] },
  other: { color: "faint", dash: [1, 3] },
};

const data = (bins: Bins): uPlot.AlignedData => {
  const x = Array.from({ length: bins.length }, (_, index) => index * bins.width + 1);
  return [x, ...FAMILIES.map((name) => bins.rows[name])];
};

/** Events by number and family. The chart is fed once per frame, however many events came. */
export function Activity({ bins, version, at, onPick }: { bins: Bins; version: number; at: number | null; onPick: (seq: number) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const cursor = useRef(at);
  const pick = useRef(onPick);
  pick.current = onPick;
  cursor.current = at;
  const theme = scheme.value;
  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: color("soft"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 }, font: "11px ui-monospace, monospace" };
    const element = box.current!;
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: 260,
        scales: { x: { time: false } },
        axes: [{ ...axis, label: "event number", labelFont: "11px system-ui", labelSize: 18 }, { ...axis, size: 46 }],
        series: [
          { label: "from event" },
          ...FAMILIES.map((name) => ({ label: name, stroke: color(LINES[name].color), dash: LINES[name].dash, width: 1.5, points: { show: false } })),
        ],
        cursor: { drag: { x: true, y: false } },
        hooks: {
          draw: [
            (u) => {
              if (cursor.current === null) return;
              const x = u.valToPos(cursor.current, "x", true);
              u.ctx.save();
              u.ctx.strokeStyle = color("cursor");
              u.ctx.lineWidth = 2;
              u.ctx.beginPath();
              u.ctx.moveTo(x, u.bbox.top);
              u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
              u.ctx.stroke();
              u.ctx.restore();
            },
          ],
        },
      },
      data(bins),
      element,
    );
    const made = plot.current;
    made.over.addEventListener("dblclick", (event) => pick.current(Math.max(0, Math.round(made.posToVal(event.offsetX, "x")))));
    const observer = new ResizeObserver(() => inNextFrame(() => made.setSize({ width: element.clientWidth, height: 260 })));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [theme, bins]);
  useEffect(() => plot.current?.setData(data(bins)), [version, bins]);
  useEffect(() => plot.current?.redraw(false), [at]);
  return <div ref={box} class="activity" role="img" aria-label="Events by number and family; the table below has the same numbers" />;
}
