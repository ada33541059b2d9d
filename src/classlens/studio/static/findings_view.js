/**
 * What the linter says of the setup: each finding with the numbers and pictures that show it, its cure, and the command
 * that shows it again. How bad one is stands in words and in the shape of its mark, not in a colour alone.
 */
import { html, useEffect } from "/static/vendor/htm-preact.js";
import { getJson, post, useJson } from "./api.js";
import { Await, Button, copy, Empty, Failure, Progress, Segments, Select, Severity, Share } from "./components.js";
import { useWalk } from "./keys.js";
import { setQuery } from "./router.js";
import { findingCounts, useStore } from "./stores.js";
import { formatNumber, spell, t, workText } from "./text.js";

/**
 * @typedef {{code: string, severity: string, message: string, where: string, evidence: Record<string, unknown>, cure: string,
 *   command: string, pictures: {url: string, caption: string}[]}} Finding
 * @typedef {{code: string, why: string}} Skip
 */

const FAMILIES = ["S", "L", "F", "C", "D", "M", "R"];
/** @param {{code: string}} finding */
const familyOf = ({ code }) => code.slice(0, -3);
/** A family in words; one of another package by its letters. @param {string} family */
const familyText = (family) => (FAMILIES.includes(family) ? t(`findings.family.${family}`) : family);

/** @param {import("./app.js").ViewProps} props */
export function View({ query, session }) {
  const target = query.target ?? "0";
  const answer = useJson("/findings.json", { target }, (data) => data.state === "running");
  const retry = () => void getJson("/findings.json", { target, again: 1 }).then(answer.again, answer.again);
  const counts = useCounts(answer.isLoading ? null : answer.data, target, session.targets.length);
  const choices = session.targets.map(({ id, name }) => ({ value: String(id), text: counts[id] ? `${name} (${formatNumber(counts[id])})` : name }));
  const elsewhere = Object.entries(counts).reduce((sum, [id, count]) => (id === target ? sum : sum + count), 0);
  return html`<section class="view findings"><${Await} answer=${answer}>${answer.data && html`<${Report} report=${answer.data} query=${query} onRetry=${retry} elsewhere=${elsewhere} select=${choices.length > 1
    && html`<${Select} label=${t("page.target")} value=${target} choices=${choices} onChange=${(/** @type {string} */ one) => setQuery({ target: one, family: null, severity: null })} />`} />`}<//></section>`;
}

/** How many findings each target has; those that nobody has asked about are checked when this one has been. @param {any} report @param {string} target @param {number} length */
function useCounts(report, target, length) {
  const counts = useStore(findingCounts), other = Array.from({ length }, (_, id) => String(id)).find((id) => id !== target && counts[id] === undefined);
  const next = useJson(report && report.state !== "running" && other ? "/findings.json" : null, { target: other }, (data) => data.state === "running");
  useEffect(() => {
    const known = /** @type {[string | undefined, any][]} */ ([[target, report], [other, next.isLoading ? null : next.error ? {} : next.data]]).filter(([id, one]) => id && one && one.state !== "running");
    if (known.length) findingCounts.set({ ...findingCounts.get(), ...Object.fromEntries(known.map(([id, one]) => [id, one.findings?.length ?? 0])) });
  }, [report, next.data, next.error, next.isLoading]);
  return counts;
}

/** @param {{report: any, query: import("./router.js").Query, onRetry: () => void, select: any, elsewhere: number}} props */
function Report({ report, query, onRetry, select, elsewhere }) {
  /** @type {Finding[]} */
  const every = report.findings ?? [];
  const isRunning = report.state === "running";
  const families = [...new Set(every.map(familyOf))];
  const shown = every.filter((one) => (!query.family || familyOf(one) === query.family) && (!query.severity || one.severity === query.severity));
  const counted = (/** @type {string} */ value, /** @type {string} */ text, /** @type {number} */ count) => ({ value, text: `${text} ${formatNumber(count)}` });
  useWalk();
  const of = (/** @type {string} */ severity) => every.filter((one) => one.severity === severity).length;
  return html`<div class="bar">
      ${select}${every.length > 0 && html`<${Segments} label=${t("findings.by_severity")} value=${query.severity ?? ""} onChange=${(/** @type {string} */ severity) => setQuery({ severity })}
          choices=${[counted("", t("findings.all"), every.length), counted("error", t("findings.errors"), of("error")), counted("warning", t("findings.warnings"), of("warning"))]} />
        <${Segments} label=${t("findings.by_family")} value=${query.family ?? ""} onChange=${(/** @type {string} */ family) => setQuery({ family })}
          choices=${[{ value: "", text: t("findings.every_family") }, ...families.map((one) => counted(one, familyText(one), every.filter((other) => familyOf(other) === one).length))]} />`}
      <span class="push"></span><${Share} command=${report.command} python=${report.python} />
    </div>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("view.findings")}><div class="column">
      ${isRunning && html`<div class="state"><p class="state-title">${t("findings.running")}</p>
        <${Progress} message=${workText(report.message)} done=${report.done} total=${report.total} onCancel=${() => post(`/jobs/${report.job}/cancel`, {})} /><p class="muted">${t("findings.running_hint")}</p></div>`}
      ${report.state === "failed" && html`<${Failure} error=${{ ...report, message: report.message || t("look.cancelled") }} onRetry=${onRetry} />`}
      ${shown.map((one) => html`<${Card} key=${one.code + one.message} finding=${one} />`)}
      ${!isRunning && report.state !== "failed" && !every.length && html`<${Nothing} skipped=${report.skipped.length} elsewhere=${elsewhere} />`}
      ${every.length > 0 && !shown.length && html`<${Empty} title=${t("findings.none_here")}><${Button} onClick=${() => setQuery({ family: null, severity: null })}>${t("findings.show_all")}<//><//>`}
      ${report.skipped?.length > 0 && html`<${Skipped} skipped=${report.skipped} isOpen=${!every.length} />`}
    </div></div>`;
}

/** @param {{finding: Finding}} props */
function Card({ finding }) {
  const { code, severity, message, where, evidence, cure, command, pictures } = finding;
  const numbers = Object.entries(evidence ?? {});
  return html`<article class="block finding ${severity}" tabindex="-1" aria-label="${code}: ${message}">
    <header><${Severity} severity=${severity} /><code>${code}</code><span class="muted">${familyText(familyOf(finding))}</span></header>
    <h2 lang="en">${message}</h2>
    ${where && html`<p class="muted mono" lang="en">${where}</p>`}
    ${pictures?.length > 0 && html`<div class="exhibits">${pictures.map((one) => html`<figure key=${one.url}><img src=${one.url} alt=${one.caption} loading="lazy" /><figcaption lang="en">${one.caption}</figcaption></figure>`)}</div>`}
    ${numbers.length > 0 && html`<dl class="evidence" lang="en">${numbers.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${spell(value)}</dd></div>`)}</dl>`}
    ${cure && html`<p class="cure"><b>${t("findings.cure")}</b> <span lang="en">${cure}</span></p>`}
    ${command && html`<div class="command"><code>${command}</code><${Button} onClick=${() => copy(command)} label=${t("findings.copy", { code })}>${t("findings.copy_short")}<//></div>`}
  </article>`;
}

/** @param {{skipped: number, elsewhere: number}} props */
const Nothing = ({ skipped, elsewhere }) => html`<div class="state nothing">${!elsewhere && html`<svg class="tick" viewBox="0 0 48 48" aria-hidden="true"><circle cx="24" cy="24" r="21" /><path d="M15 25l6 6 12-14" /></svg>`}
  <p class="state-title">${t(elsewhere ? "findings.nothing_here" : "findings.nothing")}</p>${elsewhere > 0 && html`<p><b>${t("findings.elsewhere", { count: elsewhere })}</b></p>`}<p class="muted">${skipped ? t("findings.nothing_hint") : t("findings.nothing_all")}</p></div>`;

/** Rules that did not run, by reason. @param {{skipped: Skip[], isOpen: boolean}} props */
function Skipped({ skipped, isOpen }) {
  const reasons = new Map();
  for (const { code, why } of skipped) reasons.set(why, [...(reasons.get(why) ?? []), code]);
  return html`<details class="block skipped" open=${isOpen}><summary>${t("findings.skipped", { count: skipped.length })}</summary>
    <dl>${[...reasons].map(([why, codes]) => html`<div key=${why}><dt>${codes.map((/** @type {string} */ code) => html`<code key=${code}>${code}</code> `)}</dt><dd lang=${workText(why) === why ? "en" : undefined}>${workText(why)}</dd></div>`)}</dl></details>`;
}
