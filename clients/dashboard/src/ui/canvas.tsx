import { useEffect, useRef } from "preact/hooks";
import { inNextFrame } from "../state/frame";
import { scheme } from "../state/theme";

/** The theme's colours as canvas code needs them, read once per drawing. */
export type Palette = (name: string) => string;

export interface Drawing {
  ctx: CanvasRenderingContext2D;
  width: number;
  height: number;
  color: Palette;
}

interface Props {
  class?: string;
  /** Drawn anew, at most once per frame, whenever this function changes, the size changes or the theme does. */
  draw: (drawing: Drawing) => void;
  label: string;
  /** A canvas that answers keys and the pointer is an application in ARIA's sense; otherwise a picture. */
  onKeyDown?: (event: KeyboardEvent) => void;
  /** x, y and the size of the canvas, in CSS pixels */
  onPoint?: (x: number, y: number, width: number, height: number) => void;
  onLeave?: () => void;
  onPick?: (x: number, y: number, width: number, height: number) => void;
  describedBy?: string;
}

export function Canvas({ class: name = "", draw, label, onKeyDown, onPoint, onLeave, onPick, describedBy }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(draw);
  latest.current = draw;
  const paint = useRef(() => {
    const element = canvas.current;
    if (!element || !box.current) return;
    const { clientWidth: width, clientHeight: height } = box.current;
    const ratio = window.devicePixelRatio || 1;
    if (element.width !== Math.round(width * ratio) || element.height !== Math.round(height * ratio)) {
      element.width = Math.round(width * ratio);
      element.height = Math.round(height * ratio);
    }
    const ctx = element.getContext("2d");
    if (!ctx || width === 0 || height === 0) return;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.documentElement);
    const known = new Map<string, string>();
    const color: Palette = (key) => {
      let value = known.get(key);
      if (value === undefined) known.set(key, (value = style.getPropertyValue(`--${key}`).trim()));
      return value;
    };
    latest.current({ ctx, width, height, color });
  });
  const theme = scheme.value;
  useEffect(() => inNextFrame(paint.current), [draw, theme]);
  useEffect(() => {
    const observer = new ResizeObserver(() => inNextFrame(paint.current));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const at = (event: PointerEvent | MouseEvent, tell?: Props["onPoint"]): void => {
    const { left, top, width, height } = canvas.current!.getBoundingClientRect();
    tell?.(event.clientX - left, event.clientY - top, width, height);
  };
  return (
    <div
      ref={box}
      class={`canvas ${name}`}
      role={onKeyDown ? "application" : "img"}
      aria-label={label}
      aria-describedby={describedBy}
      tabIndex={onKeyDown ? 0 : undefined}
      onKeyDown={onKeyDown}
      onPointerMove={(event) => at(event, onPoint)}
      onPointerLeave={onLeave}
      onClick={(event) => at(event, onPick)}
    >
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  );
}
