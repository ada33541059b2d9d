/**
 * Pictures of the server, loaded a few at a time: those in sight first, and none that has gone out of sight. The last
 * thousand are kept, so that scrolling back is at once. A picture says by a header that it stands for a bad file.
 */
import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { getPicture, isAbort } from "./api.js";

/** @typedef {{source: string, error: string}} Loaded  `source` is for an img; `error` is what is wrong with the file */
/** @typedef {{url: string, rank: number, controller: AbortController, done: (loaded: Loaded) => void}} Wish */

const MOST_AT_ONCE = 4; // of six connections to a server; the others are for what is said about the pictures
const KEPT = 1000;
/** @type {Map<string, Loaded>} */
const kept = new Map();
/** @type {Wish[]} */
const wishes = [];
let running = 0;

async function next() {
  if (running >= MOST_AT_ONCE || !wishes.length) return;
  const best = Math.min(...wishes.map((wish) => wish.rank));
  const [wish] = wishes.splice(wishes.findIndex((one) => one.rank === best), 1);
  running += 1;
  try {
    const { blob, error } = await getPicture(wish.url, wish.controller.signal);
    wish.done(keep(wish.url, { source: URL.createObjectURL(blob), error }));
  } catch (problem) {
    if (!isAbort(problem)) wish.done({ source: "", error: problem instanceof Error ? problem.message : String(problem) });
  } finally {
    running -= 1;
    void next();
  }
}

/** @param {string} url @param {Loaded} loaded */
function keep(url, loaded) {
  kept.set(url, loaded);
  for (const [oldest, { source }] of kept) {
    if (kept.size <= KEPT) break;
    kept.delete(oldest);
    URL.revokeObjectURL(source); // what is on the screen has been read by now
  }
  return loaded;
}

/**
 * @param {string} url
 * @param {number} rank
 * @returns {{loaded: Loaded | null, isOld: boolean}} the last picture, which is old, while the next one is on its way
 */
function usePicture(url, rank) {
  const [state, setState] = useState({ url, loaded: kept.get(url) ?? null });
  const wish = useRef(/** @type {Wish | null} */ (null));
  if (wish.current) wish.current.rank = rank;
  useEffect(() => {
    const known = kept.get(url);
    if (known) {
      setState({ url, loaded: known });
      return undefined;
    }
    const controller = new AbortController();
    const own = { url, rank, controller, done: (/** @type {Loaded} */ loaded) => setState({ url, loaded }) };
    wish.current = own;
    wishes.push(own);
    void next();
    return () => {
      wish.current = null;
      if (wishes.includes(own)) wishes.splice(wishes.indexOf(own), 1);
      controller.abort();
    };
  }, [url]);
  const loaded = kept.get(url) ?? state.loaded;
  return { loaded, isOld: loaded !== null && !kept.has(url) && state.url !== url };
}

/**
 * A picture, or a calm place for it. Where the same thing is wanted in another way, the old picture stays, dimmed, until
 * the new one is there; another thing needs another `key`. Of those that wait, the lowest `rank` is loaded first (0: the one
 * that is looked at, 1: in sight, 2: near it). `onBad` gets what is wrong with the file.
 * @param {{url: string, alt: string, rank?: number, onBad?: (error: string) => void}} props
 */
export function Picture({ url, alt, rank = 1, onBad }) {
  const { loaded, isOld } = usePicture(url, rank);
  const error = isOld ? "" : loaded?.error;
  useEffect(() => { if (error) onBad?.(error); }, [error]);
  return html`<span class="picture ${error ? "bad" : ""} ${isOld ? "old" : ""}">${loaded?.source
    ? html`<img src=${loaded.source} alt=${alt} draggable=${false} />` : html`<span class="unseen">${error ?? ""}</span>`}</span>`;
}
