/**
 * What `classlens audit` says of a whole split: how often the network is right, how sure it is, where it looks, and the
 * answers to questions. Every picture leads to the maps and to its place in the data, where its target is open.
 */
import { html } from "/static/vendor/htm-preact.js";
import { useJson } from "./api.js";
import { Await, Notes, Severity, Share } from "./components.js";
import { useWalk } from "./keys.js";
import { Picture } from "./pictures.js";
import { hrefOf } from "./router.js";
import { firstName, formatNumber, percent, spell, t } from "./text.js";

/** @typedef {any} Audit  what `/audit.json` says */
/** @typedef {{name: string, class: number, labelled: number, right: number, predicted: number, border: number | null}} ClassRow */

const MOST_ROWS = 50;
/** @param {number | null} share */
const shareText = (share) => (share === null ? "–" : percent(share));

/** @param {import("./app.js").ViewProps} props */
export function View({ session }) {
  const answer = useJson("/audit.json"), target = session.targets[answer.data?.target];
  useWalk();
  return html`<section class="view audit"><${Await} answer=${answer}>${answer.data && html`<${Report} audit=${{ ...answer.data, canLook: target?.parts.includes("classifier") }} />`}<//></section>`;
}

/** @param {{audit: Audit}} props */
function Report({ audit }) {
  /** @type {ClassRow[]} */
  const classes = [...audit.classes].sort((a, b) => (a.labelled ? a.right / a.labelled : 2) - (b.labelled ? b.right / b.labelled : 2));
  const bins = audit.bins.filter((/** @type {any} */ one) => one.count), head = (/** @type {string[]} */ ...names) => names.map((name) => t(`audit.${name}`));
  return html`<div class="bar"><span class="clip">${audit.network} · ${audit.data} · ${t(`data.split.${audit.split}`)}</span><span class="push"></span>
      <${Notes} notes=${audit.notes} /><${Share} command=${audit.command} python=${audit.python} /></div>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("view.audit")}><div class="column">
      <${Figures} audit=${audit} />
      ${audit.answers.map((/** @type {any} */ one) => html`<${Answer} key=${one.name} audit=${audit} answer=${one} />`)}
      <${Block} title=${t("audit.mistakes")} some=${audit.mistakes}><div class="exhibits">${audit.mistakes.map((/** @type {any} */ one) => html`<${Exhibit} key=${one.index} audit=${audit} index=${one.index}
        lines=${[`${firstName(one.names[0])} ${percent(one.probability)}`, t("audit.labelled_as", { name: firstName(one.names[1]) })]} />`)}</div><//>
      ${audit.clusters.map((/** @type {any} */ one, /** @type {number} */ place) => html`<${Block} key=${place} some=${[one]} title=${t("audit.cluster", { number: place + 1, count: one.count, share: shareText(one.accuracy) })}>
        <div class="exhibits"><${Exhibit} audit=${audit} map=${`cluster/${place}`} lines=${one.classes.map((/** @type {[string, number]} */ [name, count]) => `${firstName(name)} ${formatNumber(count)}`)} />
        ${one.examples.map((/** @type {number} */ index) => html`<${Exhibit} key=${index} audit=${audit} index=${index} />`)}</div><//>`)}
      <${Block} title=${t("classes.title")} some=${classes}><${Table} heads=${head("label", "right", "predicted", ...(audit.has_maps ? ["border", "mean_map"] : []))} rows=${classes.map((row) => [firstName(row.name),
        row.labelled ? `${formatNumber(row.right)} / ${formatNumber(row.labelled)}` : "–", row.predicted, ...(audit.has_maps ? [shareText(row.border), row.border !== null && html`<${HeatMap} of=${`class/${row.class}`} />`] : [])])} /><//>
      <${Block} title=${t("audit.confusions")} some=${audit.confusions}><${Table} heads=${head("label", "predicted", "times")} rows=${audit.confusions.map((/** @type {[string, string, number]} */ [label, predicted, count]) => [firstName(label), firstName(predicted), count])} /><//>
      <${Block} title=${t("audit.calibration")} some=${bins}><div class="row"><${Reliability} bins=${bins} /><${Table} heads=${head("probability", "pictures", "right")}
        rows=${bins.map((/** @type {any} */ one) => [`${percent(one.low)} – ${percent(one.high)}`, one.count, percent(one.accuracy)])} /></div><//>
    </div></div>`;
}

/** A part of the page, where there is something in it. @param {{title: string, some: any[], children?: any}} props */
const Block = ({ title, some, children }) => some.length > 0 && html`<article class="block" tabindex="-1" aria-label=${title}><h2>${title}</h2>${children}</article>`;

/** @param {{heads: any[], rows: any[][]}} props */
const Table = ({ heads, rows }) => html`<div class="wide-table" tabindex="0" role="region" aria-label=${heads.join(", ")}><table class="landmarks"><thead><tr>${heads.map((one) => html`<th scope="col">${one}</th>`)}</tr></thead>
  <tbody>${rows.slice(0, MOST_ROWS).map((row, place) => html`<tr key=${place}>${row.map((cell) => html`<td>${typeof cell === "number" ? spell(cell) : cell}</td>`)}</tr>`)}</tbody></table>
  ${rows.length > MOST_ROWS && html`<p class="muted">${t("look.first", { most: MOST_ROWS })}</p>`}</div>`;

/** @param {{of: string}} props */
const HeatMap = ({ of }) => html`<img src=${`/audit/${of}.webp`} alt=${t("look.maps")} loading="lazy" />`;

/** A picture of the split and its map, or a mean map alone. @param {{audit: Audit, index?: number, map?: string, lines?: string[]}} props */
function Exhibit({ audit: { target, split, canLook, has_maps: hasMaps }, index, map, lines = [] }) {
  const isOpen = index !== undefined && target !== null, data = hrefOf("data", { target, split, at: index });
  return html`<figure><div class="row">${isOpen && html`<a href=${canLook ? hrefOf("look", { target, split, index }) : data} aria-label=${t("look.sample", { split: t(`data.split.${split}`), index })}>
      <${Picture} url=${`/picture/${target}/${split}/${index}.webp?mode=original&edge=160`} alt="" /></a>`}${hasMaps && html`<${HeatMap} of=${map ?? `picture/${index}`} />`}</div>
    <figcaption>${lines.map((one) => html`<span key=${one} class="clip" title=${one}>${one}</span>`)}${index !== undefined && html`<a href=${isOpen ? data : undefined}>#${index}</a>`}</figcaption></figure>`;
}

/** The numbers of the whole split, and what is bad in it. @param {{audit: Audit}} props */
const Figures = ({ audit }) => html`<article class="block" tabindex="-1"><h2>${t("audit.numbers")}</h2><dl class="evidence">
    ${[["pictures", formatNumber(audit.pictures)], ["labelled", formatNumber(audit.labelled)], ["right", shareText(audit.accuracy)], ["top5", shareText(audit.top5_accuracy)],
      ["loss", audit.loss === null ? "–" : spell(audit.loss)], ["calibration_error", shareText(audit.calibration_error)], ["bad", formatNumber(audit.pictures - audit.good)]].map(
      ([name, value]) => html`<div key=${name}><dt>${t(`audit.${name}`)}</dt><dd>${value}</dd></div>`)}</dl>
  ${Object.entries(audit.bad).map(([why, count]) => html`<p key=${why} class="muted" lang="en">${formatNumber(count)}: ${why}</p>`)}
  ${audit.target === null && html`<p class="notice warn">${t("audit.closed", { name: audit.data })}</p>`}</article>`;

/** The share of right answers over the probability; dots are as large as bins. @param {{bins: {low: number, count: number, confidence: number, accuracy: number}[]}} props */
const Reliability = ({ bins }) => html`<svg class="reliability" viewBox="-7 -7 114 114" role="img" aria-label=${t("audit.calibration")}><path d="M0 0V100H100M0 100L100 0" />${bins.map((one) =>
  html`<circle key=${one.low} cx=${100 * one.confidence} cy=${100 - 100 * one.accuracy} r=${2 + 4 * Math.sqrt(one.count / Math.max(...bins.map(({ count }) => count)))} />`)}</svg>`;

/** An answer with its verdict, the pictures that show it, and its table. @param {{audit: Audit, answer: any}} props */
const Answer = ({ audit, answer: { question, verdict, is_trouble: isTrouble, table, examples, notes } }) => html`<article class="block finding ${isTrouble ? "" : "calm"}" tabindex="-1" aria-label=${question}>
  <header>${isTrouble && html`<${Severity} severity="warning" />`}<h2 lang="en">${question}</h2></header>${[verdict, ...notes].map((one, place) => html`<p key=${one} class=${place ? "muted" : ""} lang="en">${one}</p>`)}
  ${examples.length > 0 && html`<div class="exhibits">${examples.map((/** @type {number} */ index) => html`<${Exhibit} key=${index} audit=${audit} index=${index} />`)}</div>`}
  ${table.length > 0 && html`<${Table} heads=${Object.keys(table[0])} rows=${table.map(Object.values)} />`}</article>`;
