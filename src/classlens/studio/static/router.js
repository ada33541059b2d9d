/**
 * Where the reader is: every view is an address, and its state is the query, so that any picture can be linked to.
 * `go` makes an entry of the history; with `replace` it changes the present one (typing, scrolling).
 */
import { makeStore, useStore } from "./stores.js";

/** @typedef {Record<string, string>} Query */
/** @typedef {{view: string, query: Query}} Route */
/** @typedef {Record<string, string | number | boolean | null | undefined>} Patch  null, undefined, false and "" remove */
export const VIEW_NAMES = ["data", "schedule", "look", "findings", "audit"];

/** @returns {Route} */
function read() {
  const name = location.pathname.slice(1);
  return { view: VIEW_NAMES.includes(name) ? name : "data", query: Object.fromEntries(new URLSearchParams(location.search)) };
}

const route = makeStore(read());
addEventListener("popstate", () => route.set(read()));
export const useRoute = () => useStore(route);

/** @param {Patch} patch @returns {string} "?a=1&b=2", or "" where nothing is in it */
export function queryText(patch) {
  const kept = Object.entries(patch).filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "");
  const text = new URLSearchParams(kept.map(([key, value]) => [key, value === true ? "1" : String(value)])).toString();
  return text ? `?${text}` : "";
}

/** Python that saves what a view shows of a data set. @param {string} target @param {Record<string, string | number | (string | number)[] | undefined>} asked */
export const browsing = (target, asked) => `for row in classlens.browse(${JSON.stringify(target)}, classlens.BrowseRequest(${Object.entries({ ...asked, output_dir: "out/browse" })
  .filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${Array.isArray(value) ? `(${value.map((one) => `${JSON.stringify(one)},`).join(" ")})` : JSON.stringify(value)}`).join(", ")})):\n    print(row)`;
/** @param {string} view @param {Patch} [query] */
export const hrefOf = (view, query = {}) => `/${view}${queryText(query)}`;

/** @param {string} href an address of a view, as `hrefOf` makes it @param {{replace?: boolean}} [options] */
export function go(href, { replace = false } = {}) {
  if (href === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", href);
  route.set(read());
}

/** Change some of the present view's query. @param {Patch} patch @param {{replace?: boolean}} [options] */
export function setQuery(patch, options) {
  const { view, query } = route.get();
  go(hrefOf(view, { ...query, ...patch }), options);
}

/** A list in the query. @param {string | undefined} text */
export const listOf = (text) => (text ? text.split(",") : []);
/** A list with or without one of its members. @param {string[]} list @param {string} one */
export const toggled = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);

/** Links to views are followed without loading the page again; the browser keeps every other click. */
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || !VIEW_NAMES.includes(link.pathname.slice(1))) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
