import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { parseHex, toHex } from "itsbox-client";
import { historyOf } from "../logic/fold";
import { hitCells, hitsAt, hitsIn, type Hit } from "../logic/hits";
import { cellAddr, cellOf, gridOver, PAGE, runAt, totals, type Grid, type PageRun } from "../logic/pagemap";
import { pagesOf } from "../logic/shapes";
import { useLook } from "../state/look";
import { go, place } from "../state/router";
import type { SessionModel } from "../state/session";
import { Canvas, type Drawing } from "../ui/canvas";
import { Empty, LookNote, Note, Owner, OWNERS, Panel, Scroll, Swatch } from "../ui/marks";
import { cellAt, drawPages, layout } from "../ui/pagecanvas";

/** Cells of the overview and pages of the detail: enough to see a pattern, few enough to point at one. */
const CELLS = 1024;
/** Changes this recent are framed on the map. */
const RECENT = 64;

export function MemoryView({ model }: { model: SessionModel }) {
  const map = model.info.value?.map;
  const base = parseHex(map?.ram) ?? 0x4000_0000n;
  const bytes = parseHex(map?.ram_bytes) ?? 0n;
  const look = useLook(model, `pages ${base} ${bytes}`, (c, id, signal) => c.pages(id, toHex(base), toHex(bytes || 0x1000n), signal)).value;
  const runs = useMemo(() => pagesOf(look.data), [look.data]);
  const here = place.value;
  const named = here.page === "session" ? (parseHex(here.addr) ?? null) : null;
  const [focus, setFocus] = useState<bigint | null>(named);
  useEffect(() => setFocus(named), [named]);
  const fold = model.fold();
  const hits = useMemo(() => hitsIn(fold.violations.values()), [fold, fold.events]);
  const overview = gridOver(base, Number(bytes / PAGE), 64, CELLS);
  const guest = parseHex(map?.guest);
  // The detail starts at the newest violation, else where ownership changed last when the view was opened, else where there is something to protect.
  const latest = hits[0]?.addr ?? fold.transitions.at(-1)?.addr;
  const opened = useRef<bigint | null>(null);
  opened.current ??= latest ?? null;
  const centre = focus ?? opened.current ?? (guest === null ? base : guest + 0x8_0000n);
  const start = align(centre, base, bytes);
  const detail: Grid = { base: start, pagesPerCell: 1, columns: 32, rows: 32, cells: Math.min(CELLS, Number(bytes / PAGE) || 1) };
  return (
    <>
      <LookNote look={look} past={model.past.value} />
      {look.data !== null && look.stale && <Note tone="past">These pages are those of another moment; the ones asked for are on their way.</Note>}
      <ul class="legend" aria-label="Owners">
        {["host", "hyp", "guest", "shared", "its", "none"].map((key) => (
          <li key={key}>
            <Swatch of={key} /> <b class="mono">{OWNERS[key]!.letter}</b> {OWNERS[key]!.title}
          </li>
        ))}
        <li>◥ pinned</li>
        <li>framed: changed lately</li>
        {hits.length > 0 && (
          <li>
            <b class="hit">✕</b> named by a violation
          </li>
        )}
      </ul>
      <div class="cols wide">
        <MapPanel
          title="All of RAM"
          about={`each cell is ${overview.pagesPerCell === 1 ? "one page" : `${overview.pagesPerCell} pages`}; pick one to see its pages`}
          grid={overview}
          runs={runs}
          hits={hits}
          named={named}
          model={model}
          onPick={setFocus}
        />
        <MapPanel
          title="Page by page"
          about={`${toHex(start)} to ${toHex(start + BigInt(detail.cells) * PAGE)}; pick a page to see its events`}
          grid={detail}
          runs={runs}
          hits={hits}
          named={named}
          model={model}
          onPick={(addr) => go({ page: "session", id: model.id, view: "events", at: lastChange(model, addr) })}
        />
      </div>
      <div class="cols">
        <Totals runs={runs} />
        <Runs runs={runs} />
      </div>
    </>
  );
}

const lastChange = (model: SessionModel, addr: bigint): number | null =>
  historyOf(model.fold().transitions, addr, PAGE, 1)[0]?.seq ?? model.cursor.peek();

/** Start of a window of CELLS pages around an address, inside RAM. */
function align(centre: bigint, base: bigint, bytes: bigint): bigint {
  const span = BigInt(CELLS) * PAGE;
  const start = ((centre - span / 2n) / PAGE) * PAGE;
  const last = base + bytes - span;
  return start < base || last < base ? base : start > last ? last : start;
}

interface MapProps {
  title: string;
  about: string;
  grid: Grid;
  runs: PageRun[];
  /** what violations name */
  hits: readonly Hit[];
  /** the page that the address asks for: pointed at until somebody points elsewhere */
  named: bigint | null;
  model: SessionModel;
  onPick: (addr: bigint) => void;
}

function MapPanel({ title, about, grid, runs, hits, named, model, onPick }: MapProps) {
  const [pointed, setHover] = useState<number | null>(null);
  const asked = named !== null && named >= grid.base && cellOf(grid, named) < grid.cells ? cellOf(grid, named) : null;
  const hover = pointed ?? asked;
  const frame = useRef<HTMLDivElement>(null);
  const fold = model.fold();
  const touched = useMemo(() => {
    const cells = new Set<number>();
    for (const { addr, pages, seq } of fold.transitions.slice(-RECENT)) {
      if (seq < fold.seq - 2000) continue;
      const from = cellOf(grid, addr);
      const to = cellOf(grid, addr + BigInt(pages) * PAGE - 1n);
      for (let cell = Math.max(0, from); cell <= Math.min(grid.cells - 1, to) && cells.size < 256; cell += 1) cells.add(cell);
    }
    return cells;
  }, [fold.transitions.length, fold.seq, grid.base, grid.cells]);
  const hit = useMemo(() => hitCells(hits, grid), [hits, grid.base, grid.cells, grid.pagesPerCell]);
  const draw = useCallback(
    (drawing: Drawing) => drawPages(drawing, grid, runs, { hover, touched, hit }),
    [grid.base, grid.cells, grid.pagesPerCell, runs, hover, touched, hit],
  );
  const box = () => {
    const element = frame.current?.querySelector<HTMLElement>(".canvas");
    return layout(element?.clientWidth ?? 1, element?.clientHeight ?? 1, grid.cells);
  };
  return (
    <Panel title={title}>
      <p class="soft">{about}</p>
      <div ref={frame}>
        <Canvas
          class="pagemap"
          label={`${title}: map of page owners. Arrow keys walk the cells, Enter picks one; the tables below have the same.`}
          draw={draw}
          onPoint={(x, y, width, height) => setHover(cellAt(x, y, layout(width, height, grid.cells), grid.cells))}
          onLeave={() => setHover(null)}
          onPick={(x, y, width, height) => {
            const cell = cellAt(x, y, layout(width, height, grid.cells), grid.cells);
            if (cell !== null) onPick(cellAddr(grid, cell));
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && hover !== null) return onPick(cellAddr(grid, hover));
            const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: box().columns, ArrowUp: -box().columns }[event.key];
            if (by === undefined) return;
            event.preventDefault();
            setHover(Math.max(0, Math.min(grid.cells - 1, (hover ?? -by) + by)));
          }}
        />
      </div>
      <PageTip model={model} runs={runs} hits={hits} addr={hover === null ? null : cellAddr(grid, hover)} pages={grid.pagesPerCell} />
    </Panel>
  );
}

/** Violations that the text beside a map lists for one cell: the newest. */
const HITS_SHOWN = 4;

/** What the page under the pointer is, and how it came to be so. */
function PageTip({ model, runs, hits, addr, pages }: { model: SessionModel; runs: PageRun[]; hits: readonly Hit[]; addr: bigint | null; pages: number }) {
  if (addr === null) {
    return (
      <div class="tip pagetip" aria-live="polite">
        Point at a cell, or focus the map and use the arrow keys: its owner and history appear here.
      </div>
    );
  }
  const run = runs[runAt(runs, addr)];
  const changes = historyOf(model.fold().transitions, addr, PAGE, 6);
  return (
    <div class="tip pagetip" aria-live="polite">
      <div>
        {toHex(addr)}
        {pages > 1 ? ` and ${pages - 1} pages after it, the first:` : ":"} {run ? `${run.owner}, ${run.state || "–"}${run.pins ? `, ${run.pins} ${run.pins === 1 ? "pin" : "pins"}` : ""}${run.use ? `, ${run.use}` : ""}` : "not RAM"}
      </div>
      {hitsAt(hits, addr, pages)
        .slice(0, HITS_SHOWN)
        .map((hit, index) => (
          <div key={`${hit.seq} ${index}`} class="hit">
            ✕ event {hit.seq}, {hit.oracle}: {hit.sentence}
          </div>
        ))}
      {changes.length === 0 ? (
        <div>no change of its owner was seen</div>
      ) : (
        changes.map((change) => (
          <div key={`${change.seq}`}>
            event {change.seq}: {change.from} → {change.to} ({change.cause})
          </div>
        ))
      )}
    </div>
  );
}

function Totals({ runs }: { runs: PageRun[] }) {
  return (
    <Panel title="Pages by owner" flush>
      {runs.length === 0 ? (
        <Empty title="Nothing known yet" />
      ) : (
        <table>
          <thead>
            <tr>
              <th>owner</th>
              <th>state</th>
              <th class="num">pages</th>
              <th class="num">pinned</th>
            </tr>
          </thead>
          <tbody>
            {totals(runs).map((sum) => (
              <tr key={`${sum.owner} ${sum.state}`}>
                <th scope="row">
                  <Owner owner={sum.owner} state={sum.state} />
                </th>
                <td>{sum.state || "–"}</td>
                <td class="num">{sum.pages.toLocaleString("en")}</td>
                <td class="num">{sum.pinned.toLocaleString("en")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

const RUNS_SHOWN = 400;

function Runs({ runs }: { runs: PageRun[] }) {
  const interesting = runs.filter((run) => run.use || run.pins > 0 || run.owner !== "host" || run.state.includes("shared"));
  return (
    <Panel title="Ranges that are not plain host memory" flush>
      <Scroll label="Ranges of pages" class="short">
        <table>
          <thead>
            <tr>
              <th>address</th>
              <th class="num">pages</th>
              <th>owner</th>
              <th>state</th>
              <th class="num">pins</th>
              <th>use</th>
            </tr>
          </thead>
          <tbody>
            {interesting.slice(0, RUNS_SHOWN).map((run) => (
              <tr key={run.addr}>
                <th scope="row" class="mono">
                  {toHex(run.addr)}
                </th>
                <td class="num">{run.pages.toLocaleString("en")}</td>
                <td>
                  <Owner owner={run.owner} state={run.state} />
                </td>
                <td>{run.state || "–"}</td>
                <td class="num">{run.pins}</td>
                <td class="mono wrap">{run.use || "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {interesting.length > RUNS_SHOWN && <p class="empty">and {interesting.length - RUNS_SHOWN} more ranges</p>}
      </Scroll>
    </Panel>
  );
}
