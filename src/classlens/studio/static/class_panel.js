/** The classes of a split: how many pictures each has, drawn as their balance; a click shows those of one. */
import { html, useState } from "/static/vendor/htm-preact.js";
import { useJson } from "./api.js";
import { Await, Button, Progress, Select } from "./components.js";
import { setQuery } from "./router.js";
import { formatNumber, t } from "./text.js";

/** @typedef {{state: string, names: string[], counts: number[]}} Classes */
/** @typedef {{place: number, name: string, count: number}} Entry */

const MOST_ROWS = 400;
/** @type {Record<string, (a: Entry, b: Entry) => number>} */
const ORDERS = {
  listed: (a, b) => a.place - b.place,
  most: (a, b) => b.count - a.count || a.place - b.place,
  fewest: (a, b) => a.count - b.count || a.place - b.place,
};

/** Counting takes a while, so the first pictures go before. @param {string} target @param {string} split @param {boolean} isTurn */
export const useClasses = (target, split, isTurn) => useJson(isTurn ? "/classes.json" : null, { target, split }, (data) => data.state === "counting");

/** The counts from the largest to the smallest, as an area. @param {{counts: number[]}} props */
function Balance({ counts }) {
  const sorted = [...counts].sort((a, b) => b - a), most = sorted[0] || 1;
  const shown = Math.min(sorted.length, 200);
  const steps = Array.from({ length: shown }, (_, step) => {
    const height = (sorted[Math.floor((step * sorted.length) / shown)] / most) * 46;
    return `V${48 - height}H${((step + 1) * 200) / shown}`;
  });
  const least = sorted[sorted.length - 1];
  const said = least === most ? t("classes.even") : least > 0 ? t("classes.ratio", { ratio: Math.round((most / least) * 10) / 10 })
    : t("classes.empty", { count: counts.filter((one) => one === 0).length });
  return html`<figure class="balance">
    <svg viewBox="0 0 200 48" preserveAspectRatio="none" role="img" aria-label=${t("classes.balance")}><path d="M0 48${steps.join("")}V48Z" /></svg>
    <figcaption class="muted">${said}</figcaption></figure>`;
}

/** @param {{entry: Entry, most: number, isChosen: boolean}} props */
function ClassRow({ entry, most, isChosen }) {
  return html`<li><button type="button" class="class-row" aria-pressed=${String(isChosen)}
    onClick=${() => setQuery({ class: isChosen ? null : entry.place, at: null, top: null, open: null })}>
    <span class="clip" title=${entry.name}>${entry.name}</span><span class="muted">${formatNumber(entry.count)}</span>
    <i style=${{ width: `${(100 * entry.count) / most}%` }}></i></button></li>`;
}

/** @param {{answer: import("./api.js").Answer, chosen: string, onClose: () => void}} props `chosen` is a place in the names, or "" */
export function ClassPanel({ answer, chosen, onClose }) {
  const [words, setWords] = useState("");
  const [order, setOrder] = useState("listed");
  const { names = [], counts = [], state } = /** @type {Classes} */ (answer.data ?? {});
  const most = Math.max(1, ...counts);
  const found = names.map((name, place) => ({ place, name, count: counts[place] ?? 0 }))
    .filter((one) => one.name.toLowerCase().includes(words.toLowerCase())).sort(ORDERS[order]);
  const shown = found.slice(0, MOST_ROWS);
  return html`<aside class="panel classes" aria-label=${t("classes.title")}>
    <header><h2>${t("classes.title")} <span class="muted plain">${names.length > 0 && formatNumber(names.length)}</span></h2>
      <${Button} kind="quiet" icon="close" label=${t("action.close")} onClick=${onClose} /></header>
    <${Await} answer=${answer}>${state === "counting" ? html`<${Progress} message=${t("data.counting")} />` : html`
      ${counts.length > 0 && html`<${Balance} counts=${counts} />`}
      <div class="class-controls"><input class="input" type="search" placeholder=${t("classes.search")} aria-label=${t("classes.search")} value=${words}
        onInput=${(/** @type {any} */ event) => setWords(event.target.value)} />
      <${Select} label=${t("classes.order")} value=${order} onChange=${setOrder}
        choices=${Object.keys(ORDERS).map((value) => ({ value, text: t(`classes.order.${value}`) }))} /></div>
      <ul class="scroll class-list">${shown.map((entry) => html`
        <${ClassRow} key=${entry.place} entry=${entry} most=${most} isChosen=${chosen === String(entry.place)} />`)}
      ${found.length > shown.length && html`<li class="muted">${t("classes.more", { count: found.length - shown.length })}</li>`}</ul>`}<//></aside>`;
}
