/**
 * The schedule: what the optimizer is given at every step, a panel for each hyper-parameter, all on one axis.
 * Values are the run's own, to the last digit; landmarks and probable mistakes say where to look.
 */
import { html, useEffect, useMemo, useState } from "/static/vendor/htm-preact.js";
import { getBytes, useJson } from "./api.js";
import { Await, Button, Empty, Failure, Progress, Segments, Select, Share } from "./components.js";
import { CurvePanel, short, valueAt, valuesPerPixel } from "./curve_panel.js";
import { Severity } from "./findings_view.js";
import { useKeys } from "./keys.js";
import { setQuery } from "./router.js";
import { formatNumber, t } from "./text.js";

/**
 * @typedef {import("./curve_panel.js").Line} Line
 * @typedef {import("./curve_panel.js").Pin} Pin
 * @typedef {{id: number, name: string, group: string, length: number, unit: string, values: string}} Curve
 * @typedef {{name: string, step: number, epoch: number | null, value: number, curve: number}} Landmark
 * @typedef {{code: string, severity: string, message: string, cure: string}} Lint
 * @typedef {{id: number, name: string, clock: {steps: number, steps_per_epoch: number | null, words: string}, curves: Curve[],
 *   landmarks: Landmark[], lints: Lint[], command: string, python: string}} Run
 * @typedef {{key: string, curve: Curve, run: Run, line: Line}} Entry  a curve of a panel; its line has no values before they are here
 * @typedef {{run: Run, landmark: Landmark, x: number, number: number}} Place
 * @typedef {{axis: "step" | "epoch", end: number, finest: number, from: number, to: number, unitOf: (run: Run) => number}} Axis
 */

const MOST_DRAWN = 8; // curves of a panel that are drawn before anybody asks for more
const COLOURS = 6; // --series-1 … of style.css
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]]; // by run: colours alone must not tell runs apart
const NOTHING = new Float64Array();

/** @type {Map<string, Float64Array>} */
const fetched = new Map();

/**
 * The values at addresses, each as soon as it is here.
 * @param {string[]} addresses
 */
function useValues(addresses) {
  const [count, setCount] = useState(0);
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const controller = new AbortController();
    for (const address of addresses.filter((one) => !fetched.has(one))) {
      getBytes(address, controller.signal).then((bytes) => {
        fetched.set(address, new Float64Array(bytes));
        setCount((number) => number + 1);
      }, (problem) => controller.signal.aborted || setError(problem));
    }
    return () => controller.abort();
  }, [addresses.join()]);
  return { count, error };
}

/** @type {WeakMap<Float64Array, string>} */
const courses = new WeakMap();

/** Where a line starts, peaks and ends; one number where it stays what it is. @param {Float64Array} values */
function courseOf(values) {
  const known = courses.get(values);
  if (known !== undefined) return known;
  let [start, peak, low, end] = [NaN, -Infinity, Infinity, NaN];
  for (const value of values) {
    if (value !== value) continue; // a log may have gaps
    if (start !== start) start = value;
    if (value > peak) peak = value;
    if (value < low) low = value;
    end = value;
  }
  const stations = low === peak ? [peak] : [start, peak, end];
  const course = start === start ? stations.map((one) => short(one, 3)).join(" → ") : "–";
  courses.set(values, course);
  return course;
}

/**
 * The curves of every hyper-parameter, with how each is drawn and called.
 * @param {Run[]} runs
 * @param {Axis} axis
 * @returns {[string, Entry[]][]}
 */
function panelsOf(runs, { unitOf }) {
  const names = [...new Set(runs.flatMap((run) => run.curves.map((curve) => curve.name)))];
  return names.map((name) => {
    const every = runs.flatMap((run) => run.curves.filter((curve) => curve.name === name).map((curve) => ({ run, curve })));
    return [name, every.map(({ run, curve }, place) => {
      const isAlone = run.curves.filter((one) => one.name === name).length === 1;
      const label = runs.length === 1 ? curve.group : isAlone ? run.name : `${run.name} · ${curve.group}`;
      const width = unitOf(run) * (curve.unit === "epoch" ? run.clock.steps_per_epoch ?? 1 : 1);
      const line = { label, width, values: NOTHING, colour: `--series-${1 + (place % COLOURS)}`, dash: DASHES[runs.indexOf(run) % DASHES.length] };
      return { key: `${run.id}.${curve.id}`, run, curve, line };
    })];
  });
}

/** @param {Run[]} runs @param {import("./router.js").Query} query @returns {Axis} */
function axisOf(runs, query) {
  const lengths = new Set(runs.map((run) => run.clock.steps_per_epoch));
  const inEpochs = !lengths.has(null) && (query.axis ?? (lengths.size > 1 ? "epoch" : "step")) === "epoch";
  const unitOf = (/** @type {Run} */ run) => (inEpochs ? 1 / (run.clock.steps_per_epoch ?? 1) : 1);
  const end = Math.max(...runs.map((run) => run.clock.steps * unitOf(run))), finest = Math.min(...runs.map(unitOf));
  const from = Math.max(0, Math.min(Number(query.from) || 0, end - finest)), to = Math.min(end, Number(query.to) || end);
  return { axis: inEpochs ? "epoch" : "step", end, finest, unitOf, from, to: Math.max(to, from + finest) };
}

/**
 * Ways through the axis: zoom, move the view, and put the cursor somewhere.
 * @param {Axis} axis
 * @param {number | null} at
 * @param {(x: number | null) => void} setAt
 * @param {Place[]} places
 */
function waysThrough({ end, finest, from, to }, at, setAt, places) {
  const width = to - from;
  const zoom = (/** @type {number} */ low, /** @type {number} */ high) => {
    const span = Math.max(5 * finest, Math.min(end, high - low)), start = Math.max(0, Math.min(end - span, (low + high - span) / 2));
    const isAll = span >= end;
    setQuery({ from: isAll ? null : +start.toPrecision(9), to: isAll ? null : +(start + span).toPrecision(9) }, { replace: true });
  };
  const scale = (/** @type {number} */ factor) => {
    const middle = at !== null && at >= from && at <= to ? at : from + width / 2;
    zoom(middle - (middle - from) * factor, middle + (to - middle) * factor);
  };
  const move = (/** @type {number} */ steps) => {
    const next = Math.max(0, Math.min(end - finest, Math.round((at ?? from) / finest + (at === null ? 0 : steps)) * finest));
    if (next < from || next > to) zoom(next - width / 2, next + width / 2);
    setAt(next);
  };
  const visit = (/** @type {number} */ x) => {
    const half = Math.max(0.02 * end, 10 * finest);
    zoom(x - half, x + half);
    setAt(x);
  };
  const next = (/** @type {number} */ way) => {
    const here = at ?? -1, place = way > 0 ? places.find(({ x }) => x > here) : places.findLast(({ x }) => x < here);
    if (place) visit(place.x);
  };
  return { zoom, scale, move, visit, next, shift: (/** @type {number} */ share) => zoom(from + share * width, to + share * width), width };
}

/** @param {import("./app.js").ViewProps} props */
export function View({ query }) {
  const answer = useJson("/schedule.json", { target: query.target });
  return html`<section class="view schedule"><${Await} answer=${answer}>${answer.data?.runs.length
    ? html`<${Schedules} runs=${answer.data.runs} query=${query} />`
    : html`<${Empty} title=${t("schedule.none")}><p class="muted">${t("schedule.none_hint")}</p><//>`}<//></section>`;
}

/** @param {{runs: Run[], query: import("./router.js").Query}} props */
function Schedules({ runs: every, query }) {
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const runs = useMemo(() => every.filter((run) => !query.run || query.run.split(",").includes(String(run.id))), [every, query.run]);
  const axis = axisOf(runs, query);
  const panels = useMemo(() => panelsOf(runs, axis), [runs, axis.axis]);
  const places = useMemo(() => {
    const all = runs.flatMap((run) => run.landmarks.map((landmark) => ({ run, landmark, x: landmark.step * axis.unitOf(run), number: 0 })));
    return all.sort((one, other) => one.x - other.x).map((place, index) => ({ ...place, number: index + 1 }));
  }, [runs, axis.axis]);
  const ways = waysThrough(axis, at, setAt, places);
  useKeys([
    { keys: ["ArrowLeft", "ArrowRight"], does: "schedule.key.step", run: (event) => ways.move((event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? Math.ceil(ways.width / axis.finest / 50) : 1)) },
    { keys: ["j", "k"], does: "schedule.key.landmark", run: (event) => ways.next(event.key === "j" ? 1 : -1) },
    { keys: ["+", "=", "-"], does: "schedule.key.zoom", run: (event) => ways.scale(event.key === "-" ? 2 : 0.5) },
    { keys: ["0"], does: "schedule.all", run: () => ways.zoom(0, axis.end) },
  ]);
  const choices = [{ value: "", text: t("schedule.every_run") }, ...every.map((run) => ({ value: String(run.id), text: run.name }))];
  return html`<div class="bar">
      ${every.length > 1 && html`<${Select} label=${t("schedule.runs")} value=${query.run ?? ""} choices=${choices} onChange=${(/** @type {string} */ run) => setQuery({ run })} />`}
      ${runs.every((run) => run.clock.steps_per_epoch) && html`<${Segments} label=${t("schedule.axis")} value=${axis.axis}
        choices=${["step", "epoch"].map((value) => ({ value, text: t(`schedule.${value}s`) }))}
        onChange=${(/** @type {string} */ value) => setQuery({ axis: value, from: null, to: null })} />`}
      <div class="group" role="group" aria-label=${t("schedule.zoom")}>
        <${Button} label=${t("schedule.zoom_out")} onClick=${() => ways.scale(2)}>−<//><${Button} label=${t("schedule.zoom_in")} onClick=${() => ways.scale(0.5)}>+<//>
        <${Button} icon="left" label=${t("schedule.earlier")} onClick=${() => ways.shift(-0.5)} /><${Button} icon="right" label=${t("schedule.later")} onClick=${() => ways.shift(0.5)} />
        <${Button} onClick=${() => ways.zoom(0, axis.end)} disabled=${ways.width >= axis.end}>${t("schedule.all")}<//>
      </div>
      <span class="push"></span><${Share} command=${runs[0].command} python=${runs[0].python} />
    </div>
    <div class="scroll" tabindex="0" aria-label=${t("view.schedule")} role="region">
      <${Lints} runs=${runs} />
      ${panels.map(([name, entries]) => html`<${Panel} key=${name} name=${name} entries=${entries} axis=${axis} at=${at} setAt=${setAt} zoom=${ways.zoom}
        places=${places} query=${query} />`)}
      <${Landmarks} places=${places} visit=${ways.visit} isOne=${runs.length === 1} />
      <p class="muted">${runs.map((run) => html`<span key=${run.id}>${run.name}: ${run.clock.words}<br /></span>`)}</p>
    </div>`;
}

/** A hyper-parameter in words, where there are any for it. @param {string} name */
const titleOf = (name) => (["lr", "momentum", "weight_decay"].includes(name) ? t(`schedule.name.${name}`) : name);

/** The place under the cursor in words. @param {number} x @param {Axis} axis @param {Run} run */
function placeText(x, { axis, unitOf }, run) {
  const step = Math.floor(x / unitOf(run) + 1e-9), length = run.clock.steps_per_epoch;
  const epoch = length ? t("schedule.at_epoch", { epoch: +(step / length).toFixed(3) }) : "";
  return axis === "epoch" ? t("schedule.at_epoch", { epoch: +x.toFixed(3) }) : [t("schedule.at_step", { step }), epoch].filter(Boolean).join(" · ");
}

/**
 * One hyper-parameter: its curves, a legend that says their course and what they are under the cursor.
 * @param {{name: string, entries: Entry[], axis: Axis, at: number | null, setAt: (x: number | null) => void,
 *   zoom: (from: number, to: number) => void, places: Place[], query: import("./router.js").Query}} props
 */
function Panel({ name, entries, axis, at, setAt, zoom, places, query }) {
  const [width, setWidth] = useState(800);
  const shown = useMemo(() => {
    const turned = new Set((query.turned ?? "").split(","));
    return entries.filter((entry, place) => place < MOST_DRAWN !== turned.has(entry.key));
  }, [entries, query.turned]);
  const { count, error } = useValues(shown.map((entry) => entry.curve.values));
  const lines = useMemo(() => shown.filter(({ curve }) => fetched.has(curve.values)).map(({ line, curve }) => ({ ...line, values: fetched.get(curve.values) ?? NOTHING })), [shown, count]);
  const isLog = (query.log ?? "").split(",").includes(name);
  const toggle = (/** @type {"turned" | "log"} */ list, /** @type {string} */ one) => {
    const now = (query[list] ?? "").split(",").filter(Boolean);
    setQuery({ [list]: (now.includes(one) ? now.filter((other) => other !== one) : [...now, one]).join() }, { replace: true });
  };
  const own = useMemo(() => places.filter(({ run, landmark }) => run.curves.find((curve) => curve.id === landmark.curve)?.name === name), [places, name]);
  const view = { from: axis.from, to: axis.to, log: isLog };
  const crowd = Math.max(0, ...lines.map((line) => valuesPerPixel(line, view, width)));
  const title = titleOf(name);
  const isFlat = lines.every(({ values }) => !courseOf(values).includes("→"));
  return html`<article class="card panel" aria-label=${title}>
    <header><h2>${title}</h2><output class="muted">${at === null ? t("schedule.hint") : placeText(at, axis, entries[0].run)}</output>
      <label class="check"><input type="checkbox" checked=${isLog} onChange=${() => toggle("log", name)} />${t("schedule.log")}</label></header>
    <div><${CurvePanel} lines=${lines} pins=${own} view=${view} at=${at} title=${t("schedule.plot", { name: title, count: lines.length })} height=${isFlat ? 120 : 240}
        onZoom=${zoom} onCursor=${setAt} onWidth=${setWidth} />
      <p class="muted density">${crowd > 1 ? t("schedule.bands", { most: Math.ceil(crowd) }) : t("schedule.exact")}</p></div>
    <div class="legend">${error && html`<${Failure} error=${error} />`}${lines.length < shown.length && !error && html`<${Progress} message=${t("schedule.values")} done=${lines.length} total=${shown.length} />`}
      <ul>${entries.map(({ key, line, curve }) => {
        const values = fetched.get(curve.values), isOn = shown.some((one) => one.key === key);
        return html`<li key=${key}><button type="button" class="entry" aria-pressed=${String(isOn)} onClick=${() => toggle("turned", key)}><${Swatch} line=${line} /><span>${line.label}</span></button>
          ${values && isOn && html`<p class="course"><span class="muted" title=${t("schedule.course")}>${courseOf(values)}</span><output>${at === null ? "" : readAt({ ...line, values }, at)}</output></p>`}</li>`;
      })}</ul></div></article>`;
}

/** @param {Line} line @param {number} at */
function readAt(line, at) {
  const value = valueAt(line, at);
  return value === undefined || value !== value ? "–" : String(value);
}

/** @param {{line: Line}} props */
const Swatch = ({ line }) => html`<svg class="swatch" viewBox="0 0 28 6" aria-hidden="true"><path d="M0 3h28" style=${{ stroke: `var(${line.colour})` }} stroke-dasharray=${line.dash.join(" ")} /></svg>`;

/** @param {{runs: Run[]}} props */
function Lints({ runs }) {
  const lints = runs.flatMap((run) => run.lints.map((lint) => ({ ...lint, run })));
  return html`${lints.map((lint) => html`<div class="card lint" key=${lint.run.id + lint.message}><${Severity} severity=${lint.severity} />
    <div><p>${runs.length > 1 && html`<b>${lint.run.name}: </b>`}${lint.message}</p>${lint.cure && html`<p class="muted">${t("findings.cure")}: ${lint.cure}</p>`}</div></div>`)}`;
}

/** @param {{places: Place[], visit: (x: number) => void, isOne: boolean}} props */
function Landmarks({ places, visit, isOne }) {
  if (!places.length) return null;
  return html`<article class="card"><h2>${t("schedule.landmarks")}</h2><div class="wide-table"><table class="landmarks">
    <thead><tr><th>${t("schedule.number")}</th><th>${t("schedule.landmark")}</th>${!isOne && html`<th>${t("schedule.run")}</th>`}<th>${t("schedule.parameter")}</th>
      <th class="numbers">${t("schedule.step")}</th><th class="numbers">${t("schedule.epoch")}</th><th class="numbers">${t("schedule.value")}</th></tr></thead>
    <tbody>${places.map(({ run, landmark, x, number }) => html`<tr key=${number}><td>${number}</td>
      <td><button type="button" class="link" onClick=${() => visit(x)}>${landmark.name}</button></td>${!isOne && html`<td>${run.name}</td>`}
      <td>${run.curves.find((curve) => curve.id === landmark.curve)?.name}</td><td class="numbers">${formatNumber(landmark.step)}</td>
      <td class="numbers">${landmark.epoch === null ? "" : formatNumber(+landmark.epoch.toFixed(3))}</td><td class="numbers">${landmark.value === null ? "" : short(landmark.value)}</td></tr>`)}</tbody>
  </table></div></article>`;
}
