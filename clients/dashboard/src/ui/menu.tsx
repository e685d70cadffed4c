import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";

/** A sheet under a button; Escape and a click elsewhere close it. */
export function Menu({ title, legend, children }: { title: string; legend: string; children: ComponentChildren }) {
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const element = box.current;
      if (!element?.open) return;
      const escaped = event instanceof KeyboardEvent && event.key === "Escape";
      if (!escaped && (event instanceof KeyboardEvent || element.contains(event.target as Node))) return;
      element.open = false;
      if (escaped) element.querySelector("summary")?.focus();
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details ref={box} class="menu">
      <summary>{title}</summary>
      <fieldset class="sheet">
        <legend class="sr">{legend}</legend>
        {children}
      </fieldset>
    </details>
  );
}
