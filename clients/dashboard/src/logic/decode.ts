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
    fields: list(item.fields).map((field) => ({
      name: String(field.arm || field.name || ""),
      word: Number(field.word ?? 0),
      hi: Number(field.hi ?? 0),
      lo: Number(field.lo ?? field.hi ?? 0),
      shift: Number(field.shift ?? 0),
    })),
  }));
}

/** The first layout whose opcode is that of word 0; its fields with their bits, values above 9 in hexadecimal. */
export function decode(words: readonly string[], layouts: readonly CommandLayout[], name: string | null = null): Decoded {
  const values = words.map((word) => parseHex(word) ?? 0n);
  const opcode = Number((values[0] ?? 0n) & 0xffn);
  const layout = layouts.find((each) => each.opcode === opcode && (name === null || each.name === name)) ??
    layouts.find((each) => each.opcode === opcode);
  if (!layout) return { name, fields: [] };
  const fields = layout.fields.map(({ name: field, word, hi, lo, shift }) => {
    const value = bitsOf(values[word] ?? 0n, hi, lo) << BigInt(shift);
    return { name: field, value: value > 9n ? toHex(value) : String(value), bits: `DW${word}[${hi === lo ? hi : `${hi}:${lo}`}]` };
  });
  return { name: layout.name, fields };
}

/** "DeviceID 0x10, Size 4, V 1": a decoded command on one line. */
export const oneLine = (decoded: Decoded): string => decoded.fields.map(({ name, value }) => `${name} ${value}`).join(", ");
