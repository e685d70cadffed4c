import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

/** Owners of pages: colour, letter and pattern say the same thing three times. */
export const OWNERS: Record<string, { letter: string; color: string; pattern: Pattern; title: string }> = {
  host: { letter: "H", color: "host", pattern: "plain", title: "host" },
  hyp: { letter: "P", color: "hyp", pattern: "stripes", title: "hypervisor (pKVM)" },
  guest: { letter: "G", color: "guest", pattern: "cross", title: "protected guest" },
  shared: { letter: "S", color: "shared", pattern: "dots", title: "shared by host and hypervisor" },
  its: { letter: "I", color: "its", pattern: "bars", title: "ITS and redistributor frames" },
  mmio: { letter: "M", color: "its", pattern: "bars", title: "device frame" },
  none: { letter: "–", color: "none", pattern: "plain", title: "nobody" },
};
export type Pattern = "plain" | "stripes" | "cross" | "dots" | "bars";

/** The owner as it is drawn: a shared page is its own kind, since both sides may touch it. */
export function ownerKey(owner: string, state: string): string {
  if (state.includes("shared")) return "shared";
  if (owner.includes("guest") || owner.includes("vm")) return "guest";
  return owner in OWNERS ? owner : owner.startsWith("hyp") ? "hyp" : owner.startsWith("host") ? "host" : "none";
}

export function Owner({ owner, state = "" }: { owner: string; state?: string }) {
  const key = ownerKey(owner, state);
  const { letter, title } = OWNERS[key]!;
  return (
    <span class="owner">
      <Swatch of={key} />
      <b class="mono">{letter}</b>
      <span>{owner === "none" ? title : owner}</span>
    </span>
  );
}

export function Swatch({ of }: { of: string }) {
  const { color, pattern } = OWNERS[of] ?? OWNERS.none!;
  return <span class={`swatch p-${pattern} c-${color}`} aria-hidden="true" />;
}

export function Chip({ tone = "", children, title }: { tone?: string; children: ComponentChildren; title?: string }) {
  return (
    <span class={`chip ${tone}`} title={title}>
      {children}
    </span>
  );
}

export function Panel(props: {
  title: string;
  /** what tells it from other panels; its title, unless that may occur twice */
  name?: string;
  tools?: ComponentChildren;
  children: ComponentChildren;
  flush?: boolean;
  class?: string;
  level?: 1 | 2;
}) {
  const id = `p-${(props.name ?? props.title).toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  const Heading = props.level === 1 ? "h1" : "h2";
  return (
    <section class={`panel ${props.class ?? ""}`} aria-labelledby={id}>
      <header>
        <Heading id={id}>{props.title}</Heading>
        {props.tools}
      </header>
      {props.flush ? props.children : <div class="body">{props.children}</div>}
    </section>
  );
}

/** A table may be wider than the page: the region scrolls by keyboard too, and has a name. */
export function Scroll({ label, children, class: name = "" }: { label: string; children: ComponentChildren; class?: string }) {
  return (
    <div class={`scroll ${name}`} role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Note({ tone = "", children }: { tone?: string; children: ComponentChildren }) {
  return (
    <div class={`note ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      {children}
    </div>
  );
}

/** Copies text; says so, or that the browser did not allow it. */
export function Copy({ text, children }: { text: () => string; children: ComponentChildren }) {
  const [said, say] = useState("");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text());
      say("copied");
    } catch {
      say("not allowed here");
    }
    setTimeout(() => say(""), 1500);
  };
  return (
    <button type="button" onClick={() => void copy()}>
      {children}
      <span class="soft" aria-live="polite">
        {said && ` ${said}`}
      </span>
    </button>
  );
}

/** Why a view has nothing (yet), or has it from another moment. */
export function LookNote({ look, past }: { look: { error: Error | null; stale: boolean; data: unknown }; past: { state: string } }) {
  if (look.error) return <Note tone="bad">{look.error.message}</Note>;
  if (look.data === null && past.state === "unavailable") return <Empty title="Not known of that moment">The newest event, “Live”, shows the machine as it is.</Empty>;
  if (look.stale && look.data === null) return <Empty title="Asking the service…" />;
  return null;
}
