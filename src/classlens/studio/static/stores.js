/**
 * Values that several parts of the page look at, and what the browser remembers of them.
 * A component that uses a store is drawn again when its value changes.
 */
import { useEffect, useState } from "/static/vendor/htm-preact.js";

/** @template T @typedef {{get: () => T, set: (value: T) => void, subscribe: (listener: () => void) => () => void}} Store */

/** @template T @param {T} value @returns {Store<T>} */
export function makeStore(value) {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * A store whose value outlives the page, and the studio: in a cookie, for other storage is lost with the port.
 * @param {string} name
 * @param {string} usual
 * @param {readonly string[]} allowed
 * @returns {Store<string>}
 */
export function makeRemembered(name, usual, allowed) {
  const remembered = new RegExp(`(?:^|; )classlens-${name}=(\\w+)`).exec(document.cookie)?.[1] ?? usual;
  const store = makeStore(allowed.includes(remembered) ? remembered : usual);
  store.subscribe(() => (document.cookie = `classlens-${name}=${store.get()}; path=/; max-age=31536000; samesite=strict`));
  return store;
}

/** @template T @param {Store<T>} store @returns {T} */
export function useStore(store) {
  const [, redraw] = useState({});
  useEffect(() => store.subscribe(() => redraw({})), [store]);
  return store.get();
}

/** "system", "light" or "dark". */
export const theme = makeRemembered("theme", "system", ["system", "light", "dark"]);
/** Findings of every target that has been checked, as the last answer said. */
export const findingCounts = makeStore(/** @type {Record<string, number>} */ ({}));
const showTheme = () => void (document.documentElement.dataset.theme = theme.get());
theme.subscribe(showTheme);
showTheme();
const darkness = matchMedia("(prefers-color-scheme: dark)");
const isSystemDark = makeStore(darkness.matches);
darkness.addEventListener("change", () => isSystemDark.set(darkness.matches));

/** Whether the page is dark now, for what is painted on a canvas. */
export function useIsDark() {
  const chosen = useStore(theme), systemIsDark = useStore(isSystemDark);
  return chosen === "dark" || (chosen === "system" && systemIsDark);
}
