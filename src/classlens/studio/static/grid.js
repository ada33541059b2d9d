/**
 * A grid of any number of cells, of which only those in sight, and a row above and below, are in the document.
 * It is a list box: one stop for the Tab key, in which one option is the current one.
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { useKeys } from "./keys.js";
import { scrolledHeight, toScroll, toTop } from "./scrolling.js";

/**
 * @typedef {{least: number, heightOf: (width: number) => number}} CellShape  the least width, and the height for any
 * @typedef {{columns: number, rowHeight: number, width: number, height: number, whole: number, view: number}} Layout
 */
const GAP = 10;
const REST = 120; // milliseconds without a scroll event

/** @param {number} count @param {{width: number, height: number}} room @param {CellShape} shape @returns {Layout} */
function layOut(count, room, shape) {
  const inner = room.width - 2 * GAP;
  const columns = Math.max(1, Math.floor((inner + GAP) / (shape.least + GAP)));
  const width = Math.floor((inner + GAP) / columns - GAP);
  const height = shape.heightOf(width);
  const rowHeight = height + GAP;
  return { columns, rowHeight, width, height, whole: Math.ceil(count / columns) * rowHeight + GAP, view: room.height };
}

/** @param {{current: HTMLElement | null}} box */
function useRoom(box) {
  const [room, setRoom] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const measure = () => setRoom({ width: element.clientWidth, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return room;
}

/**
 * @param {{label: string, count: number, shape: CellShape, start: number, current: number, onMove: (position: number) => void,
 *   onOpen: (position: number) => void, onSeen: (first: number, last: number) => void,
 *   children: (position: number, rank: number) => any}} props `start` is the first cell in sight at the beginning;
 *   `current` is -1 for none; `rank` is that of pictures.js
 */
export function Grid({ label, count, shape, start, current, onMove, onOpen, onSeen, children }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const room = useRoom(box);
  const layout = layOut(count, room, shape);
  const { top, scroll, isPlaced, moveTo, onScroll } = useSqueezedScroll(box, layout);
  const firstRow = Math.floor(top / layout.rowHeight);
  const lastRow = Math.floor((top + layout.view - GAP) / layout.rowHeight);
  const anchor = useRef(start);
  const rowTop = (/** @type {number} */ position) => Math.floor(position / layout.columns) * layout.rowHeight;

  useLayoutEffect(() => {
    if (layout.view) moveTo(rowTop(anchor.current));
  }, [layout.columns, layout.rowHeight, layout.view > 0]);
  useLayoutEffect(() => {
    if (current < 0 || !layout.view) return;
    const over = rowTop(current), under = over + layout.rowHeight + GAP - layout.view;
    if (over < top) moveTo(over);
    else if (under > top) moveTo(Math.min(under, over));
  }, [current, layout.columns, layout.rowHeight, layout.view]);
  const first = firstRow * layout.columns, last = Math.min(count - 1, (lastRow + 1) * layout.columns - 1);
  useEffect(() => {
    if (!isPlaced) return;
    anchor.current = Math.min(first + (top % layout.rowHeight > layout.rowHeight / 2 ? layout.columns : 0), count - 1);
    onSeen(first, last);
  }, [first, last, isPlaced]);
  useGridKeys(layout, count, current < 0 ? first - 1 : current, (position) => {
    box.current?.focus({ preventScroll: true }); // else Enter would press the button that was clicked last
    onMove(position);
  });

  const cells = [], from = Math.max(0, first - layout.columns), to = Math.min(count - 1, last + layout.columns);
  for (let position = from; position <= to; position++) {
    const place = { top: GAP + rowTop(position) - top + scroll, left: GAP + (position % layout.columns) * (layout.width + GAP) };
    cells.push(html`<div key=${position} id="cell-${position}" role="option" class="cell" aria-selected=${String(position === current)}
      aria-posinset=${position + 1} aria-setsize=${count} style=${{ ...pixels(place), ...pixels({ width: layout.width, height: layout.height }) }}
      onClick=${() => onOpen(position)}>${children(position, position === current ? 0 : position >= first && position <= last ? 1 : 2)}</div>`);
  }
  return html`<div class="grid" ref=${box} role="listbox" tabindex="0" aria-label=${label} onScroll=${onScroll}
    aria-activedescendant=${current >= from && current <= to ? `cell-${current}` : undefined}>
    <div role="presentation" class="grid-whole" style=${pixels({ height: scrolledHeight(layout.whole) })}>${layout.view > 0 && cells}</div></div>`;
}

/** @param {Record<string, number>} lengths */
const pixels = (lengths) => Object.fromEntries(Object.entries(lengths).map(([name, value]) => [name, `${value}px`]));

/**
 * Which pixel of the list is at the upper edge, and which place of the scrollbar that is just now (see scrolling.js).
 * @param {{current: HTMLElement | null}} box
 * @param {Layout} layout
 */
function useSqueezedScroll(box, { whole, view }) {
  const place = useRef({ top: 0, scroll: 0, isPlaced: false });
  const timer = useRef(0);
  const [, redraw] = useState({});
  const limit = (/** @type {number} */ top) => Math.max(0, Math.min(top, whole - view));
  const moveTo = (/** @type {number} */ wanted) => {
    const element = /** @type {HTMLElement} */ (box.current);
    const top = limit(wanted);
    element.scrollTop = toScroll(top, whole);
    place.current = { top, scroll: element.scrollTop, isPlaced: true };
    redraw({});
  };
  const settle = useRef(() => {});
  settle.current = () => { // but for a reader who has scrolled on, of which the event is still to come
    if (box.current?.scrollTop === place.current.scroll) moveTo(place.current.top);
  };
  const onScroll = () => {
    const { scrollTop } = /** @type {HTMLElement} */ (box.current);
    const step = scrollTop - place.current.scroll;
    if (step === 0 || !place.current.isPlaced) return;
    const isJump = whole <= scrolledHeight(whole) || Math.abs(step) > 2 * view;
    place.current = { top: limit(isJump ? toTop(scrollTop, whole) : place.current.top + step), scroll: scrollTop, isPlaced: true };
    redraw({});
    clearTimeout(timer.current);
    timer.current = setTimeout(() => settle.current(), REST);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  return { ...place.current, moveTo, onScroll };
}

/** @param {Layout} layout @param {number} count @param {number} current @param {(position: number) => void} onMove */
function useGridKeys({ columns, rowHeight, view }, count, current, onMove) {
  const rows = Math.max(1, Math.floor(view / rowHeight));
  const to = (/** @type {number} */ position) => onMove(Math.max(0, Math.min(count - 1, position)));
  useKeys([
    { keys: ["ArrowRight", "j"], does: "key.next", run: () => to(current + 1) },
    { keys: ["ArrowLeft", "k"], does: "key.previous", run: () => to(current - 1) },
    { keys: ["ArrowDown"], does: "key.row_down", run: () => current + columns < count && to(current + columns) },
    { keys: ["ArrowUp"], does: "key.row_up", run: () => current - columns >= 0 && to(current - columns) },
    { keys: ["PageDown"], does: "key.page_down", run: () => to(current + rows * columns) },
    { keys: ["PageUp"], does: "key.page_up", run: () => to(current - rows * columns) },
    { keys: ["Home"], does: "key.first", run: () => to(0) },
    { keys: ["End"], does: "key.last", run: () => to(count - 1) },
  ], { isOn: count > 0 });
}
