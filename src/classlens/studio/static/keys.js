/**
 * The keyboard. A part of the page lists its keys while it is shown; the newest part is asked first, and one that is
 * `isModal` hides the keys of those below. Keys that are typed into a field, or moved in a control, stay there, and what has the focus and scrolls is scrolled.
 */
import { useLayoutEffect, useRef } from "/static/vendor/htm-preact.js";

/** @typedef {{keys: string[], does: string, run: (event: KeyboardEvent) => void}} Binding  `does` is a key of text.js */
/** @typedef {{bindings: Binding[], isModal: boolean}} Layer */
/** @type {{current: Layer}[]} */
const layers = [];

/** @returns {Layer[]} the newest first */
function liveLayers() {
  const newest = layers.map((one) => one.current).reverse();
  const modal = newest.findIndex((layer) => layer.isModal);
  return modal < 0 ? newest : newest.slice(0, modal + 1);
}

/** What can be pressed now, for the help. */
export const liveBindings = () => liveLayers().flatMap((layer) => layer.bindings);
const SCROLLING = ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];
/** @param {EventTarget | null} target */
const isField = (target) => target instanceof Element && target.closest("input, textarea, select, [role=menu], [role=tree], [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isField(event.target) && event.key !== "Escape") return;
  if (SCROLLING.includes(event.key) && event.target instanceof Element && event.target.closest(".scroll")) return;
  if (["Enter", " "].includes(event.key) && event.target instanceof Element && event.target.closest("a, button, summary")) return;
  if (event.key === "Escape" && event.target instanceof HTMLInputElement) return event.target.blur();
  const binding = liveBindings().find((one) => one.keys.includes(event.key));
  if (!binding) return;
  event.preventDefault();
  binding.run(event);
});

/** @param {Binding[]} bindings @param {{isOn?: boolean, isModal?: boolean}} [options] */
export function useKeys(bindings, { isOn = true, isModal = false } = {}) {
  const layer = useRef({ bindings, isModal });
  layer.current = { bindings, isModal };
  useLayoutEffect(() => { // what can be seen can be pressed
    if (!isOn) return undefined;
    layers.push(layer);
    return () => void layers.splice(layers.indexOf(layer), 1);
  }, [isOn]);
}

/** `j` and `k` go from article to article. */
export const useWalk = () => useKeys([{ keys: ["j", "k"], does: "key.part", run: ({ key }) => {
  const all = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("article[tabindex]")]), here = all.findIndex((one) => one.contains(document.activeElement));
  all[Math.max(0, Math.min(all.length - 1, here + (key === "j" ? 1 : -1)))]?.focus();
} }]);

/** How a key is written in the help. @param {string} key */
export const keyName = (key) => ({ ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", " ": "Space" })[key] ?? key;
