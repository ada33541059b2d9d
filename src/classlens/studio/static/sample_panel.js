/** One picture, large, with every stage of its pipeline, what each sampled, and what is remarkable about the file. */
import { html, useState } from "/static/vendor/htm-preact.js";
import { useJson } from "./api.js";
import { Await, Button, Icon, Share } from "./components.js";
import { Picture } from "./pictures.js";
import { hrefOf } from "./router.js";
import { t } from "./text.js";

/**
 * @typedef {{name: string, words: string[], size: [number, number], changed: boolean, note: string, picture: string}} Stage
 * @typedef {{index: number, seed: number, path: string | null, classes: string[], size: [number, number] | null,
 *   remarks: string[], error: string | null, stages: Stage[], command: string, python: string}} Sample
 */

/** @param {[number, number]} size height and width */
const sizeText = ([height, width]) => `${width} × ${height}`;

/** @param {{stage: Stage, number: number, isChosen: boolean, onChoose: () => void}} props */
function StageRow({ stage, number, isChosen, onChoose }) {
  return html`<li><button type="button" class="stage-row" aria-pressed=${String(isChosen)} onClick=${onChoose}>
    <${Picture} url=${`${stage.picture}&edge=160`} alt="" rank=${0} />
    <span><b><span class="muted">${number}</span> ${stage.name}</b>
      <span class="muted">${sizeText(stage.size)}${stage.changed ? "" : ` · ${stage.note || t("sample.unchanged")}`}</span>
      ${stage.words.length > 0 && html`<span class="words">${stage.words.map((word) => html`<span key=${word}>${word}</span>`)}</span>`}</span></button></li>`;
}

/** @param {{sample: Sample, begins: "first" | "last"}} props */
function Stages({ sample, begins }) {
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const { stages } = sample;
  const place = Math.min(chosen ?? (begins === "first" ? 0 : stages.length - 1), stages.length - 1);
  if (!stages.length) return null;
  return html`<figure class="large"><${Picture} url=${`${stages[place].picture}&edge=1024`} alt=${stages[place].name} rank=${0} />
      <figcaption class="muted">${stages[place].name} · ${sizeText(stages[place].size)}</figcaption></figure>
    <h3>${t("sample.stages")} <span class="muted plain">${t("sample.seed", { seed: String(sample.seed) })}</span></h3>
    <ol class="stages">${stages.map((stage, number) => html`<${StageRow} key=${number} stage=${stage} number=${number} isChosen=${number === place}
      onChoose=${() => setChosen(number)} />`)}</ol>`;
}

/** @param {{sample: Sample}} props */
function Facts({ sample }) {
  return html`<dl class="facts">
    <div><dt>${t("sample.class")}</dt><dd>${sample.classes.join(", ") || t("sample.no_class")}</dd></div>
    ${sample.size && html`<div><dt>${t("sample.size")}</dt><dd>${sizeText(sample.size)}</dd></div>`}
    ${sample.path && html`<div><dt>${t("sample.file")}</dt><dd class="mono">${sample.path}</dd></div>`}</dl>
  ${sample.error && html`<p class="notice bad" role="alert"><b>${t("sample.bad")}</b> <span lang="en">${sample.error}</span></p>`}
  ${sample.remarks.length > 0 && html`<ul class="notice warn" lang="en" aria-label=${t("sample.remarks")}>
    ${sample.remarks.map((one) => html`<li key=${one}>${one}</li>`)}</ul>`}`;
}

/**
 * @param {{target: string, split: string, seed: string, row: import("./data_rows.js").Row | undefined, begins: "first" | "last",
 *   canLook: boolean, onStep: (step: number) => void, onReroll: () => void, onClose: () => void}} props
 */
export function SamplePanel({ target, split, seed, row, begins, canLook, onStep, onReroll, onClose }) {
  const answer = useJson(row ? `/sample/${target}/${split}/${row.index}.json` : null, { seed });
  const sample = /** @type {Sample | null} */ (answer.data);
  const isOld = answer.isLoading && sample?.index !== row?.index;
  return html`<aside class="panel sample" aria-label=${t("sample.title")}>
    <header><h2 class="clip"><span class="muted">#${row?.index ?? ""}</span> ${row?.name ?? ""}</h2>
      <${Button} kind="quiet" icon="left" label=${t("key.previous")} onClick=${() => onStep(-1)} />
      <${Button} kind="quiet" icon="right" label=${t("key.next")} onClick=${() => onStep(1)} />
      <${Button} kind="quiet" icon="close" label=${t("action.close")} onClick=${onClose} /></header>
    <div class="scroll" tabindex="0" role="group" aria-label=${t("sample.title")}><${Await} answer=${answer}>${sample && html`
      <div class="sample-inside ${isOld ? "old" : ""}">
      <div class="sample-actions">${canLook && html`
        <a class="button main" href=${hrefOf("look", { target, split, index: row?.index })}><${Icon} name="eye" /><span>${t("sample.look")}</span></a>`}
        <${Button} icon="dice" onClick=${onReroll}>${t("data.reroll")}<//><${Share} command=${sample.command} python=${sample.python} saving="--output-dir out/browse" /></div>
      <${Facts} sample=${sample} /><${Stages} key=${sample.index} sample=${sample} begins=${begins} /></div>`}<//></div></aside>`;
}
