/**
 * What is known of the pictures in sight, of a list that may have a million: fetched in pieces, and the fetching of what
 * has gone out of sight is stopped. A new filter shows the old list until its own first piece is there.
 */
import { useCallback, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { ApiError, getJson, isAbort } from "./api.js";
import { queryText } from "./router.js";

/** @typedef {{index: number, name: string, path: string | null, classes: string[], error: string}} Row */
/** @typedef {{total: number, length: number, warnings: string[], stages: string[], command: string}} Facts */
/** @typedef {{address: string, facts: Facts, pieces: Map<number, Row[]>, asked: Map<number, AbortController>}} List */
const PIECE = 100;
const KEPT = 300; // pieces
/** @param {List} list @param {number} position @returns {Row | undefined} */
export const rowAt = (list, position) => list.pieces.get(Math.floor(position / PIECE))?.[position % PIECE];
/** @param {string} address @param {number} piece @param {AbortSignal} signal */
const getPiece = (address, piece, signal) => getJson(`/data.json${address}`, {}, signal).then((answer) => ({ ...answer, piece }));

/**
 * @param {import("./router.js").Patch} filter target, split, class, q, bad
 * @param {number} start the position of the first row that will be wanted
 */
export function useRows(filter, start) {
  const address = queryText(filter);
  const [list, setList] = useState(/** @type {List | null} */ (null));
  const [isCounting, setCounting] = useState(false);
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  const [round, setRound] = useState(0);
  const newest = useRef(list);
  newest.current = list;
  const fail = (/** @type {unknown} */ problem) => {
    if (isAbort(problem)) return;
    if (!(problem instanceof ApiError)) throw problem;
    setError(problem);
  };
  useEffect(() => {
    const controller = new AbortController(), first = Math.floor(start / PIECE);
    let timer = 0;
    const ask = async () => {
      const answer = await getPiece(`${address}&start=${first * PIECE}&count=${PIECE}`, first, controller.signal);
      setError(null);
      setCounting(answer.state === "counting");
      if (answer.state === "counting") timer = setTimeout(() => void ask().catch(fail), 300);
      if (answer.state === "counting" && !answer.rows.length) return; // or the first ones, while the others are listed
      setList((last) => {
        const { pieces, asked } = last?.address === address ? last : { pieces: new Map(), asked: new Map() };
        pieces.set(first, answer.rows);
        return { address, facts: answer, pieces, asked };
      });
    };
    void ask().catch(fail);
    return () => {
      controller.abort();
      clearTimeout(timer);
      for (const one of newest.current?.asked.values() ?? []) one.abort();
    };
  }, [address, round]);
  const need = useCallback((/** @type {number} */ from, /** @type {number} */ to) => {
    const shown = newest.current;
    if (!shown) return;
    const first = Math.floor(from / PIECE), last = Math.floor(to / PIECE);
    for (const [piece, controller] of shown.asked) if (piece < first || piece > last) controller.abort();
    for (let piece = first; piece <= last; piece++) {
      if (shown.pieces.has(piece) || shown.asked.has(piece)) continue;
      const controller = new AbortController();
      shown.asked.set(piece, controller);
      getPiece(`${shown.address}&start=${piece * PIECE}&count=${PIECE}`, piece, controller.signal).then((answer) => {
        shown.pieces.set(piece, answer.rows);
        if (shown.pieces.size > KEPT) shown.pieces.delete([...shown.pieces.keys()][0]);
        setList((present) => (present?.pieces === shown.pieces ? { ...present } : present));
      }).catch(fail).finally(() => shown.asked.delete(piece));
    }
  }, []);
  const again = useCallback(() => setRound((number) => number + 1), []);
  return { list, isCounting, isLoading: list?.address !== address, error, need, again };
}
