import createClient, { type Client, type Middleware } from "openapi-fetch";
import { EventStream, type Probe, type StreamOptions } from "./stream";
import { problemOf, ProblemError, UnreachableError } from "./problems";
import type { paths } from "./schema";
import type * as wire from "./wire";

/** One call as it went over the wire: shown to people, never with the key. */
export interface CallRecord {
  method: string;
  url: string;
  body: unknown;
  status: number;
  ms: number;
}

export interface ClientOptions {
  /** Where the service is; "" means the page's own origin. */
  baseUrl: string;
  apiKey?: string | null;
  fetch?: (request: Request) => Promise<Response>;
  onCall?: (call: CallRecord) => void;
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/**
 * The service, typed by its OpenAPI file: `http` reaches every route, the methods below are those that need more than
 * one line. A call that is answered with a problem throws ProblemError, one that is not answered UnreachableError.
 */
export class ItsboxClient {
  readonly http: Client<paths>;
  private readonly baseUrl: string;
  private readonly apiKey: string | null;

  constructor(options: ClientOptions) {
    this.apiKey = options.apiKey ?? null;
    this.baseUrl = options.baseUrl.replace(/\/+$/, "");
    const send = options.fetch ?? ((request: Request) => globalThis.fetch(request));
    this.http = createClient<paths>({
      baseUrl: this.baseUrl,
      fetch: async (request: Request) => {
        const body = options.onCall && request.method !== "GET" ? await request.clone().text() : "";
        const started = performance.now();
        let status = 0;
        try {
          const response = await send(request);
          status = response.status;
          return response;
        } catch (error) {
          if (error instanceof DOMException && error.name === "AbortError") throw error;
          throw new UnreachableError(`no answer from ${this.baseUrl || "the service"} (${String(error)})`);
        } finally {
          const ms = performance.now() - started;
          options.onCall?.({ method: request.method, url: request.url, body: jsonOr(body), status, ms });
        }
      },
    });
    if (options.apiKey) this.http.use(bearer(options.apiKey));
  }

  /** The data of an answer, or its problem thrown. */
  async must<T>(call: Promise<Answer<T>>): Promise<T> {
    const { data, error, response } = await call;
    if (!response.ok) throw problemOf(response, error);
    return data as T;
  }

  /** Every session that the filters let through; walks the pages of the list. */
  async sessions(query: { state?: string; metadata?: Record<string, string> } = {}, limit = 1000): Promise<wire.Session[]> {
    const found: wire.Session[] = [];
    let cursor: string | null | undefined;
    do {
      const filter = Object.fromEntries(Object.entries(query.metadata ?? {}).map(([key, value]) => [`metadata.${key}`, value]));
      const params = { query: { ...(query.state ? { state: query.state } : {}), ...(cursor ? { cursor } : {}), ...filter } };
      const page = (await this.must(this.http.GET("/v1/sessions", { params } as never))) as wire.SessionPage;
      found.push(...page.sessions);
      cursor = page.next_cursor;
    } while (cursor && found.length < limit);
    return found;
  }

  /** Ops of any number in requests of at most `chunk`, one after the other. */
  async *ops(session: string, ops: readonly wire.Op[], chunk = 1000): AsyncGenerator<wire.BatchAnswer> {
    for (let start = 0; start < ops.length; start += chunk) {
      const body = { ops: ops.slice(start, start + chunk) };
      const path = { session_id: session };
      yield (await this.must(
        this.http.POST("/v1/sessions/{session_id}/ops", { params: { path }, body } as never),
      )) as wire.BatchAnswer;
    }
  }

  /** A stream of the session's events that knows why a connection fails. Call `open()` on it. */
  stream(session: string, options: Omit<StreamOptions, "url" | "probe">): EventStream {
    return new EventStream({ apiKey: this.apiKey, ...options, url: this.streamUrl(session), probe: () => this.probe(session) });
  }

  streamUrl(session: string): string {
    const base = this.baseUrl || globalThis.location.origin;
    return `${base.replace(/^http/, "ws")}/v1/sessions/${encodeURIComponent(session)}/stream`;
  }

  /** Why a stream may have ended: asks for the session itself, since a browser hides the answer to a handshake. */
  async probe(session: string): Promise<Probe> {
    try {
      const path = { session_id: session };
      const answer = (await this.must(
        this.http.GET("/v1/sessions/{session_id}", { params: { path } } as never),
      )) as wire.Session;
      return { state: "there", epoch: answer.epoch, seq: answer.seq };
    } catch (error) {
      if (error instanceof ProblemError && error.gone) return { state: "gone", detail: error.message };
      if (error instanceof ProblemError && (error.status === 401 || error.status === 403)) {
        return { state: "denied", detail: error.message };
      }
      return { state: "unreachable", detail: error instanceof Error ? error.message : String(error) };
    }
  }
}

function bearer(key: string): Middleware {
  return {
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${key}`);
      return request;
    },
  };
}

function jsonOr(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
