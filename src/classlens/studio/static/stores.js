/**
 * Values that several parts of the page look at, and what the browser remembers of them.
 * A component that uses a store is drawn again when its value changes.
 */
import { useEffect, useState } from "/static/vendor/htm-preact.js";

/**
 * @template T
 * @typedef {{get: () => T, set: (value: T) => void, subscribe: (listener: () => void) => () => void}} Store
 */

/**
 * @template T
 * @param {T} value
 * @returns {Store<T>}
 */
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
 * A store whose value outlives the page. Browsers may forbid that; then it lives as long as the page.
 * @param {string} name
 * @param {string} usual
 * @param {readonly string[]} allowed
 * @returns {Store<string>}
 */
export function makeRemembered(name, usual, allowed) {
  let remembered = null;
  try {
    remembered = localStorage.getItem(`classlens.${name}`);
  } catch {
    remembered = null;
  }
  const store = makeStore(remembered !== null && allowed.includes(remembered) ? remembered : usual);
  store.subscribe(() => {
    try {
      localStorage.setItem(`classlens.${name}`, store.get());
    } catch {
      // Private windows refuse; nothing is lost but the choice.
    }
  });
  return store;
}

/**
 * @template T
 * @param {Store<T>} store
 * @returns {T}
 */
export function useStore(store) {
  const [, redraw] = useState({});
  useEffect(() => store.subscribe(() => redraw({})), [store]);
  return store.get();
}

/** "system", "light" or "dark". */
export const theme = makeRemembered("theme", "system", ["system", "light", "dark"]);

function showTheme() {
  document.documentElement.dataset.theme = theme.get();
}
theme.subscribe(showTheme);
showTheme();

/**
 * Whether the page is dark now, for what is painted on a canvas.
 * @returns {boolean}
 */
export function useIsDark() {
  const chosen = useStore(theme);
  const [systemIsDark, setSystemIsDark] = useState(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const listen = () => setSystemIsDark(media.matches);
    media.addEventListener("change", listen);
    return () => media.removeEventListener("change", listen);
  }, []);
  return chosen === "dark" || (chosen === "system" && systemIsDark);
}
