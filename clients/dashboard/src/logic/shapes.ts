// From the service's answers to what the views draw. Whatever a field holds, a view gets text it can show as text.

import { parseHex, toHex, type Queue } from "itsbox-client";
import type { PageRun } from "./pagemap";
import { COMMAND_BYTES, type QueuePointers } from "./rings";
import type { Entry } from "./tablediff";

type Bag = Record<string, unknown>;
const isBag = (value: unknown): value is Bag => typeof value === "object" && value !== null && !Array.isArray(value);
const bag = (value: unknown): Bag => (isBag(value) ? value : {});

/** Any value as one line of text. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  return JSON.stringify(value);
}

const number = (value: unknown): number => {
  const parsed = parseHex(value);
  return parsed === null ? 0 : Number(parsed);
};

export function pointersOf(queue: Queue): QueuePointers {
  const consumed = queue.consumed === null || queue.consumed === undefined ? null : number(queue.consumed);
  return {
    slots: Math.floor(number(queue.size) / COMMAND_BYTES),
    read: Math.floor(number(queue.creadr) / COMMAND_BYTES),
    write: Math.floor(number(queue.cwriter) / COMMAND_BYTES),
    consumed: consumed === null ? null : Math.floor(consumed / COMMAND_BYTES),
  };
}

export interface RegisterField {
  name: string;
  value: string;
  bits: string;
}

export interface RegisterRow {
  key: string;
  name: string;
  frame: string;
  offset: string;
  value: string;
  fields: RegisterField[];
  policy: string;
  /** RO, RW, ... as the architecture has it */
  access: string;
}

function fieldsOf(value: unknown): RegisterField[] {
  const list = Array.isArray(value) ? value.map((item) => [shown(bag(item).name), item] as const) : Object.entries(bag(value));
  return list.map(([name, item]) => {
    if (!isBag(item)) return { name, value: shown(item), bits: "" };
    const bits = item.bits ?? (item.hi === undefined ? "" : item.hi === item.lo ? item.hi : `${shown(item.hi)}:${shown(item.lo)}`);
    return { name, value: shown(item.meaning ?? item.value), bits: shown(bits) };
  });
}

function policyOf(value: unknown): string {
  if (!isBag(value)) return value === null || value === undefined ? "" : shown(value);
  return Object.entries(value)
    .map(([name, item]) => `${name} ${shown(item)}`)
    .join(", ");
}

/** The frame that a register's own name tells: GITS_CTLR, GITS1_CTLR, GICR3_WAKER, GICD_TYPER. */
export function frameOf(name: string): string {
  const [, kind, index] = /^(GITS|GICR|GICD)(\d*)_/.exec(name) ?? [];
  if (kind === "GITS") return `ITS${index ? ` ${index}` : ""}`;
  if (kind === "GICR") return `Redistributor${index ? ` ${index}` : ""}`;
  return kind === "GICD" ? "Distributor" : "";
}

/** Every register of an answer: a list, or lists and maps of them by frame, to any depth. */
export function registersOf(answer: unknown, frame = ""): RegisterRow[] {
  if (Array.isArray(answer)) return answer.flatMap((item) => registersOf(item, frame));
  if (!isBag(answer)) return [];
  if ("value" in answer && ("name" in answer || "register" in answer)) {
    const name = shown(answer.name ?? answer.register);
    const where = shown(answer.frame ?? answer.device ?? answer.block ?? frame);
    const index = answer.cpu === undefined || answer.cpu === null ? "" : ` ${shown(answer.cpu)}`;
    const offset = shown(answer.addr ?? answer.offset ?? "");
    return [
      {
        access: answer.access === undefined ? "" : shown(answer.access),
        key: `${where}${index} ${name} ${offset}`,
        name,
        frame: `${where}${index}`,
        offset,
        value: shown(answer.value),
        fields: fieldsOf(answer.fields),
        policy: policyOf(answer.policy),
      },
    ];
  }
  return Object.entries(answer).flatMap(([key, item]) => {
    if (isBag(item) && "value" in item && !("name" in item)) return registersOf({ ...item, name: key }, frame || frameOf(key));
    return registersOf(item, frame ? `${frame} ${key}` : key === "registers" ? "" : key);
  });
}

/** Run-length encoded pages, sorted; what cannot be placed at an address is left out. */
export function pagesOf(answer: unknown): PageRun[] {
  const list = Array.isArray(answer) ? answer : (bag(answer).runs ?? bag(answer).pages ?? []);
  if (!Array.isArray(list)) return [];
  const runs: PageRun[] = [];
  for (const item of list) {
    const run = bag(item);
    const addr = parseHex(run.addr);
    const pages = run.pages ?? run.count ?? (run.length === undefined ? 1 : Math.ceil(number(run.length) / 4096));
    if (addr === null) continue;
    runs.push({
      addr,
      pages: number(pages),
      owner: run.owner === null || run.owner === undefined ? "none" : shown(run.owner).toLowerCase(),
      state: run.state === null || run.state === undefined ? "" : shown(run.state).toLowerCase(),
      pins: number(run.pins ?? 0),
      use: run.use === null || run.use === undefined ? "" : Array.isArray(run.use) ? run.use.map(shown).join(", ") : shown(run.use),
    });
  }
  return runs.sort((a, b) => (a.addr < b.addr ? -1 : a.addr > b.addr ? 1 : 0));
}

/** The rows of one level of a table, keyed by id or index; a flat map, a list, or nothing. */
export function entriesOf(value: unknown): Map<string, Entry> {
  if (Array.isArray(value)) {
    return new Map(
      value.filter(isBag).map((item, index) => {
        const { index: at, id, fields, ...rest } = item;
        return [shown(at ?? id ?? index), isBag(fields) ? { ...fields, ...rest } : rest];
      }),
    );
  }
  return new Map(Object.entries(bag(value)).map(([key, item]) => [key, isBag(item) ? item : { value: item }]));
}

export interface ViolationRow {
  oracle: string;
  bucket: string;
  sentence: string;
  evidence: Bag;
}

export function violationOf(value: unknown): ViolationRow {
  const { oracle, bucket, sentence, message, evidence, ...rest } = bag(value);
  return {
    oracle: shown(oracle),
    bucket: shown(bucket),
    sentence: shown(sentence ?? message ?? ""),
    evidence: isBag(evidence) ? { ...evidence, ...rest } : evidence === undefined ? rest : { evidence, ...rest },
  };
}

/** Metadata is a stranger's text: cut to a length that leaves the page readable, and shown as text only. */
export function clip(text: string, limit = 120): string {
  return text.length > limit ? `${text.slice(0, limit)}… (${text.length} characters)` : text;
}

export { toHex };
