import { useState } from "preact/hooks";
import type { TableKind } from "itsbox-client";
import { clip, entriesOf, shown } from "../logic/shapes";
import { byNumber, diffTables, type DiffRow, type Entry } from "../logic/tablediff";
import { useLook } from "../state/look";
import type { SessionModel } from "../state/session";
import { Chip, Empty, LookNote, Panel, Scroll } from "../ui/marks";

const TABLES = ["device", "collection", "vpe"] as const;
const SIDES = ["host", "hw", "diff"] as const;
type Side = (typeof SIDES)[number];
const ROWS_SHOWN = 500;

const SIDE_TEXT: Record<Side, string> = { host: "as the host sees it", hw: "as the hardware reads it", diff: "where they differ" };

export function TablesView({ model }: { model: SessionModel }) {
  const [table, setTable] = useState<(typeof TABLES)[number]>("device");
  const [side, setSide] = useState<Side>("hw");
  return (
    <>
      <div class="row">
        <Toggle label="Table" options={TABLES} value={table} onChange={setTable} />
        <Toggle label="View" options={SIDES} value={side} onChange={setSide} />
        <span class="soft">{SIDE_TEXT[side]}</span>
      </div>
      {side === "diff" ? <Diff key={table} model={model} table={table} /> : <OneSide key={`${table} ${side}`} model={model} table={table} side={side} />}
    </>
  );
}

function Toggle<T extends string>({ label, options, value, onChange }: { label: string; options: readonly T[]; value: T; onChange: (value: T) => void }) {
  return (
    <div class="row toggle" role="group" aria-label={label}>
      {options.map((option) => (
        <button key={option} type="button" aria-pressed={option === value} onClick={() => onChange(option)}>
          {option === "vpe" ? "vPE" : option}
        </button>
      ))}
    </div>
  );
}

type Answer = Record<string, unknown>;
const LEVELS = ["level1", "level2"] as const;

function levelsOf(answer: Answer | null): { name: string; entries: Map<string, Entry> }[] {
  if (answer === null) return [];
  return LEVELS.filter((level) => answer[level] !== undefined && answer[level] !== null).map((level) => ({
    name: level === "level1" ? "Level 1" : "Entries (level 2)",
    entries: entriesOf(answer[level]),
  }));
}

function OneSide({ model, table, side }: { model: SessionModel; table: TableKind; side: Side }) {
  const look = useLook<Answer>(model, `${table} ${side}`, (c, id, signal) => c.table(id, table, side, signal)).value;
  const levels = levelsOf(look.data);
  return (
    <>
      <LookNote look={look} past={model.past.value} />
      <About answer={look.data} />
      {levels.length === 0 && look.data !== null && <Panel title={`No ${table} table`}><Empty title="There is none in this view">The host has no copy before the switch-over; a profile without GICv4 has no vPE table.</Empty></Panel>}
      {levels.map(({ name, entries }) => (
        <Panel key={name} title={`${name}: ${entries.size.toLocaleString("en")}`} flush>
          <Entries entries={entries} label={name} />
        </Panel>
      ))}
    </>
  );
}

/** What the table says about itself: base, entry size, flat or indirect. */
function About({ answer }: { answer: Answer | null }) {
  const facts = Object.entries(answer ?? {}).filter(([name, value]) => !LEVELS.includes(name as never) && !["entries", "diff", "host", "hw", "changes"].includes(name) && typeof value !== "object");
  return facts.length === 0 ? null : (
    <div class="row">
      {facts.map(([name, value]) => (
        <Chip key={name}>
          {name} {shown(value)}
        </Chip>
      ))}
    </div>
  );
}

function Entries({ entries, label }: { entries: Map<string, Entry>; label: string }) {
  if (entries.size === 0) return <Empty title="No valid entry" />;
  const keys = [...entries.keys()].sort(byNumber);
  const columns = [...new Set(keys.slice(0, ROWS_SHOWN).flatMap((key) => Object.keys(entries.get(key)!)))];
  return (
    <Scroll label={label} class="tall">
      <table>
        <thead>
          <tr>
            <th class="num">index</th>
            {columns.map((column) => (
              <th key={column}>{column}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {keys.slice(0, ROWS_SHOWN).map((key) => (
            <tr key={key}>
              <th scope="row" class="num">
                {key}
              </th>
              {columns.map((column) => (
                <td key={column} class="mono wrap">
                  {clip(shown(entries.get(key)![column]))}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {keys.length > ROWS_SHOWN && <p class="empty">and {(keys.length - ROWS_SHOWN).toLocaleString("en")} more</p>}
    </Scroll>
  );
}

/** Both sides are asked for and compared here, so that the view says for each field which side holds what. */
function Diff({ model, table }: { model: SessionModel; table: TableKind }) {
  const host = useLook<Answer>(model, `${table} host`, (c, id, signal) => c.table(id, table, "host", signal)).value;
  const hw = useLook<Answer>(model, `${table} hw`, (c, id, signal) => c.table(id, table, "hw", signal)).value;
  const [all, setAll] = useState(false);
  if (host.data === null || hw.data === null) return <LookNote look={host.error ? host : hw} past={model.past.value} />;
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
        show entries that agree, too
      </label>
      {LEVELS.map((level) => {
        const rows = diffTables(entriesOf(host.data![level]), entriesOf(hw.data![level]));
        const different = rows.filter((row) => row.change !== "same");
        return (
          <Panel
            key={level}
            title={level === "level1" ? "Level 1" : "Entries (level 2)"}
            flush
            tools={<Chip tone={different.length > 0 ? "warn" : "good"}>{different.length > 0 ? `${different.length} differ` : `${rows.length} agree`}</Chip>}
          >
            <DiffTable rows={all ? rows : different} label={level} />
          </Panel>
        );
      })}
    </>
  );
}

function DiffTable({ rows, label }: { rows: DiffRow[]; label: string }) {
  if (rows.length === 0) return <Empty title="Nothing differs" />;
  return (
    <Scroll label={`Differences ${label}`} class="tall">
      <table>
        <thead>
          <tr>
            <th class="num">index</th>
            <th>verdict</th>
            <th>host</th>
            <th>hardware</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, ROWS_SHOWN).map((row) => (
            <tr key={row.key} class={row.change === "differs" ? "changed" : ""}>
              <th scope="row" class="num">
                {row.key}
              </th>
              <td>
                <Chip tone={row.change === "same" ? "good" : "warn"}>{row.change}</Chip>
              </td>
              {[row.host, row.hw].map((entry, index) => (
                <td key={index} class="mono wrap">
                  {entry === null
                    ? "–"
                    : Object.entries(entry).map(([name, value]) => (
                        <div key={name}>{row.fields.includes(name) ? <b>{`≠ ${name} ${clip(shown(value))}`}</b> : `${name} ${clip(shown(value))}`}</div>
                      ))}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
