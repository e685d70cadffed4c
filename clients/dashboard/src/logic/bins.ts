/** Which line of the activity chart an event counts for; order is the order in the legend. */
export const FAMILIES = ["traps", "commands", "refusals", "pages", "interrupts", "violations", "other"] as const;
export type Family = (typeof FAMILIES)[number];

export function familyOf(type: string, refused: boolean): Family {
  if (type === "violation") return "violations";
  if (refused) return "refusals";
  if (type.startsWith("trap.")) return "traps";
  if (type.startsWith("command.") || type === "shadow.queue") return "commands";
  if (type === "page.state" || type === "shadow.table") return "pages";
  if (type === "lpi.pending") return "interrupts";
  return "other";
}

/**
 * Counts of events by seq in at most `limit` bins of equal width. When the bins run out, neighbours are merged and the
 * width doubles: the memory is fixed and an event costs O(1) amortised.
 */
export class Bins {
  width = 1;
  readonly rows: Record<Family, number[]>;
  length = 0;

  constructor(readonly limit = 512) {
    this.rows = Object.fromEntries(FAMILIES.map((name) => [name, []])) as unknown as Record<Family, number[]>;
  }

  add(seq: number, family: Family): void {
    let index = Math.floor((seq - 1) / this.width);
    while (index >= this.limit) {
      this.halve();
      index = Math.floor((seq - 1) / this.width);
    }
    while (this.length <= index) {
      for (const name of FAMILIES) this.rows[name].push(0);
      this.length += 1;
    }
    this.rows[family][index]! += 1;
  }

  private halve(): void {
    this.width *= 2;
    for (const name of FAMILIES) {
      const row = this.rows[name];
      for (let index = 0; index * 2 < row.length; index += 1) row[index] = row[index * 2]! + (row[index * 2 + 1] ?? 0);
      row.length = Math.ceil(row.length / 2);
    }
    this.length = Math.ceil(this.length / 2);
  }
}
