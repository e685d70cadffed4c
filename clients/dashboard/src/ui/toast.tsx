import { signal } from "@preact/signals";

interface Toast {
  id: number;
  tone: "" | "bad";
  text: string;
}

const toasts = signal<readonly Toast[]>([]);
let next = 1;

/** Says something once, beside whatever the page shows. An error stays until it is closed. */
export function toast(text: string, tone: "" | "bad" = ""): void {
  const id = next++;
  toasts.value = [...toasts.peek().slice(-3), { id, tone, text }];
  if (tone === "") setTimeout(() => drop(id), 5000);
}

const drop = (id: number): void => {
  toasts.value = toasts.peek().filter((each) => each.id !== id);
};

/** Runs something that may fail and says how it failed. */
export async function attempt<T>(what: string, run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    toast(`${what}: ${error instanceof Error ? error.message : String(error)}`, "bad");
    return undefined;
  }
}

export function Toasts() {
  return (
    <div class="toasts" role="region" aria-label="Messages" aria-live="polite">
      {toasts.value.map(({ id, tone, text }) => (
        <div key={id} class={`note ${tone}`}>
          <span class="grow">{text}</span>
          <button type="button" class="plain" onClick={() => drop(id)}>
            Close
          </button>
        </div>
      ))}
    </div>
  );
}
