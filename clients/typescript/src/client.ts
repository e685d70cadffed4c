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

  // ---------------------------------------------------------------- sessions

  create(body: wire.CreateSession): Promise<wire.Session> {
    return this.must(this.http.POST("/v1/sessions", { body: body as never }));
  }

  /** Every session that the filters let through; walks the pages of the list. */
  async sessions(query: { state?: "running" | "crashed"; metadata?: Record<string, string> } = {}, limit = 1000): Promise<wire.Session[]> {
    const found: wire.Session[] = [];
    const { state, metadata = {} } = query;
    const filter = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value]));
    let cursor: string | null = "";
    do {
      const asked: Record<string, unknown> = { ...filter, limit: 200, ...(state && { state }), ...(cursor && { cursor }) };
      const page: wire.SessionPage = await this.must(this.http.GET("/v1/sessions", { params: { query: asked } }));
      found.push(...page.sessions);
      cursor = page.next ?? null;
    } while (cursor && found.length < limit);
    return found;
  }

  session(session_id: string): Promise<wire.Session> {
    return this.must(this.http.GET("/v1/sessions/{session_id}", { params: { path: { session_id } } }));
  }

  change(session_id: string, body: wire.PatchSession): Promise<wire.Session> {
    return this.must(this.http.PATCH("/v1/sessions/{session_id}", { params: { path: { session_id } }, body }));
  }

  /** Ends a session. `keepalive` lets the request outlive the page that sends it. */
  async kill(session_id: string, keepalive = false): Promise<void> {
    await this.must(this.http.DELETE("/v1/sessions/{session_id}", { params: { path: { session_id } }, keepalive }));
  }

  /** Sessions that begin as this one is, or was at a snapshot. */
  async fork(session_id: string, count = 1, snapshot?: string): Promise<wire.Session[]> {
    const body = snapshot === undefined ? { count } : { count, snapshot };
    return (await this.must(this.http.POST("/v1/sessions/{session_id}/fork", { params: { path: { session_id } }, body }))).sessions;
  }

  snapshot(session_id: string): Promise<wire.Snapshot> {
    return this.must(this.http.POST("/v1/sessions/{session_id}/snapshots", { params: { path: { session_id } } }));
  }

  async forgetSnapshot(session_id: string, snapshot_id: string): Promise<void> {
    const path = { session_id, snapshot_id };
    await this.must(this.http.DELETE("/v1/sessions/{session_id}/snapshots/{snapshot_id}", { params: { path } }));
  }

  restore(session_id: string, snapshot: string): Promise<wire.Restored> {
    return this.must(
      this.http.POST("/v1/sessions/{session_id}/restore", { params: { path: { session_id } }, body: { snapshot } }),
    );
  }

  // ---------------------------------------------------------------- driving

  /** One batch; at most as many ops as the service's limit allows. */
  run(session_id: string, ops: readonly wire.Op[]): Promise<wire.BatchAnswer> {
    const body = { ops: ops as never };
    return this.must(
      this.http.POST("/v1/sessions/{session_id}/ops", { params: { path: { session_id } }, body }),
    ) as Promise<wire.BatchAnswer>;
  }

  /** A call of the built-in host driver: `probe`, `deprivilege`, `map_device`, ... */
  driver(session_id: string, call: string, args: Record<string, unknown>): Promise<wire.OpAnswer> {
    const params = { path: { session_id, call: call as never } };
    return this.must(
      this.http.POST("/v1/sessions/{session_id}/driver/{call}", { params, body: args as never }),
    ) as Promise<wire.OpAnswer>;
  }

  // ---------------------------------------------------------------- looking

  events(session_id: string, query: { after?: number; types?: string; limit?: number } = {}): Promise<wire.EventPage> {
    return this.must(this.http.GET("/v1/sessions/{session_id}/events", { params: { path: { session_id }, query } }));
  }

  journal(session_id: string, after: number, limit: number): Promise<wire.JournalPage> {
    const params = { path: { session_id }, query: { after, limit } };
    return this.must(this.http.GET("/v1/sessions/{session_id}/journal", { params })) as Promise<wire.JournalPage>;
  }

  queues(session_id: string, signal?: AbortSignal): Promise<wire.Queues> {
    const init = { params: { path: { session_id } }, ...(signal && { signal }) };
    return this.must(this.http.GET("/v1/sessions/{session_id}/queues", init)) as unknown as Promise<wire.Queues>;
  }

  registers(session_id: string, signal?: AbortSignal): Promise<Record<string, wire.Register>> {
    return this.must(this.http.GET("/v1/sessions/{session_id}/registers", { params: { path: { session_id } }, ...(signal && { signal }) }));
  }

  pages(session_id: string, addr: string, length: string, signal?: AbortSignal): Promise<wire.PageRun[]> {
    const params = { path: { session_id }, query: { addr, length } as never };
    return this.must(this.http.GET("/v1/sessions/{session_id}/pages", { params, ...(signal && { signal }) }));
  }

  table(session_id: string, kind: wire.TableKind, view: "host" | "hw" | "diff", signal?: AbortSignal): Promise<Record<string, unknown>> {
    const params = { path: { session_id, kind }, query: { view } };
    return this.must(this.http.GET("/v1/sessions/{session_id}/tables/{kind}", { params, ...(signal && { signal }) }));
  }

  diagnosis(session_id: string): Promise<Record<string, unknown>> {
    return this.must(this.http.GET("/v1/sessions/{session_id}/diagnosis", { params: { path: { session_id } } }));
  }

  // ---------------------------------------------------------------- what there is

  arch(): Promise<Record<string, unknown>> {
    return this.must(this.http.GET("/v1/arch"));
  }

  hardening(): Promise<Record<string, unknown>> {
    return this.must(this.http.GET("/v1/hardening"));
  }

  profiles(): Promise<Record<string, unknown>> {
    return this.must(this.http.GET("/v1/profiles"));
  }

  scenarios(): Promise<Record<string, unknown>> {
    return this.must(this.http.GET("/v1/scenarios")) as Promise<Record<string, unknown>>;
  }

  runScenario(name: string, body: { hardening?: string; profile?: string }): Promise<wire.ScenarioRun> {
    const params = { path: { name: name as never } };
    return this.must(this.http.POST("/v1/scenarios/{name}/run", { params, body: body as never })) as Promise<wire.ScenarioRun>;
  }

  matrix(scenarios: readonly string[], presets: readonly string[]): Promise<wire.Matrix> {
    const query = { scenarios: scenarios.join(","), presets: presets.join(",") };
    return this.must(this.http.GET("/v1/scenarios/matrix", { params: { query } })) as Promise<wire.Matrix>;
  }

  // ---------------------------------------------------------------- the stream

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
      const answer = await this.session(session);
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
