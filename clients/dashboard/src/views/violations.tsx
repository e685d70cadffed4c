import { useMemo } from "preact/hooks";
import { parseHex } from "itsbox-client";
import { asJson } from "../logic/copies";
import { decode, oneLine } from "../logic/decode";
import { ranked } from "../logic/groups";
import { shown, violationOf } from "../logic/shapes";
import { arch } from "../state/arch";
import { hashOf } from "../state/router";
import type { SessionModel } from "../state/session";
import { Chip, Copy, Empty, Owner, Panel, Scroll } from "../ui/marks";
import { Samples } from "./refusals";

export function ViolationsView({ model }: { model: SessionModel }) {
  const fold = model.fold();
  const groups = useMemo(() => ranked(fold.violations), [fold, fold.events]);
  return (
    <>
      <p class="lead">
        What the oracle objects to, up to event {fold.seq}. A violation is a verdict, not an error: the machine went on as hardware would, and memory
        isolation did not hold.
      </p>
      {groups.length === 0 && (
        <Panel title="Violations">
          <Empty title="Isolation held">Every step was judged; none let the ITS or a redistributor touch what it must not.</Empty>
        </Panel>
      )}
      {groups.map((group) => {
        const newest = violationOf(group.samples.at(-1)!.data);
        return (
          <Panel
            key={group.key}
            title={newest.sentence || group.key}
            name={group.key}
            tools={
              <span class="row">
                <Chip tone="bad">▲ {newest.oracle}</Chip>
                <b class="mono">{group.count.toLocaleString("en")}</b>
              </span>
            }
          >
            <div class="detail">
              <p class="soft">
                Bucket <span class="mono">{group.key}</span>: {group.count === 1 ? "seen once" : `seen ${group.count.toLocaleString("en")} times, first at event ${group.firstSeq}`}.
              </p>
              <Evidence data={group.samples.at(-1)!.data} seq={group.lastSeq} model={model} />
              {group.count > 1 && <Samples events={group.samples.slice(0, -1)} model={model} count={group.count - 1} />}
            </div>
          </Panel>
        );
      })}
    </>
  );
}

function Evidence({ data, seq, model }: { data: Record<string, unknown>; seq: number; model: SessionModel }) {
  const { evidence } = violationOf(data);
  return (
    <section class="evidence" aria-label={`Evidence of event ${seq}`}>
      <div class="row">
        <a href={hashOf({ page: "session", id: model.id, view: "events", at: seq })}>event {seq}</a>
        <a href={hashOf({ page: "session", id: model.id, view: "queues", at: seq })}>queues then</a>
        <span class="grow" />
        <Copy text={() => asJson(data)}>Copy as JSON</Copy>
      </div>
      <EvidenceList evidence={evidence} pageLink={pageLink(model.id, seq)} />
    </section>
  );
}

type Bag = Record<string, unknown>;
const isBag = (value: unknown): value is Bag => typeof value === "object" && value !== null && !Array.isArray(value);

/** Where the memory view of a session shows a page at a moment. */
export const pageLink =
  (id: string, at: number | null) =>
  (addr: string): string =>
    hashOf({ page: "session", id, view: "memory", at, addr });

/** Evidence of any shape: plain facts as a list, lists of records (addresses and their owners) as tables, with a way to each page. */
export function EvidenceList({ evidence, pageLink }: { evidence: Bag; pageLink: ((addr: string) => string) | null }) {
  const tables = Object.entries(evidence).filter((entry): entry is [string, Bag[]] => Array.isArray(entry[1]) && entry[1].length > 0 && entry[1].every(isBag));
  const names = new Set(tables.map(([name]) => name));
  return (
    <>
      <dl class="kv">
        {Object.entries(evidence)
          .filter(([name, value]) => !names.has(name) && value !== null)
          .map(([name, value]) => (
            <div key={name} class="pair">
              <dt>{name.replaceAll("_", " ")}</dt>
              <dd>{factText(value)}</dd>
            </div>
          ))}
      </dl>
      {tables.map(([name, rows]) => {
        const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
        return (
          <Scroll key={name} label={name}>
            <table>
              <thead>
                <tr>
                  {columns.map((column) => (
                    <th key={column}>{column}</th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.slice(0, 20).map((row, index) => (
                  <tr key={index}>
                    {columns.map((column) => (
                      <td key={column} class="mono wrap">
                        <Cell column={column} row={row} pageLink={pageLink} />
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        );
      })}
    </>
  );
}

/** A fact on one line; a command with its fields decoded. */
function factText(value: unknown): string {
  if (!isBag(value)) return shown(value);
  if (!Array.isArray(value.words)) return Object.entries(value).map(([key, item]) => `${key} ${shown(item)}`).join(", ");
  const decoded = decode(value.words.map(String), arch.value.commands, typeof value.name === "string" ? value.name : null);
  return `slot ${shown(value.slot)}, ${decoded.name ?? "unknown opcode"} ${oneLine(decoded) || value.words.join(" ")}`;
}

function Cell({ column, row, pageLink }: { column: string; row: Bag; pageLink: ((addr: string) => string) | null }) {
  const text = shown(row[column]);
  if (column === "owner") return <Owner owner={text.toLowerCase()} state={shown(row.state ?? "").toLowerCase()} />;
  if (column === "addr" && pageLink && parseHex(row[column]) !== null) {
    return (
      <a href={pageLink(text)} aria-label={`Show the page of ${text}`}>
        {text}
      </a>
    );
  }
  return <>{text}</>;
}
