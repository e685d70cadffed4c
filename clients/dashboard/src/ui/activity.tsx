import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { FAMILIES, type Bins, type Family } from "../logic/bins";
import { inNextFrame } from "../state/frame";
import { scheme } from "../state/theme";

/** Each family has its own lane, named beside it: no two need to be told apart by colour. */
const COLORS: Record<Family, string> = {
  traps: "host",
  commands: "shared",
  refusals: "hyp",
  pages: "guest",
  interrupts: "its",
  violations: "bad",
  other: "faint",
};
const LANES = FAMILIES.length;
/** Part of a lane that its highest bar fills. */
const FILL = 0.86;
/** Bars across the chart: fewer than pixels, so that each can be pointed at. */
const BARS = 160;
const HEIGHT = 300;

/** Neighbouring bins summed until at most BARS are left. */
function thin(row: readonly number[], by: number): number[] {
  const found: number[] = [];
  for (let start = 0; start < row.length; start += by) {
    let sum = 0;
    for (let index = start; index < Math.min(row.length, start + by); index += 1) sum += row[index]!;
    found.push(sum);
  }
  return found;
}

/** Bars as heights inside their lanes; a bar of nothing is no bar. */
function lanes(bins: Bins): { data: uPlot.AlignedData; counts: number[][]; span: number } {
  const by = Math.max(1, Math.ceil(bins.length / BARS));
  const counts = FAMILIES.map((name) => thin(bins.rows[name], by));
  const x = Array.from({ length: counts[0]!.length }, (_, index) => index * by * bins.width + 1);
  const heights = counts.map((row, index) => {
    const most = Math.max(1, ...row);
    const base = LANES - 1 - index;
    return row.map((count) => (count === 0 ? null : base + Math.max(0.06, (count / most) * FILL)));
  });
  return { data: [x, ...heights] as uPlot.AlignedData, counts, span: by * bins.width };
}

/** Events by number and family. The chart is fed once per frame, however many events came. */
export function Activity({ bins, version, at, onPick }: { bins: Bins; version: number; at: number | null; onPick: (seq: number) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const cursor = useRef(at);
  const pick = useRef(onPick);
  const shown = useRef(lanes(bins));
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
        height: HEIGHT,
        scales: { x: { time: false, range: (_, low, high) => [low, Math.max(high + shown.current.span, low + 1)] }, y: { range: [0, LANES] } },
        axes: [
          { ...axis, size: 30 },
          {
            ...axis,
            size: 84,
            splits: () => FAMILIES.flatMap((_, index) => [index, index + 0.5]),
            filter: (_, splits) => splits.map((split) => (split % 1 === 0 ? null : split)),
            values: (_, splits) => splits.map((split) => (split === null ? null : FAMILIES[LANES - 1 - Math.floor(split)]!)),
            grid: { ...axis.grid, filter: (_, splits) => splits.map((split) => (split % 1 === 0 ? split : null)) },
            ticks: { show: false },
          },
        ],
        series: [
          { label: "from event" },
          ...FAMILIES.map((name, index) => ({
            label: name,
            stroke: color(COLORS[name]),
            fill: color(COLORS[name]),
            width: 0,
            points: { show: false },
            fillTo: LANES - 1 - index,
            paths: uPlot.paths.bars!({ size: [0.9, 40], align: 1 }),
            value: (_: uPlot, __: number, ___: number, at: number | null) => (at === null ? "–" : String(shown.current.counts[index]![at] ?? 0)),
          })),
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
      shown.current.data,
      element,
    );
    const made = plot.current;
    made.over.addEventListener("dblclick", (event) => pick.current(Math.max(0, Math.round(made.posToVal(event.offsetX, "x")))));
    const observer = new ResizeObserver(() => inNextFrame(() => made.setSize({ width: element.clientWidth, height: HEIGHT })));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [theme, bins]);
  useEffect(() => {
    shown.current = lanes(bins);
    plot.current?.setData(shown.current.data);
  }, [version, bins]);
  useEffect(() => plot.current?.redraw(false), [at]);
  return <div ref={box} class="activity" role="img" aria-label="Events by number and family; the table below has the same numbers" />;
}
