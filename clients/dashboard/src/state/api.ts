import { signal } from "@preact/signals";
import { ItsboxClient, type CallRecord } from "itsbox-client";

/** The page's own origin and folder: the service hands the dashboard out itself. */
export const baseUrl = new URL(".", document.baseURI).href.replace(/\/+$/, "");

const KEY = "itsbox.apiKey";
const stored = (): string | null => {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden; then the key lives as long as the page
  }
};

/** Needed only where the service asks for one. Kept for this tab alone. */
export const apiKey = signal<string | null>(stored());

/** The newest calls, for the panel that shows them as curl. */
export const calls = signal<readonly CallRecord[]>([]);
export const CALLS_KEPT = 100;

const make = (key: string | null): ItsboxClient =>
  new ItsboxClient({
    baseUrl,
    apiKey: key,
    onCall: (call) => {
      calls.value = [call, ...calls.peek()].slice(0, CALLS_KEPT);
    },
  });

export let client = make(apiKey.peek());

export function setApiKey(key: string | null): void {
  apiKey.value = key;
  client = make(key);
  try {
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch {
    // as above: the key then lives as long as the page
  }
}
