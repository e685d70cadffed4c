// 64-bit values travel as "0x..." strings, because a JavaScript number loses bits above 2^53. Here they are bigints.

/** The value of "0x...", a decimal string or an integer; null for anything else. */
export function parseHex(text: unknown): bigint | null {
  if (typeof text === "bigint") return text;
  if (typeof text === "number") return Number.isSafeInteger(text) && text >= 0 ? BigInt(text) : null;
  if (typeof text !== "string" || !/^(0x[0-9a-fA-F]+|[0-9]+)$/.test(text)) return null;
  return BigInt(text);
}

/** "0x..." as the wire writes it: lower case, no padding. */
export function toHex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** Bits hi:lo of a 64-bit word. */
export function bitsOf(word: bigint, hi: number, lo: number): bigint {
  return (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
}
