import { useEffect, useRef } from "preact/hooks";

const TYPING = "input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]";

/**
 * Keys that work wherever the focus is, except where somebody types, and except a space or Enter that a focused control
 * needs for itself.
 */
export function useKeys(keys: Record<string, (event: KeyboardEvent) => void>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as Element | null;
      if (target?.closest(TYPING) || document.querySelector("dialog[open]")) return;
      if ((event.key === " " || event.key === "Enter") && target?.closest("button, a, summary, [role=application]")) return;
      const run = latest.current[event.key];
      if (!run) return;
      event.preventDefault();
      run(event);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}
