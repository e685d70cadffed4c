import { signal } from "@preact/signals";
import { commandLayouts, type CommandLayout } from "../logic/decode";
import { client } from "./api";

export interface Arch {
  commands: CommandLayout[];
  /** sentence and citation of each reason of refusal */
  reasons: Map<string, { sentence: string; citation: string }>;
  loaded: boolean;
}

/** The declarations of GET /v1/arch, asked for once: they do not change while a service runs. */
export const arch = signal<Arch>({ commands: [], reasons: new Map(), loaded: false });
let asked = false;

export async function loadArch(): Promise<void> {
  if (asked) return;
  asked = true;
  try {
    const answer = await client.arch();
    arch.value = { commands: commandLayouts(answer), reasons: reasonsOf(answer.reasons), loaded: true };
  } catch {
    asked = false; // words stay words; the next page that wants them asks again
  }
}

function reasonsOf(value: unknown): Arch["reasons"] {
  const items = Array.isArray(value)
    ? value.map((item: Record<string, unknown>) => [String(item.reason ?? item.name), item] as const)
    : Object.entries((value ?? {}) as Record<string, unknown>);
  return new Map(
    items.map(([name, item]) => {
      const row = (typeof item === "object" && item !== null ? item : { sentence: item }) as Record<string, unknown>;
      return [name, { sentence: String(row.sentence ?? row.doc ?? ""), citation: String(row.citation ?? row.source ?? "") }];
    }),
  );
}
