import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";

export const ROW = 24;
/** Within this many pixels of the end the list counts as being at its end. */
const AT_END = 8;

interface Props {
  label: string;
  count: number;
  head: ComponentChildren;
  headers: number;
  row: (index: number) => { key: string | number; class: string; cells: ComponentChildren } | null;
  selected: number | null;
  onSelect: (index: number) => void;
  /** Follow new rows; only while the list stands at its end. */
  stick: boolean;
  onStick: (atEnd: boolean) => void;
  /** Changes when the list must scroll to `goTo`. */
  goTo: { index: number; token: number } | null;
  /** Rows that left at the front so far: what is being read stays where it is on the screen. */
  left: number;
}

/** A list of any length with a few dozen rows in the document; a grid to a screen reader, driven by keys. */
export function VirtualGrid(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [, redraw] = useState(0);
  const virtual = useRef<Virtualizer<HTMLDivElement, Element> | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const options = () => ({
    count: latest.current.count,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 8,
    paddingStart: ROW,
    scrollPaddingStart: ROW,
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw((n) => n + 1),
  });
  virtual.current ??= new Virtualizer<HTMLDivElement, Element>(options());
  virtual.current.setOptions(options());

  useEffect(() => {
    const unmount = virtual.current!._didMount();
    virtual.current!._willUpdate();
    redraw((n) => n + 1);
    return unmount;
  }, []);
  const left = useRef(props.left);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    virtual.current!._willUpdate();
    const gone = props.left - left.current;
    left.current = props.left;
    if (props.stick) element.scrollTop = element.scrollHeight;
    else if (gone > 0) element.scrollTop -= gone * ROW;
  });
  useEffect(() => {
    if (props.goTo) virtual.current!.scrollToIndex(props.goTo.index, { align: "center" });
  }, [props.goTo?.token]);

  const onScroll = (): void => {
    const element = box.current;
    if (!element) return; // a scroll that was under way when the list went
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight <= AT_END;
    if (atEnd !== latest.current.stick) latest.current.onStick(atEnd);
  };
  const move = (to: number): void => {
    const index = Math.max(0, Math.min(props.count - 1, to));
    if (props.count === 0) return;
    props.onSelect(index);
    virtual.current!.scrollToIndex(index);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor((box.current!.clientHeight - ROW) / ROW) - 1);
    const here = props.selected ?? props.count - 1;
    const to = { ArrowDown: here + 1, j: here + 1, ArrowUp: here - 1, k: here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: props.count - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.key === "End") props.onStick(true);
    move(to);
  };
  const items = virtual.current.getVirtualItems();
  const active = props.selected !== null && items.some((item) => item.index === props.selected);
  return (
    <div
      ref={box}
      class="grid"
      role="grid"
      tabIndex={0}
      aria-label={props.label}
      aria-rowcount={props.count + 1}
      aria-colcount={props.headers}
      aria-activedescendant={active ? `r${props.selected}` : undefined}
      onScroll={onScroll}
      onKeyDown={onKeyDown}
    >
      <div class="sizer" role="rowgroup" style={{ height: `${virtual.current.getTotalSize()}px` }}>
        <div class="erow headrow" role="row" aria-rowindex={1}>
          {props.head}
        </div>
        {items.map((item) => {
          const row = props.row(item.index);
          if (!row) return null;
          return (
            <div
              key={row.key}
              id={`r${item.index}`}
              class={`erow ${row.class}`}
              role="row"
              aria-rowindex={item.index + 2}
              aria-selected={item.index === props.selected}
              style={{ transform: `translateY(${item.start}px)` }}
              onClick={() => props.onSelect(item.index)}
            >
              {row.cells}
            </div>
          );
        })}
      </div>
    </div>
  );
}
