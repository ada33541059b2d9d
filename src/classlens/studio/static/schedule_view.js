/**
 * The schedule: what the optimizer is given at every step, a panel for each hyper-parameter, all on one axis.
 * Values are the run's own, to the last digit; landmarks and probable mistakes say where to look.
 */
import { html, useEffect, useMemo, useRef, useState } from "/static/vendor/htm-preact.js";
import { getBytes, useJson } from "./api.js";
import { Await, Button, Empty, Failure, Progress, Segments, Select, Severity, Share } from "./components.js";
import { CurvePanel, short, valueAt, valuesPerPixel } from "./curve_panel.js";
import { useKeys } from "./keys.js";
import { listOf, setQuery, toggled } from "./router.js";
import { errorText, groupText, languageOf, listText, formatNumber, t, workText } from "./text.js";

/**
 * @typedef {import("./curve_panel.js").Line} Line
 * @typedef {{id: number, name: string, group: string, unit: string, values: string, steps?: string | null, lowest?: string | null, constant?: boolean,
 *   depends_on_metric?: {metric: string, from_step: number} | null}} Curve
 * @typedef {{name: string, step: number, epoch: number | null, value: number | null, curve: number}} Landmark
 * @typedef {{code: string, severity: string, message: string, cure: string, step?: number | null}} Lint
 * @typedef {{id: number, name: string, error?: string, hint?: string, clock: {steps: number, steps_per_epoch: number | null, epochs: number | null, words: string, note?: string},
 *   curves: Curve[], landmarks: Landmark[], lints: Lint[], notes?: string[], command: string, python: string}} Run
 * @typedef {{key: string, curve: Curve, run: Run, line: Line}} Entry  a curve of a panel; its line has no values before they are here
 * @typedef {{run: Run, curve: Curve, landmark: Landmark, names: string[], x: number, number: number}} Place
 * @typedef {{axis: "step" | "epoch", end: number, finest: number, from: number, to: number, unitOf: (run: Run) => number}} Axis
 */

const MOST_DRAWN = 8; // curves of a panel that are drawn before anybody asks for more
const FAR_APART = 50;
const COLOURS = 6; // --series-1 … of style.css
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]]; // by run: colours alone must not tell runs apart
const UNDECIDED = [3, 3]; // the lower bound where a metric decides
const NOTHING = new Float64Array();

/** @type {Map<string, Float64Array>} */
const fetched = new Map();

/** The values at addresses, each as soon as it is here. @param {string[]} addresses */
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

/** @typedef {{text: string, peak: number, isFlat: boolean}} Course */
/** @type {WeakMap<Float64Array, Course>} */
const courses = new WeakMap();

/** Where a line starts, peaks and ends; one number where it stays what it is. @param {Float64Array} values */
function courseOf(values) {
  const known = courses.get(values);
  if (known) return known;
  let [start, peak, low, end] = [NaN, -Infinity, Infinity, NaN];
  for (const value of values) {
    if (value !== value) continue; // a log may have gaps
    if (start !== start) start = value;
    if (value > peak) peak = value;
    if (value < low) low = value;
    end = value;
  }
  const isFlat = !(low < peak), stations = isFlat ? [start] : [start, peak, end];
  const course = { peak, isFlat, text: start === start ? stations.map((one) => short(one, 3)).join(" → ") : "–" };
  courses.set(values, course);
  return course;
}

/** Whether the peaks of some lines are so far apart that the lower would seem to be 0. @param {Line[]} lines */
function areFarApart(lines) {
  const peaks = lines.map(({ values }) => courseOf(values).peak).filter((peak) => peak > 0);
  return Math.max(...peaks) > FAR_APART * Math.min(...peaks);
}

/** A target without its folders and its ending. @param {string} name */
const shortName = (name) => name.replace(/^.*[/\\](?=[^/\\])/, "").replace(/\.(py|json|yaml)$/, "");

/** The curves of every hyper-parameter, with how each is drawn and called. @param {Run[]} runs @param {Axis} axis @returns {[string, Entry[]][]} */
function panelsOf(runs, { unitOf }) {
  const names = [...new Set(runs.flatMap((run) => run.curves.map((curve) => curve.name)))];
  return names.map((name) => {
    return [name, runs.flatMap((run, place) => run.curves.filter((curve) => curve.name === name).map((curve, index, own) => {
      const label = runs.length === 1 ? groupText(curve.group) : own.length === 1 ? run.name : `${run.name} · ${groupText(curve.group)}`;
      const width = unitOf(run) * (curve.unit === "epoch" ? run.clock.steps_per_epoch ?? 1 : 1);
      const colour = `--series-${1 + ((place + index * runs.length) % COLOURS)}`;
      return { key: `${run.id}.${curve.id}`, run, curve, line: { label, width, values: NOTHING, steps: null, colour, dash: DASHES[place % DASHES.length] } };
    }))];
  });
}

/** The landmarks in order, those of one step as one; those of a value that never moves say nothing, and groups that share one need it once. @param {Run[]} runs @param {Axis} axis @returns {Place[]} */
function placesOf(runs, { unitOf }) {
  const all = new Map();
  for (const run of runs)
    for (const landmark of run.landmarks) {
      const curve = run.curves.find((one) => one.id === landmark.curve);
      const key = [run.id, curve?.name, landmark.step].join(), known = all.get(key), what = workText(landmark.name);
      if (known && !known.names.includes(what)) known.names.push(what);
      else if (curve && !curve.constant && !known) all.set(key, { run, curve, landmark, names: [what], x: landmark.step * unitOf(run) });
    }
  return [...all.values()].sort((one, other) => one.x - other.x).map((place, index) => ({ ...place, number: index + 1 }));
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

/** What the reader may say of the length of the runs; the names are the server's. */
const LENGTHS = ["dataset_size", "gpus", "epochs", "steps"], MOST = 1e15;

/** @param {import("./app.js").ViewProps} props */
export function View({ query, session }) {
  const answer = useJson("/schedule.json", Object.fromEntries(LENGTHS.map((name) => [name, query[name]])));
  const last = useRef(/** @type {any} */ (null)); // what could be drawn stays on the screen while a length is wrong
  const data = answer.data ?? (answer.error && last.current), problem = answer.error ?? (data?.error ? { message: errorText(data), hint: data.hint } : null);
  /** @type {Run[]} */
  const every = useMemo(() => (data?.runs ?? []).map((/** @type {Run} */ run) => {
    const old = run.curves.length ? null : last.current?.runs.find((/** @type {Run} */ one) => one.id === run.id && one.curves.length);
    return { ...run, ...old, error: run.error, hint: run.hint, name: shortName(run.name) };
  }), [data]);
  if (answer.data) last.current = { ...answer.data, runs: every };
  const drawn = every.filter((run) => run.curves.length);
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const lengths = html`<${Lengths} query=${query} session=${session} runs=${drawn} />`;
  const broken = html`${problem && html`<p class="notice bad" role="alert" lang=${languageOf(problem.message)}>${problem.message} <span class="muted">${problem.hint}</span></p>`}<${Broken} runs=${every} />`;
  return html`<section class="view schedule"><${Await} answer=${{ ...answer, error: null, data: data ?? problem }}>${drawn.length > 0
    ? html`<${Schedules} ...${{ every, drawn, query, at, setAt, lengths, broken }} absent=${data?.absent ?? []} />`
    : every.length + (problem ? 1 : 0) > 0 ? html`<div class="bar">${lengths}</div><div class="scroll">${broken}</div>`
      : html`<${Empty} title=${t("schedule.none")}><p class="muted">${t("schedule.none_hint")}</p><//>`}<//></section>`;
}

/** Targets whose schedule cannot be laid out, and why. @param {{runs: Run[]}} props */
const Broken = ({ runs }) => html`${runs.filter((run) => run.error).map((run) => html`<div class="block lint" key=${run.id}><${Severity} severity="error" />
  <div lang="en"><p><b>${run.name}</b>: ${run.error}</p>${run.hint && html`<p class="muted">${run.hint}</p>`}</div></div>`)}`;

/** How long the runs are: what is in force, to be changed. @param {{query: import("./router.js").Query, session: any, runs: Run[]}} props */
function Lengths({ query, session, runs }) {
  const [wrong, setWrong] = useState("");
  const clock = runs[0]?.clock, samples = /^(\d+) samples/.exec(clock?.note ?? "")?.[1] ?? session.dataset_size;
  const inForce = /** @type {Record<string, any>} */ ({ gpus: session.gpus, ...clock, dataset_size: samples });
  const fits = (/** @type {string} */ name) => !clock || query[name] || !["epochs", "steps"].includes(name) || runs.some((run) => (run.clock.epochs === null) === (name === "steps"));
  const change = (/** @type {string} */ name, /** @type {HTMLInputElement} */ field) => {
    setWrong(field.checkValidity() ? "" : name);
    if (field.checkValidity()) setQuery({ [name]: field.value, from: null, to: null });
  };
  return html`<details class="lengths" open=${LENGTHS.some((name) => query[name])}><summary class="button">${t("schedule.length")}</summary>
    ${LENGTHS.filter(fits).map((name) => html`<label class="field" key=${name}><span class="label">${t(`schedule.${name}`)}</span>
      <input key=${inForce[name]} class="input" type="number" min="1" max=${MOST} step="1" defaultValue=${query[name] ?? inForce[name] ?? ""} aria-invalid=${String(wrong === name)}
        onChange=${(/** @type {any} */ event) => change(name, event.target)} />${wrong === name && html`<span class="bad-text" role="alert">${t("schedule.allowed", { most: MOST })}</span>`}</label>`)}</details>`;
}

/** @param {{every: Run[], drawn: Run[], query: import("./router.js").Query, at: number | null, setAt: (x: number | null) => void, lengths: any, broken: any,
 *   absent: {id: number, name: string, error: string}[]}} props */
function Schedules({ every, drawn, query, at, setAt, lengths, broken, absent }) {
  const runs = useMemo(() => drawn.filter((run) => (query.run ?? String(run.id)) === String(run.id)), [every, query.run]);
  const axis = axisOf(runs, query);
  const panels = useMemo(() => panelsOf(runs, axis), [runs, axis.axis]);
  const places = useMemo(() => placesOf(runs, axis), [runs, axis.axis]);
  const ways = waysThrough(axis, at, setAt, places);
  useKeys([
    { keys: ["ArrowLeft", "ArrowRight"], does: "schedule.key.step", run: (event) => ways.move((event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? Math.ceil(ways.width / axis.finest / 50) : 1)) },
    { keys: ["j", "k"], does: "schedule.key.landmark", run: (event) => ways.next(event.key === "j" ? 1 : -1) },
    { keys: ["+", "=", "-"], does: "schedule.key.zoom", run: (event) => ways.scale(event.key === "-" ? 2 : 0.5) },
    { keys: ["0"], does: "schedule.all", run: () => ways.zoom(0, axis.end) },
  ]);
  const choices = [{ value: "", text: t("schedule.every_run") }, ...drawn.map((run) => ({ value: String(run.id), text: run.name }))];
  return html`<div class="bar">
      ${drawn.length > 1 && html`<${Select} label=${t("schedule.runs")} value=${query.run ?? ""} choices=${choices} onChange=${(/** @type {string} */ run) => setQuery({ run })} />`}
      ${runs.every((run) => run.clock.steps_per_epoch) && html`<${Segments} label=${t("schedule.axis")} value=${axis.axis}
        choices=${["step", "epoch"].map((value) => ({ value, text: t(`schedule.${value}s`) }))}
        onChange=${(/** @type {string} */ value) => setQuery({ axis: value, from: null, to: null })} />`}
      <div class="chips" role="group" aria-label=${t("schedule.zoom")}>
        <${Button} icon="minus" label=${t("schedule.zoom_out")} onClick=${() => ways.scale(2)} /><${Button} icon="plus" label=${t("schedule.zoom_in")} onClick=${() => ways.scale(0.5)} />
        <${Button} icon="left" label=${t("schedule.earlier")} onClick=${() => ways.shift(-0.5)} /><${Button} icon="right" label=${t("schedule.later")} onClick=${() => ways.shift(0.5)} />
        <${Button} onClick=${() => ways.zoom(0, axis.end)} disabled=${ways.width >= axis.end}>${t("schedule.all")}<//>
      </div>
      ${lengths}<span class="push"></span><${Share} command=${runs[0].command} saving="--save-path schedule.png" python=${runs[0].python} />
    </div>
    <div class="scroll" tabindex="0" aria-label=${t("view.schedule")} role="region">
      ${broken}<${Lints} runs=${runs} axis=${axis} visit=${ways.visit} />
      ${panels.map(([name, entries]) => html`<${Panel} key=${name} name=${name} entries=${entries} axis=${axis} at=${at} setAt=${setAt} zoom=${ways.zoom}
        places=${places} query=${query} />`)}
      <${Landmarks} places=${places} visit=${ways.visit} isOne=${runs.length === 1} />
      <ul class="block muted">${absent.map((one) => html`<li key=${-1 - one.id}><b>${one.name}</b>: ${workText(one.error)}</li>`)}${runs.map((run) => html`<li key=${run.id}><b>${run.name}</b>: ${[run.clock.words, run.clock.note, ...(run.notes ?? [])].filter(Boolean).map((one = "", at) => html`${at > 0 && " · "}<span lang=${languageOf(one)}>${workText(one)}</span>`)}</li>`)}</ul>
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
  const shown = useMemo(() => entries.filter((entry, place) => place < MOST_DRAWN !== listOf(query.turned).includes(entry.key)), [entries, query.turned]);
  const { count, error } = useValues(shown.flatMap(({ curve }) => [curve.values, curve.steps, curve.lowest].filter((one) => typeof one === "string")));
  const lines = useMemo(() => shown.flatMap(({ line, curve }) => {
    const [values, steps, lowest] = [curve.values, curve.steps, curve.lowest].map((address) => (address ? fetched.get(address) : null));
    if (!values || steps === undefined || lowest === undefined) return [];
    const whole = { ...line, values, steps };
    return lowest ? [whole, { ...whole, values: lowest, dash: UNDECIDED }] : [whole];
  }), [shown, count]);
  const asked = query[`log.${name}`], isLog = asked ? asked === "1" : areFarApart(lines);
  const turn = (/** @type {string} */ key) => setQuery({ turned: toggled(listOf(query.turned), key).join() }, { replace: true });
  const own = useMemo(() => places.filter(({ curve, names }) => curve.name === name && names.some((one) => ![workText("start"), workText("end")].includes(one))), [places, name]);
  const view = { from: axis.from, to: axis.to, log: isLog };
  const crowd = Math.max(0, ...lines.map((line) => valuesPerPixel(line, view, width)));
  const title = titleOf(name);
  const isFlat = lines.every(({ values }) => courseOf(values).isFlat);
  return html`<article class="block curve-panel" aria-label=${title}>
    <header><h2>${title}</h2><output class="muted">${at === null ? t("schedule.hint") : placeText(at, axis, entries[0].run)}</output>
      <label class="check"><input type="checkbox" checked=${isLog} onChange=${() => setQuery({ [`log.${name}`]: isLog ? "0" : "1" }, { replace: true })} />${t("schedule.log")}</label></header>
    <div><${CurvePanel} lines=${lines} pins=${own} view=${view} at=${at} title=${t("schedule.plot", { name: title, count: lines.length })} height=${isFlat ? 120 : 240}
        onZoom=${zoom} onCursor=${setAt} onWidth=${setWidth} />
      <p class="density">${lines.some((line) => line.steps) ? t("schedule.chosen") : crowd > 1 ? t("schedule.bands", { most: Math.ceil(crowd) }) : t("schedule.exact")}</p></div>
    <div class="legend">${error && html`<${Failure} error=${error} />`}${!lines.length && shown.length > 0 && !error && html`<${Progress} message=${t("schedule.values")} />`}
      <ul>${entries.map(({ key, line, curve }) => {
        const values = fetched.get(curve.values), isOn = shown.some((one) => one.key === key), waits = curve.depends_on_metric;
        return html`<li key=${key}><button type="button" class="entry" aria-pressed=${String(isOn)} onClick=${() => turn(key)}><${Swatch} line=${line} /><span>${line.label}</span></button>
          ${values && isOn && html`<p class="course"><span class="muted" title=${t("schedule.course")}>${courseOf(values).text}</span><output>${at === null ? "" : readAt(lines.filter((one) => one.colour === line.colour && one.label === line.label), at)}</output></p>`}
          ${waits && html`<p class="course muted">${t("schedule.undecided", { metric: waits.metric || t("schedule.metric"), step: waits.from_step })}</p>`}</li>`;
      })}</ul></div></article>`;
}

/** The value of a curve to its last digit, or its two bounds. @param {Line[]} bounds @param {number} at */
function readAt(bounds, at) {
  const values = [...new Set(bounds.map((line) => valueAt(line, at)))].filter((value) => value !== undefined && value === value);
  return values.length ? (bounds[0].steps ? "≈ " : "") + values.reverse().join(" – ") : "–";
}

/** @param {{line: Line}} props */
const Swatch = ({ line }) => html`<svg class="swatch" viewBox="0 0 28 6" aria-hidden="true"><path d="M0 3h28" style=${{ stroke: `var(${line.colour})` }} stroke-dasharray=${line.dash.join(" ")} /></svg>`;

/** @param {{runs: Run[], axis: Axis, visit: (x: number) => void}} props */
function Lints({ runs, axis, visit }) {
  const lints = runs.flatMap((run) => run.lints.map((lint) => ({ ...lint, run })));
  return html`${lints.map(({ run, severity, code, message, cure, step }) => html`<div class="block lint" key=${run.id + message}><${Severity} severity=${severity} />
    <div><p lang="en">${runs.length > 1 && html`<b>${run.name}: </b>`}${message}</p>${cure && html`<p class="muted">${t("findings.cure")}: <span lang="en">${cure}</span></p>`}</div>
    <code class="muted">${code}</code>${typeof step === "number" && html`<${Button} onClick=${() => visit(step * axis.unitOf(run))}>${t("schedule.show")}<//>`}</div>`)}`;
}

/** @param {{places: Place[], visit: (x: number) => void, isOne: boolean}} props */
function Landmarks({ places, visit, isOne }) {
  if (!places.length) return null;
  const columns = ["number", "landmark", ...(isOne ? [] : ["run"]), "parameter"], numbers = ["step", "epoch", "value"];
  return html`<article class="block"><h2>${t("schedule.landmarks")}</h2><div class="wide-table"><table class="landmarks">
    <thead><tr>${columns.map((name) => html`<th key=${name} scope="col">${t(`schedule.${name}`)}</th>`)}${numbers.map((name) => html`<th key=${name} scope="col" class="number">${t(`schedule.${name}`)}</th>`)}</tr></thead>
    <tbody>${places.map(({ run, curve, landmark, names, x, number }) => html`<tr key=${number}><td>${number}</td>
      <td><button type="button" class="link" onClick=${() => visit(x)}>${listText(names)}</button></td>${!isOne && html`<td>${run.name}</td>`}<td>${titleOf(curve.name)}</td>
      <td class="number">${formatNumber(landmark.step)}</td><td class="number">${landmark.epoch === null ? "" : formatNumber(+landmark.epoch.toFixed(3))}</td>
      <td class="number">${landmark.value === null ? "" : short(landmark.value)}</td></tr>`)}</tbody></table></div></article>`;
}
