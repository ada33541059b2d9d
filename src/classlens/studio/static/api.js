/** What the page asks of the server. An error says what the server said; a request ends with the part that made it. */
import { useCallback, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { queryText } from "./router.js";
import { errorText, t, workText } from "./text.js";

/** @typedef {import("./router.js").Patch} Patch */

export class ApiError extends Error {
  /** @param {string} message @param {string} hint what to do next, or "" @param {number} status of HTTP, 0 without answer */
  constructor(message, hint, status) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/** @param {string} path @param {RequestInit} options */
async function answerOf(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(t("error.unreachable"), t("error.unreachable_hint"), 0);
  }
  if (response.ok) return response;
  /** @type {{error?: string, hint?: string, key?: string, values?: Record<string, string | number>}} */
  const body = await response.json().catch(() => ({}));
  throw new ApiError(errorText(body) || t("error.status", { status: String(response.status) }), workText(body.hint ?? ""), response.status);
}

/** @param {string} path @param {Patch} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export const getJson = async (path, query = {}, signal) => (await answerOf(path + queryText(query), { signal })).json();
/** @param {string} path @param {AbortSignal} [signal] */
export const getBytes = async (path, signal) => (await answerOf(path, { signal })).arrayBuffer();

/** A picture, and what is wrong with its file, if anything is. @param {string} path @param {AbortSignal} signal */
export async function getPicture(path, signal) {
  const response = await answerOf(path, { signal });
  return { blob: await response.blob(), error: response.headers.get("X-Error") ?? "" };
}

/**
 * @param {string} path
 * @param {unknown} body an object becomes JSON; a Blob is sent as it is
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function post(path, body, signal) {
  const isRaw = body instanceof Blob;
  const headers = { "Content-Type": isRaw ? "application/octet-stream" : "application/json" };
  // What a page asks for while it is being left still arrives.
  const answer = await answerOf(path, { method: "POST", headers, body: isRaw ? body : JSON.stringify(body), signal, keepalive: !isRaw });
  return answer.json();
}

/** @typedef {{data: any, error: ApiError | null, isLoading: boolean, again: () => void}} Answer */

/**
 * The JSON at an address; nothing is asked while `path` is null. The last answer stays while the next one is on its
 * way, so that nothing jumps. `isUnfinished` says of an answer that it must be asked for again soon.
 * @param {string | null} path
 * @param {Patch} [query]
 * @param {(data: any) => boolean} [isUnfinished]
 * @returns {Answer}
 */
export function useJson(path, query = {}, isUnfinished) {
  const address = path === null ? null : path + queryText(query);
  const [answer, setAnswer] = useState(/** @type {{address: string | null, data: any, error: ApiError | null}} */ ({ address: null, data: null, error: null }));
  const [round, setRound] = useState(0);
  const check = useRef(isUnfinished);
  check.current = isUnfinished;
  useEffect(() => {
    if (address === null) return undefined;
    const controller = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const data = await getJson(address, {}, controller.signal);
        setAnswer({ address, data, error: null });
        if (check.current?.(data)) timer = setTimeout(ask, 500);
      } catch (error) {
        if (isAbort(error)) return;
        if (!(error instanceof ApiError)) throw error;
        setAnswer((last) => ({ address, data: last.address === address ? last.data : null, error }));
      }
    };
    void ask();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [address, round]);
  const again = useCallback(() => setRound((number) => number + 1), []);
  return { data: answer.data, error: answer.error, isLoading: address !== null && answer.address !== address, again };
}

/** @typedef {{id: number, state: string, done: number, total: number, message: string, ahead?: boolean, result: any}} Job  of one that waits, how far the one ahead is */

/**
 * Long work on the server: start it, see how far it is, cancel it. Starting anew, or leaving, cancels what is running.
 * @returns {{job: Job | null, error: ApiError | null, start: (path: string, body: unknown) => void, cancel: () => void}}
 */
export function useJob() {
  const [job, setJob] = useState(/** @type {Job | null} */ (null));
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  const running = useRef(/** @type {AbortController | null} */ (null));
  const cancel = useCallback(() => {
    running.current?.abort();
    running.current = null;
    setJob((last) => (last && ["waiting", "running"].includes(last.state) ? { ...last, state: "cancelled" } : last));
  }, []);
  const start = useCallback(async (/** @type {string} */ path, /** @type {unknown} */ body) => {
    cancel();
    const controller = new AbortController();
    running.current = controller;
    setError(null);
    setJob({ id: -1, state: "waiting", done: 0, total: 0, message: "", result: null });
    try {
      const { job: id } = await post(path, body); // not aborted: a job whose number is unknown could not be cancelled
      const cancelThere = () => void post(`/jobs/${id}/cancel`, {}).catch(() => undefined);
      if (controller.signal.aborted) return cancelThere();
      controller.signal.addEventListener("abort", cancelThere);
      for (let state = "waiting"; ["waiting", "running"].includes(state); ) {
        const next = await getJson(`/jobs/${id}.json`, {}, controller.signal);
        state = next.state;
        setJob({ id, ...next }); // of one that goes on the server speaks now and then only
      }
      running.current = running.current === controller ? null : running.current;
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof ApiError)) throw problem;
      setJob(null);
      setError(problem);
    }
  }, []);
  useEffect(() => {
    addEventListener("pagehide", cancel);
    return () => {
      cancel();
      removeEventListener("pagehide", cancel);
    };
  }, []);
  return { job, error, start, cancel };
}
