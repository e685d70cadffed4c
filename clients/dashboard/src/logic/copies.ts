import type { SessionEvent } from "itsbox-client";

/** A word that a POSIX shell takes as one argument, whatever it holds. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export interface Call {
  method: string;
  url: string;
  body?: unknown;
}

/** A call as a command line. An API key is named by its variable, never written out. */
export function asCurl({ method, url, body }: Call, keyed: boolean): string {
  const words = ["curl", "-sS"];
  if (method !== "GET") words.push("-X", method);
  if (keyed) words.push("-H", '"Authorization: Bearer $ITSBOX_API_KEY"');
  if (body !== undefined) words.push("-H", "'Content-Type: application/json'", "-d", shellQuote(JSON.stringify(body)));
  words.push(shellQuote(url));
  return words.join(" ");
}

/** The host access behind an event as the op that would do it again; null if the event does not tell. */
export function opOf(event: SessionEvent): { route: string; body: Record<string, unknown> } | null {
  const { data } = event;
  if (event.type === "trap.mmio") {
    const { addr, size } = data;
    return data.write === true
      ? { route: "mmio/write", body: { addr, size, value: data.value ?? "0x0" } }
      : { route: "mmio/read", body: { addr, size } };
  }
  if (event.type === "trap.hvc") return { route: "hvc", body: { function: data.function, args: data.args ?? [] } };
  if (event.type === "trap.abort") {
    return data.write === true
      ? { route: "memory/store", body: { addr: data.addr, hex: "00" } }
      : { route: "memory/load", body: { addr: data.addr, length: 8 } };
  }
  const { evidence } = data as { evidence?: { op?: { op?: unknown } | null } | null };
  if (event.type === "violation" && typeof evidence?.op?.op === "string") return { route: "ops", body: { ops: [evidence.op] } };
  return null;
}

/** The op behind the event, or else the request that answers this very event. */
export function eventAsCurl(event: SessionEvent, session: string, origin: string, keyed: boolean): string {
  const root = `${origin}/v1/sessions/${encodeURIComponent(session)}`;
  const op = opOf(event);
  if (op) return asCurl({ method: "POST", url: `${root}/${op.route}`, body: op.body }, keyed);
  return asCurl({ method: "GET", url: `${root}/events?after=${event.seq - 1}&limit=1` }, keyed);
}

export function asJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `0x${item.toString(16)}` : item), 2);
}
