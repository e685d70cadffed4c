import { signal } from "@preact/signals";
import { client } from "./api";

type Bag = Record<string, unknown>;

export interface Knob {
  name: string;
  values: string[];
  doc: string;
}

export interface Catalogue {
  profiles: { name: string; doc: string }[];
  presets: { name: string; doc: string; knobs: Bag }[];
  knobs: Knob[];
  scenarios: { name: string; title: string; doc: string; profile: string | null }[];
  error: Error | null;
}

/** What there is to choose from: GET /v1/profiles, /v1/hardening, /v1/scenarios. Any that fails leaves its list empty. */
export const catalogue = signal<Catalogue>({ profiles: [], presets: [], knobs: [], scenarios: [], error: null });

const bag = (value: unknown): Bag => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Bag) : {});
const text = (value: unknown): string => (typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value));

/** Named rows of an answer: {plural: [..]}, {plural: {name: ..}}, or the list itself. */
export function named(answer: unknown, plural: string): { name: string; row: Bag }[] {
  const inside = Array.isArray(answer) ? answer : (bag(answer)[plural] ?? (plural in bag(answer) ? [] : answer));
  if (Array.isArray(inside)) {
    return inside.map((item) => (typeof item === "string" ? { name: item, row: {} } : { name: text(bag(item).name ?? bag(item).id), row: bag(item) }));
  }
  return Object.entries(bag(inside)).map(([name, row]) => ({ name, row: bag(row) }));
}

const doc = (row: Bag): string => text(row.doc ?? row.story);

let asked: Promise<void> | null = null;

export function loadCatalogue(): Promise<void> {
  asked ??= load().finally(() => {
    if (catalogue.peek().error) asked = null;
  });
  return asked;
}

async function load(): Promise<void> {
  let error: Error | null = null;
  const ask = async (call: Promise<unknown>): Promise<unknown> => {
    try {
      return await call;
    } catch (problem) {
      error = problem as Error;
      return {};
    }
  };
  const [profiles, hardening, scenarios] = await Promise.all([ask(client.profiles()), ask(client.hardening()), ask(client.scenarios())]);
  catalogue.value = {
    profiles: named(profiles, "profiles").map(({ name, row }) => ({ name, doc: doc(row) })),
    presets: named(hardening, "presets").map(({ name, row }) => ({ name, doc: doc(row), knobs: bag(row.knobs) })),
    knobs: named(hardening, "knobs").map(({ name, row }) => ({
      name,
      doc: doc(row),
      values: Array.isArray(row.values) ? row.values.map((each) => text(bag(each).value ?? bag(each).name ?? each)) : Object.keys(bag(row.values)),
    })),
    scenarios: named(scenarios, "scenarios").map(({ name, row }) => ({
      name,
      title: text(row.title),
      doc: doc(row),
      profile: typeof bag(row.needs).profile === "string" ? String(bag(row.needs).profile) : null,
    })),
    error,
  };
}
