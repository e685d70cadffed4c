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
  /** `addr` is a page that the memory view is to show, as hex digits after 0x */
  | { page: "session"; id: string; view: View; at: number | null; addr?: string };

/** Where a hash leads; anything unknown leads to the list of sessions. */
export function parsePlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean);
  if (parts[0] === "scenarios") return { page: "scenarios" };
  if (parts[0] === "story") return { page: "story" };
  if (parts[0] === "s" && parts[1]) {
    const view = VIEWS.find(([name]) => name === parts[2])?.[0] ?? "events";
    const wishes = new URLSearchParams(query);
    const at = Number(wishes.get("at") ?? NaN);
    const addr = /^0x[0-9a-f]{1,16}$/i.exec(wishes.get("addr") ?? "")?.[0];
    let id = parts[1];
    try {
      id = decodeURIComponent(id);
    } catch {
      return { page: "sessions" }; // a broken escape names no session
    }
    return { page: "session", id, view, at: Number.isSafeInteger(at) && at >= 0 ? at : null, ...(addr && { addr }) };
  }
  return { page: "sessions" };
}

export function hashOf(place: Place): string {
  if (place.page === "sessions") return "#/";
  if (place.page !== "session") return `#/${place.page}`;
  const wishes = [place.at === null ? "" : `at=${place.at}`, place.addr === undefined ? "" : `addr=${place.addr}`].filter(Boolean).join("&");
  return `#/s/${encodeURIComponent(place.id)}/${place.view}${wishes && `?${wishes}`}`;
}

/**
 * Where the reader is: the one truth that views, keys and the scrubber read and change. The address bar follows it, and leads
 * only where the reader changed it: nothing that is written there comes back as a wish.
 */
export const place = signal<Place>(parsePlace(location.hash));

/** A scrubber in motion names more moments than browsers let a page write addresses (about three a second). */
export const ADDRESS_MS = 400;
/** The address as it was read or written last. */
let known = location.hash;
let wrote = -ADDRESS_MS;
let timer: ReturnType<typeof setTimeout> | null = null;

/** A link, the back button or the reader's own typing changes the address by itself. */
function follow(): void {
  if (location.hash === known) return;
  forgetAddress();
  known = location.hash;
  place.value = parsePlace(known);
}
window.addEventListener("hashchange", follow);

function forgetAddress(): void {
  if (timer !== null) clearTimeout(timer);
  timer = null;
}

/** Writes the moment shown into the entry of the history that is open, unless the reader has left it meanwhile. */
function writeAddress(): void {
  forgetAddress();
  const hash = hashOf(place.peek());
  if (location.hash !== known || hash === known) return;
  history.replaceState(null, "", hash);
  known = location.hash;
  wrote = performance.now();
}

/** Before an entry is left: the back button leads to the moment that it showed last. */
function settle(): void {
  if (timer !== null) writeAddress();
}
document.addEventListener("click", settle, { capture: true }); // a click may be on a link

/** Goes somewhere, with an entry in the history. */
export function go(to: Place): void {
  follow();
  settle();
  const hash = hashOf(to);
  if (hash !== known) history.pushState(null, "", hash);
  known = location.hash;
  place.value = to;
}

/** Shows another moment of the session that is open: at once in every view, soon in the address, never a new entry. */
export function showMoment(at: number | null): void {
  follow();
  const here = place.peek();
  if (here.page !== "session" || here.at === at) return;
  place.value = { ...here, at };
  timer ??= setTimeout(writeAddress, Math.max(0, wrote + ADDRESS_MS - performance.now()));
}
