import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "itsbox.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function read(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

export const theme = signal<Theme>(read());
/** What is in force: canvases read their colours again when it changes. */
export const scheme = signal<"light" | "dark">("light");

const settle = (): void => {
  scheme.value = theme.value === "system" ? (dark.matches ? "dark" : "light") : theme.value;
  document.documentElement.dataset.theme = scheme.value;
};
dark.addEventListener("change", settle);
effect(settle);

export function setTheme(next: Theme): void {
  theme.value = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // storage may be forbidden; the choice then lasts as long as the page
  }
}

export const reducedMotion = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;
