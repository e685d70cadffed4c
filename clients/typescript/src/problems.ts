/** An RFC 9457 answer of the service: the client did something wrong, or the service did (5xx). */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly status: number,
    readonly type: string,
    readonly title: string,
    readonly detail: string,
    /** Members beyond RFC 9457's own, e.g. the cap that was reached or the index of a malformed op. */
    readonly extra: Record<string, unknown>,
    readonly retryAfterS: number | null,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  /** The session, snapshot or scenario is not there (any more). */
  get gone(): boolean {
    return this.status === 404 || this.status === 410;
  }
}

/** No answer at all: the service is down, restarting, or the network is. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

const OWN = new Set(["type", "title", "status", "detail", "instance"]);

/** The problem in an answer that is not 2xx; whatever the body holds, there is one. */
export function problemOf(response: { status: number; headers: Headers }, body: unknown): ProblemError {
  const fields = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (name: string): string => {
    const value = fields[name];
    return typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
  };
  const retry = Number(response.headers.get("retry-after"));
  return new ProblemError(
    response.status,
    text("type") || "about:blank",
    text("title") || `HTTP ${response.status}`,
    text("detail") || (typeof body === "string" ? body.slice(0, 300) : ""),
    Object.fromEntries(Object.entries(fields).filter(([name]) => !OWN.has(name))),
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}
