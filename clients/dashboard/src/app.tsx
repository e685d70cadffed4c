import { useEffect, useRef, useState } from "preact/hooks";
import { asCurl } from "./logic/copies";
import { apiKey, calls, setApiKey } from "./state/api";
import { place } from "./state/router";
import { setTheme, theme, type Theme } from "./state/theme";
import { useKeys } from "./ui/keys";
import { Copy, Empty } from "./ui/marks";
import { Toasts } from "./ui/toast";
import { ScenariosPage } from "./views/scenarios";
import { SessionPage } from "./views/session";
import { SessionsPage } from "./views/sessions";
import { StoryPage } from "./views/story";

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

export function App() {
  const here = place.value;
  const main = useRef<HTMLElement>(null);
  const [open, setOpen] = useState<"help" | "calls" | "key" | null>(null);
  useEffect(() => {
    document.title = here.page === "session" ? `${here.id} · ${here.view} · itsbox` : `${here.page} · itsbox`;
  }, [here]);
  useKeys({ "?": () => setOpen("help"), t: () => setTheme(NEXT[theme.peek()]) });
  const current = (page: string) => (here.page === page || (page === "sessions" && here.page === "session") ? "page" : undefined);
  return (
    <div class="app">
      <header class="bar">
        <button type="button" class="skip" onClick={() => main.current?.focus()}>
          Skip to content
        </button>
        <a class="brand" href="#/">
          <img src="./icon.svg" alt="" width={20} height={20} />
          itsbox
        </a>
        <nav aria-label="Pages">
          <a href="#/" aria-current={current("sessions")}>
            Sessions
          </a>
          <a href="#/scenarios" aria-current={current("scenarios")}>
            Scenarios
          </a>
          <a href="#/story" aria-current={current("story")}>
            The hang
          </a>
        </nav>
        <span class="grow" />
        <div class="row tools">
          <button type="button" class="plain" onClick={() => setOpen("calls")}>
            API calls
          </button>
          <button type="button" class="plain" onClick={() => setOpen("key")}>
            {apiKey.value ? "Key set" : "Key"}
          </button>
          <button type="button" class="plain" onClick={() => setTheme(NEXT[theme.peek()])} aria-label={`Colours: ${theme.value}`} title="t">
            {theme.value === "system" ? "◐ auto" : theme.value === "dark" ? "● dark" : "○ light"}
          </button>
          <button type="button" class="plain" onClick={() => setOpen("help")} aria-label="Keys" title="?">
            ?
          </button>
        </div>
      </header>
      <main ref={main} tabIndex={-1}>
        {here.page === "sessions" && <SessionsPage />}
        {here.page === "scenarios" && <ScenariosPage />}
        {here.page === "story" && <StoryPage />}
        {here.page === "session" && <SessionPage key={here.id} id={here.id} view={here.view} />}
      </main>
      <Toasts />
      <Dialog open={open === "help"} title="Keys" onClose={() => setOpen(null)}>
        <Keys />
      </Dialog>
      <Dialog open={open === "calls"} title="API calls of this page" onClose={() => setOpen(null)}>
        <Calls />
      </Dialog>
      <Dialog open={open === "key"} title="API key" onClose={() => setOpen(null)}>
        <form
          class="form"
          onSubmit={(event) => {
            event.preventDefault();
            setApiKey(String(new FormData(event.currentTarget).get("key") ?? "").trim() || null);
            setOpen(null);
            location.reload();
          }}
        >
          <p class="soft">Needed only where the service asks for one. It stays in this tab and is never written into a copied command.</p>
          <label class="field">
            Key
            <input name="key" type="password" autocomplete="off" />
          </label>
          <button type="submit" class="primary">
            Use it
          </button>
        </form>
      </Dialog>
    </div>
  );
}

function Dialog({ open, title, onClose, children }: { open: boolean; title: string; onClose: () => void; children: preact.ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) box.current?.showModal();
    else box.current?.close();
  }, [open]);
  return (
    <dialog ref={box} onClose={onClose} aria-labelledby={`d-${title}`}>
      <div class="row">
        <h2 id={`d-${title}`} class="grow">
          {title}
        </h2>
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
      {open && children}
    </dialog>
  );
}

const KEYS: [string, string][] = [
  ["1 – 9", "the views of a session"],
  ["j k ↑ ↓", "next and previous row of the stream"],
  ["Home End", "first and last row; End follows again"],
  ["/", "search in the stream"],
  ["Space", "pause and resume the stream"],
  ["[ ]", "one event back, one forward"],
  ["{ }", "a hundred back, a hundred forward"],
  ["l", "back to the live machine"],
  ["t", "light, dark, as the system"],
  ["?", "this list"],
];

function Keys() {
  return (
    <dl class="kv keys">
      {KEYS.map(([key, what]) => (
        <div key={key} class="pair">
          <dt>
            {key.split(" ").map((each) => (each === "–" ? " – " : <kbd key={each}>{each}</kbd>))}
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

function Calls() {
  const keyed = apiKey.value !== null;
  if (calls.value.length === 0) return <Empty title="None yet" />;
  return (
    <ul class="plainlist calls">
      {calls.value.slice(0, 40).map((call, index) => (
        <li key={index}>
          <div class="row">
            <span class="mono grow">
              {call.method} {new URL(call.url).pathname} · {call.status || "no answer"} · {Math.round(call.ms)} ms
            </span>
            <Copy text={() => asCurl(call, keyed)}>curl</Copy>
          </div>
        </li>
      ))}
    </ul>
  );
}
