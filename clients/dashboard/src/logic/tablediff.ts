// Tables of devices, collections and vPEs compare by key: what the host believes beside what the hardware has.

export type Entry = Record<string, unknown>;
export type Change = "same" | "differs" | "host only" | "hw only";

export interface DiffRow {
  key: string;
  change: Change;
  host: Entry | null;
  hw: Entry | null;
  /** names of the fields that differ */
  fields: string[];
}

const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Keys are decimal numbers: in their order, then anything else by text. */
export function byNumber(a: string, b: string): number {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) === Number.isNaN(y) ? a.localeCompare(b) : Number.isNaN(x) ? 1 : -1;
  return x - y;
}

export function diffTables(host: ReadonlyMap<string, Entry>, hw: ReadonlyMap<string, Entry>): DiffRow[] {
  const keys = [...new Set([...host.keys(), ...hw.keys()])].sort(byNumber);
  return keys.map((key) => {
    const left = host.get(key) ?? null;
    const right = hw.get(key) ?? null;
    if (!left || !right) return { key, change: left ? "host only" : "hw only", host: left, hw: right, fields: [] };
    const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
    const fields = names.filter((name) => !equal(left[name], right[name]));
    return { key, change: fields.length > 0 ? "differs" : "same", host: left, hw: right, fields };
  });
}
