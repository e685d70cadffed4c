import { signal } from "@preact/signals";

export const VIEWS = [
  ["events", "Events"],
  ["queues", "Queues"],
  ["memory", "Memory"],
  ["registers", "Registers"],
  ["tables", "Tables"],
  ["refusals", "Refusals"],
  ["violations", "Violations"],
  ["timeline", "Timeline"],
  ["drive", "Drive"],
] as const;
export type View = (typeof VIEWS)[number][0];

export type Place =
  | { page: "sessions" }
  | { page: "scenarios" }
  | { page: "story" }
  | { page: "session"; id: string; view: View; at: number | null };

/** Where a hash leads; anything unknown leads to the list of sessions. */
export function parsePlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean);
  if (parts[0] === "scenarios") return { page: "scenarios" };
  if (parts[0] === "story") return { page: "story" };
  if (parts[0] === "s" && parts[1]) {
    const view = VIEWS.find(([name]) => name === parts[2])?.[0] ?? "events";
    const at = Number(new URLSearchParams(query).get("at") ?? NaN);
    let id = parts[1];
    try {
      id = decodeURIComponent(id);
    } catch {
      return { page: "sessions" }; // a broken escape names no session
    }
    return { page: "session", id, view, at: Number.isSafeInteger(at) && at >= 0 ? at : null };
  }
  return { page: "sessions" };
}

export function hashOf(place: Place): string {
  if (place.page === "sessions") return "#/";
  if (place.page !== "session") return `#/${place.page}`;
  const at = place.at === null ? "" : `?at=${place.at}`;
  return `#/s/${encodeURIComponent(place.id)}/${place.view}${at}`;
}

export const place = signal<Place>(parsePlace(location.hash));
window.addEventListener("hashchange", () => {
  place.value = parsePlace(location.hash);
});

/** Goes somewhere; `quietly` replaces the entry in the history, as a scrubber must. */
export function go(to: Place, quietly = false): void {
  if (quietly) {
    history.replaceState(null, "", hashOf(to));
    place.value = to;
  } else location.hash = hashOf(to);
}
