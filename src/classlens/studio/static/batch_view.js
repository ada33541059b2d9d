/** A training batch as the network gets it: mixed pictures, and the share of every class in each. */
import { html } from "/static/vendor/htm-preact.js";
import { useJson } from "./api.js";
import { Await, Button, Share } from "./components.js";
import { Picture } from "./pictures.js";
import { browsing, setQuery } from "./router.js";
import { t, workText } from "./text.js";

/**
 * @typedef {{index: number, partner: number | null, classes: string[], weights: number[], picture: string}} MixedRow
 * @typedef {{rows: MixedRow[], bad: {index: number, error: string}[], mixing: string, text: string, command: string}} Batch
 */

/** @param {{row: MixedRow}} props */
function MixedCard({ row }) {
  const isMixed = row.partner !== null && row.partner !== row.index;
  return html`<li class="card"><${Picture} url=${`${row.picture}&edge=320`} alt=${row.classes.join(", ")} />
    <div class="caption"><span class="muted">#${row.index}${isMixed ? ` + #${row.partner}` : ""}</span>
    ${row.classes.map((name, place) => html`<span key=${name} class="share"><span class="clip" title=${name}>${name}</span>
      <span>${row.weights[place].toFixed(2)}</span><i style=${{ width: `${100 * row.weights[place]}%` }}></i></span>`)}</div></li>`;
}

/** @param {{target: string, name: string, split: string, seed: string, number: number, length: number}} props */
export function BatchView({ target, name, split, seed, number, length }) {
  const answer = useJson(`/batch/${target}/${split}/${number}.json`, { seed });
  const batch = /** @type {Batch | null} */ (answer.data);
  const size = batch ? batch.rows.length + batch.bad.length : 1;
  const to = (/** @type {number} */ place) => setQuery({ batch: place });
  return html`<div class="scroll batch" tabindex="0" role="group" aria-label=${t("batch.title", { number })}>
    <div class="batch-head"><h2>${t("batch.title", { number })}</h2>
      <${Button} icon="left" label=${t("batch.previous")} disabled=${number < 1} onClick=${() => to(number - 1)} />
      <${Button} icon="right" label=${t("batch.next")} disabled=${(number + 2) * size > length} onClick=${() => to(number + 1)} />
      <span class="muted">${batch && t("batch.mixing", { count: batch.rows.length, mixing: workText(batch.mixing) })}</span>
      ${batch && html`<span class="push"><${Share} command=${batch.command} saving="--output-dir out/browse" python=${browsing(name, { phase: split, batch: size, number: number + 1, seed: Number(seed) })} /></span>`}</div>
    <${Await} answer=${answer}>${batch && html`
      ${batch.bad.map((one) => html`<p key=${one.index} class="notice bad"><b>#${one.index}</b> ${one.error}</p>`)}
      <ul class="cards ${answer.isLoading ? "old" : ""}">
        ${batch.rows.map((row, place) => html`<${MixedCard} key=${`${row.index}-${place}`} row=${row} />`)}</ul>`}<//></div>`;
}
