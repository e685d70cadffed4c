// Commands decoded from their words by the declarations of GET /v1/arch: the page knows no field by heart.

import { bitsOf, parseHex, toHex } from "itsbox-client";

export interface FieldLayout {
  name: string;
  word: number;
  hi: number;
  lo: number;
  shift: number;
}

export interface CommandLayout {
  name: string;
  opcode: number;
  /** "v3", "v4", "v4.1": VMAPP and VMOVP have a layout for each */
  since: string;
  fields: FieldLayout[];
}

export interface Decoded {
  name: string | null;
  fields: { name: string; value: string; bits: string }[];
}

type Bag = Record<string, unknown>;
const list = (value: unknown): Bag[] =>
  (Array.isArray(value) ? value : Object.entries((value ?? {}) as Bag).map(([name, item]) => ({ name, ...(item as Bag) }))) as Bag[];

/** The command declarations in an answer of GET /v1/arch; none where it has none. */
export function commandLayouts(arch: unknown): CommandLayout[] {
  return list((arch as Bag | null)?.commands).map((item) => ({
    name: String(item.name ?? ""),
    opcode: Number(parseHex(item.opcode ?? item.match) ?? -1n),
    since: String(item.since ?? ""),
    fields: list(item.fields).map((field) => ({
      name: String(field.arm || field.name || ""),
      word: Number(field.word ?? 0),
      hi: Number(field.hi ?? 0),
      lo: Number(field.lo ?? field.hi ?? 0),
      shift: Number(field.shift ?? 0),
    })),
  }));
}

/** The fields of a command with their bits, values above 9 in hexadecimal. `gicv41` chooses between two layouts of one opcode. */
export function decode(words: readonly string[], layouts: readonly CommandLayout[], name: string | null = null, gicv41 = false): Decoded {
  const values = words.map((word) => parseHex(word) ?? 0n);
  const opcode = Number((values[0] ?? 0n) & 0xffn);
  const able = layouts.filter((each) => each.opcode === opcode);
  const layout = able.find((each) => able.length === 1 || each.since.includes("4.1") === gicv41) ?? able[0];
  if (!layout) return { name, fields: [] };
  const fields = layout.fields.map(({ name: field, word, hi, lo, shift }) => {
    const value = bitsOf(values[word] ?? 0n, hi, lo) << BigInt(shift);
    return { name: field, value: value > 9n ? toHex(value) : String(value), bits: `DW${word}[${hi === lo ? hi : `${hi}:${lo}`}]` };
  });
  return { name: layout.name, fields };
}

/** "DeviceID 0x10, Size 4, V 1": a decoded command on one line. */
export const oneLine = (decoded: Decoded): string => decoded.fields.map(({ name, value }) => `${name} ${value}`).join(", ");
