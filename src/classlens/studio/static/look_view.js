/**
 * Where a network looks: a picture, its best classes, and heat maps of methods, layers and classes side by side.
 *
 * The network is loaded while the reader looks around; the page says so. A choice is explained as soon as it is made, and
 * what was asked before is cancelled. Opacity, threshold and colours only paint the maps that are here again.
 */
import { html, useEffect, useMemo, useRef, useState } from "/static/vendor/htm-preact.js";
import { ApiError, getBytes, post, useJob, useJson } from "./api.js";
import { Await, Button, Dialog, Empty, Failure, Progress, say, Select, Share } from "./components.js";
import { hottest, paint, placeKey, readPixels } from "./heat.js";
import { useKeys } from "./keys.js";
import { LayerTree } from "./layer_tree.js";
import { setQuery } from "./router.js";
import { formatNumber, t } from "./text.js";

/**
 * @typedef {import("./heat.js").Style} Style
 * @typedef {import("./router.js").Query} Query
 * @typedef {{class: number, name: string, probability: number}} Guess
 * @typedef {{checkpoint: number, method: string, layer: string, class: number | null, name: string, width: number, height: number,
 *   values: string, scores: Record<string, number> | null}} MapFacts
 * @typedef {{picture: string, width: number, height: number, top: Guess[][], maps: MapFacts[], command: string, python: string}} Result
 * @typedef {{facts: MapFacts, heat: import("./heat.js").Heat}} HeatMap
 * @typedef {{result: Result, pixels: Uint8ClampedArray, maps: HeatMap[]}} Shown
 * @typedef {{x: number, y: number}} Point  shares of a picture, from its top left corner
 * @typedef {{split: string, index: string, upload: string, target: string, length: number}} Choice
 */

const USUAL = { methods: ["GradCAM"], opacity: 0.5, map: "inferno" };
const LONGEST_UPLOAD = 20e6;

/** @param {string | undefined} text */
const listOf = (text) => (text ? text.split(",") : []);

/** @param {string[]} list @param {string} one */
const toggled = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);

/** A name without its synonyms. @param {string} name */
const firstName = (name) => name.split(",")[0];

/** @param {number} share */
const percent = (share) => `${formatNumber(+(100 * share).toFixed(1))} %`;

/** @param {Blob | null | undefined} file */
async function upload(file) {
  if (!file) return;
  if (file.size > LONGEST_UPLOAD) return say(t("look.too_large"), { isError: true });
  try {
    const { upload: number } = await post("/upload", file);
    setQuery({ upload: number, index: null, split: null, class: null });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message, { hint: error.hint, isError: true });
  }
}

/** @param {import("./app.js").ViewProps} props */
export function View({ query, session }) {
  const target = query.target ?? String(session.targets.find((one) => one.parts.includes("classifier"))?.id ?? 0);
  const look = useJson("/look.json", { target }, (data) => data.state === "loading" || data.state === "idle");
  const hasData = session.targets.find((one) => String(one.id) === target)?.parts.includes("dataset") ?? false;
  const split = query.split ?? session.splits[0];
  const data = useJson(hasData && !query.upload ? "/data.json" : null, { target, split, count: 1 });
  const choice = { target, split, index: query.index ?? "0", upload: query.upload ?? "", length: hasData ? data.data?.length ?? 0 : 0 };
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const paste = (/** @type {ClipboardEvent} */ event) => upload([...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/")));
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, []);
  const over = (/** @type {boolean} */ isInside) => (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(isInside);
  };
  const drop = (/** @type {DragEvent} */ event) => {
    over(false)(event);
    void upload(event.dataTransfer?.files[0]);
  };
  return html`<section class="view look ${isOver ? "over" : ""}" onDragOver=${over(true)} onDragLeave=${over(false)} onDrop=${drop}>
    <${Await} answer=${look}>${look.data && html`<${Looking} look=${look.data} query=${query} session=${session} choice=${choice} onRetry=${look.again} />`}<//></section>`;
}

/** What is asked of the server, as the address says it. @param {Choice} choice @param {Query} query */
const questionOf = (choice, query) => ({
  target: Number(choice.target),
  ...(choice.upload ? { upload: Number(choice.upload) } : { split: choice.split, index: Number(choice.index) }),
  checkpoints: query.checkpoint ? listOf(query.checkpoint).map(Number) : [0],
  methods: query.method ? listOf(query.method) : USUAL.methods,
  layers: listOf(query.layer),
  classes: query.class ? listOf(query.class).map(Number) : null,
});

/** The maps of a result, once their bytes and the picture's are here. @param {Result | null} result */
function useMaps(result) {
  const [shown, setShown] = useState(/** @type {Shown | null} */ (null));
  useEffect(() => {
    if (!result) return undefined;
    const controller = new AbortController();
    const { picture, width, height } = result;
    const fetchMap = async (/** @type {MapFacts} */ facts) => ({
      facts, heat: { width: facts.width, height: facts.height, values: new Uint8Array(await getBytes(facts.values, controller.signal)) },
    });
    Promise.all([readPixels(picture, width, height), ...result.maps.map(fetchMap)]).then(
      ([pixels, ...maps]) => controller.signal.aborted || setShown({ result, pixels, maps }),
      (error) => controller.signal.aborted || say(t("error.title"), { hint: error.message, isError: true }),
    );
    return () => controller.abort();
  }, [result]);
  return shown;
}

/** @param {{look: any, query: Query, session: import("./app.js").Session, choice: Choice, onRetry: () => void}} props */
function Looking({ look, query, session, choice, onRetry }) {
  const { job, error, start, cancel } = useJob();
  const question = JSON.stringify(questionOf(choice, query));
  const isReady = look.state === "ready", canAsk = isReady && (choice.upload !== "" || choice.length > 0);
  useEffect(() => {
    if (!canAsk) return undefined;
    const timer = setTimeout(() => start("/explain", JSON.parse(question)), 120); // several clicks are one question
    return () => clearTimeout(timer);
  }, [question, canAsk]);
  const [result, setResult] = useState(/** @type {Result | null} */ (null));
  useEffect(() => {
    if (job?.result) setResult(job.result);
  }, [job?.result]);
  const shown = useMaps(result);
  const isBusy = job !== null && (job.state === "waiting" || job.state === "running");
  const step = (/** @type {number} */ by) => choice.length && setQuery({ upload: null, class: null, index: (Number(choice.index) + by + choice.length) % choice.length });
  useKeys([
    { keys: ["ArrowLeft", "k"], does: "look.key.previous", run: () => step(-1) },
    { keys: ["ArrowRight", "j"], does: "look.key.next", run: () => step(1) },
    { keys: ["Escape"], does: "look.key.cancel", run: cancel },
  ]);
  const style = {
    table: useMemo(() => new Uint8Array((look.colour_maps?.[query.map ?? USUAL.map] ?? []).flat()), [look.colour_maps, query.map]),
    opacity: Number(query.opacity ?? USUAL.opacity), threshold: Number(query.threshold ?? 0),
  };
  return html`<${Bar} look=${look} query=${query} style=${style} result=${result} />
    <div class="sides">
      <div class="side scroll" tabindex="0" role="region" aria-label=${t("look.choices")}>
        <${PictureCard} choice=${choice} session=${session} shown=${shown} onStep=${step} />
        ${shown && html`<${Guesses} top=${shown.result.top} query=${query} session=${session} classes=${look.classes} />`}
        ${isReady && html`<${Choices} look=${look} query=${query} session=${session} />`}
      </div>
      <div class="maps scroll" tabindex="0" role="region" aria-label=${t("look.maps")} aria-busy=${String(isBusy)}>
        <${Status} look=${look} job=${job} error=${error} isBusy=${isBusy} cancel=${cancel} again=${() => start("/explain", JSON.parse(question))} onRetry=${onRetry} />
        ${isReady && !canAsk && html`<${Empty} title=${t("look.no_picture")}><p class="muted">${t("look.no_picture_hint")}</p><//>`}
        ${shown && html`<${Maps} shown=${shown} style=${style} session=${session} />`}
      </div>
    </div>`;
}

/** What the page is doing, and since when. @param {any} props */
function Status({ look, job, error, isBusy, cancel, again, onRetry }) {
  if (look.state === "failed") return html`<${Failure} error=${look} onRetry=${onRetry} />`;
  if (look.state !== "ready") return html`<div class="state"><${Progress} message=${t("look.network", { what: look.message || t("state.loading"), seconds: +Number(look.seconds ?? 0).toFixed(1) })} /><p class="muted">${t("look.network_hint")}</p></div>`;
  if (error) return html`<${Failure} error=${error} onRetry=${again} />`;
  if (job?.state === "failed") return html`<${Failure} error=${job} onRetry=${again} />`;
  if (job?.state === "cancelled") return html`<p class="status">${t("look.cancelled")} <${Button} onClick=${again}>${t("action.again")}<//></p>`;
  return isBusy ? html`<div class="status"><${Progress} message=${job.message || t("look.explaining")} done=${job.done} total=${job.total} onCancel=${cancel} /></div>` : null;
}

/** How maps are painted. @param {{look: any, query: Query, style: Style, result: Result | null}} props */
function Bar({ look, query, style, result }) {
  const slide = (/** @type {"opacity" | "threshold"} */ name) => html`<label class="field slider"><span class="label">${t(`look.${name}`)}</span>
    <input type="range" min="0" max="1" step="0.01" value=${style[name]} onInput=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value }, { replace: true })} />
    <output>${percent(style[name])}</output></label>`;
  const names = Object.keys(look.colour_maps ?? {});
  return html`<div class="bar">${slide("opacity")}${slide("threshold")}
    ${names.length > 0 && html`<${Select} label=${t("look.colours")} isLabelShown value=${query.map ?? USUAL.map} choices=${names.map((name) => ({ value: name, text: name }))} onChange=${(/** @type {string} */ map) => setQuery({ map }, { replace: true })} />
      <${Ramp} table=${style.table} threshold=${style.threshold} />`}
    <span class="push"></span>${result && html`<${Share} command=${result.command} python=${result.python} />`}</div>`;
}

/** The colours from cold to hot. @param {{table: Uint8Array, threshold: number}} props */
function Ramp({ table, threshold }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useEffect(() => {
    const values = Uint8Array.from({ length: 256 }, (_, k) => k);
    if (canvas.current && table.length) paint(canvas.current, new Uint8ClampedArray(1024).fill(160), { width: 256, height: 1, values }, { table, opacity: 1, threshold });
  }, [table, threshold]);
  return html`<span class="ramp" aria-hidden="true"><span class="muted">${t("look.cold")}</span><canvas ref=${canvas} width="256" height="1"></canvas><span class="muted">${t("look.hot")}</span></span>`;
}

/** The picture, and the ways to another one. @param {{choice: Choice, session: import("./app.js").Session, shown: Shown | null, onStep: (by: number) => void}} props */
function PictureCard({ choice, session, shown, onStep }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const address = choice.upload ? shown?.result.picture : `/picture/${choice.target}/${choice.split}/${choice.index}.webp?mode=original&edge=640`;
  const jump = (/** @type {any} */ event) => setQuery({ index: Math.max(0, Math.min(choice.length - 1, Math.round(Number(event.target.value)))), class: null });
  return html`<article class="card picture"><h2 class="unseen">${t("look.picture")}</h2>
    ${address && (choice.upload || choice.length > 0) && html`<img src=${address} alt=${choice.upload ? t("look.uploaded") : t("look.sample", { split: choice.split, index: Number(choice.index) })} />`}
    ${!choice.upload && choice.length > 0 && html`<div class="row"><${Select} label=${t("look.split")} value=${choice.split} choices=${session.splits.map((one) => ({ value: one, text: one }))}
        onChange=${(/** @type {string} */ split) => setQuery({ split, index: 0, class: null })} />
      <${Button} icon="left" label=${t("look.key.previous")} onClick=${() => onStep(-1)} />
      <input class="input index" type="number" min="0" max=${choice.length - 1} value=${choice.index} aria-label=${t("look.index", { last: choice.length - 1 })} onChange=${jump} />
      <${Button} icon="right" label=${t("look.key.next")} onClick=${() => onStep(1)} /></div>`}
    <div class="row"><${Button} icon="upload" onClick=${() => input.current?.click()}>${t("look.upload")}<//><span class="muted">${t("look.drop")}</span>
      ${choice.upload && html`<${Button} kind="quiet" onClick=${() => setQuery({ upload: null })}>${t("look.back")}<//>`}</div>
    <input ref=${input} type="file" accept="image/*" hidden onChange=${(/** @type {any} */ event) => upload(event.target.files[0])} /></article>`;
}

/** The best classes of every checkpoint; a click explains one. @param {{top: Guess[][], query: Query, session: import("./app.js").Session, classes: string[] | null}} props */
function Guesses({ top, query, session, classes }) {
  const chosen = listOf(query.class), named = query.checkpoint ? listOf(query.checkpoint).map(Number) : [0];
  const choose = (/** @type {number} */ one) => setQuery({ class: toggled(chosen, String(one)).join() });
  const differs = new Set(top.map((guesses) => guesses[0]?.class)).size > 1;
  const add = (/** @type {any} */ event) => {
    const place = classes?.findIndex((name) => name === event.target.value) ?? -1;
    if (place < 0) return;
    event.target.value = "";
    if (!chosen.includes(String(place))) choose(place);
  };
  const others = chosen.map(Number).filter((one) => !top.some((guesses) => guesses.some((guess) => guess.class === one)));
  return html`<article class="card guesses"><h2>${t("look.top")}${differs && html` <span class="badge">${t("look.differ")}</span>`}</h2>
    ${top.map((guesses, place) => html`<div key=${place}>${top.length > 1 && html`<h3 class="clip">${session.checkpoints[named[place]]?.name}</h3>`}
      <ol>${guesses.map((guess) => html`<li key=${guess.class}><button type="button" class="guess" aria-pressed=${String(chosen.includes(String(guess.class)))} title=${guess.name}
        onClick=${() => choose(guess.class)}><span class="guess-bar" style=${{ width: `${100 * guess.probability}%` }}></span><span class="clip">${firstName(guess.name)}</span><span>${percent(guess.probability)}</span></button></li>`)}</ol></div>`)}
    ${others.length > 0 && html`<div class="chips">${others.map((one) => html`<${Button} key=${one} isPressed=${true} onClick=${() => choose(one)}>${firstName(classes?.[one] ?? String(one))}<//>`)}</div>`}
    ${classes && html`<input class="input" list="look-classes" placeholder=${t("look.add_class")} aria-label=${t("look.add_class")} onInput=${add} />
      <datalist id="look-classes">${classes.map((name) => html`<option key=${name} value=${name} />`)}</datalist>`}
    <p class="muted">${chosen.length ? t("look.chosen_hint") : t("look.top_hint")}</p></article>`;
}

/** Checkpoints, methods and layers. @param {{look: any, query: Query, session: import("./app.js").Session}} props */
function Choices({ look, query, session }) {
  const methods = query.method ? listOf(query.method) : USUAL.methods, layers = listOf(query.layer), checkpoints = listOf(query.checkpoint ?? "0");
  const pick = (/** @type {string} */ name, /** @type {string[]} */ list) => list.length && setQuery({ [name]: list.join() });
  const chips = (/** @type {{name: string, cost: number}[]} */ some) => html`<div class="chips">${some.map(({ name, cost }) => html`<${Button} key=${name} isPressed=${methods.includes(name)}
    label=${cost > 1 ? t("look.passes", { name, cost }) : name} onClick=${() => pick("method", toggled(methods, name))}>${name}${cost > 1 && html` <small class="muted">×${formatNumber(cost)}</small>`}<//>`)}</div>`;
  const quick = look.methods.filter((/** @type {{cost: number}} */ one) => one.cost <= 1), slow = look.methods.filter((/** @type {{cost: number}} */ one) => one.cost > 1);
  return html`${session.checkpoints.length > 1 && html`<article class="card"><h2>${t("look.checkpoints")}</h2><div class="chips">${session.checkpoints.map(({ id, name }) => html`<${Button} key=${id}
      isPressed=${checkpoints.includes(String(id))} onClick=${() => pick("checkpoint", toggled(checkpoints, String(id)))}>${name}<//>`)}</div></article>`}
    <article class="card"><h2>${t("look.methods")}</h2>${chips(quick)}
      ${slow.length > 0 && html`<details open=${slow.some((/** @type {{name: string}} */ one) => methods.includes(one.name))}><summary>${t("look.slow")}</summary>${chips(slow)}</details>`}</article>
    <article class="card"><h2>${t("look.layers")}</h2><${LayerTree} layers=${look.layers} chosen=${layers} usual=${look.default_layer}
      onToggle=${(/** @type {string} */ name) => setQuery({ layer: toggled(layers.length ? layers : [look.default_layer], name).join() })} /></article>`;
}

/** The maps by class, checkpoints side by side. @param {{shown: Shown, style: Style, session: import("./app.js").Session}} props */
function Maps({ shown, style, session }) {
  const [point, setPoint] = useState(/** @type {Point | null} */ (null));
  const [large, setLarge] = useState(-1);
  const { maps, result } = shown;
  const subjects = [...new Set(maps.map(({ facts }) => facts.name))];
  const isComparison = result.top.length > 1;
  const figure = (/** @type {HeatMap} */ map) => html`<${MapFigure} key=${map.facts.values} map=${map} shown=${shown} style=${style} point=${point} setPoint=${setPoint}
    checkpoint=${isComparison ? session.checkpoints[map.facts.checkpoint]?.name ?? "" : ""} onOpen=${() => setLarge(maps.indexOf(map))} />`;
  return html`${subjects.map((name) => {
    const own = maps.filter(({ facts }) => facts.name === name);
    const by = (/** @type {HeatMap} */ { facts }) => `${facts.method}\n${facts.layer}`, kinds = [...new Set(own.map(by))];
    const sorted = isComparison ? kinds.flatMap((kind) => own.filter((one) => by(one) === kind)) : own;
    return html`<section key=${name} class="subject"><h2>${name ? firstName(name) : t("look.every_class")}</h2><div class="grid ${isComparison ? "pairs" : ""}">${sorted.map(figure)}</div></section>`;
  })}${maps[large] && html`<${Dialog} kind="large" title=${captionOf(maps[large])} onClose=${() => setLarge(-1)}>${figure(maps[large])}<//>`}`;
}

/** @param {HeatMap} map */
const captionOf = ({ facts }) => `${facts.method} · ${facts.layer}`;

/** What a map shows, in words. @param {HeatMap} map @param {string} checkpoint */
function describe({ facts, heat }, checkpoint) {
  const place = hottest(heat), values = { method: facts.method, layer: facts.layer, name: facts.name ? firstName(facts.name) : t("look.every_class") };
  const words = place ? t("look.alt", { ...values, place: t(placeKey(place, heat)) }) : t("look.alt_empty", values);
  return checkpoint ? `${checkpoint}: ${words}` : words;
}

/** @param {{map: HeatMap, shown: Shown, style: Style, point: Point | null, setPoint: (point: Point | null) => void, checkpoint: string, onOpen: () => void}} props */
function MapFigure({ map, shown, style, point, setPoint, checkpoint, onOpen }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const { facts, heat } = map;
  const words = useMemo(() => describe(map, checkpoint), [map, checkpoint, t("look.maps")]);
  useEffect(() => {
    if (canvas.current && style.table.length) paint(canvas.current, shown.pixels, heat, style);
  }, [shown, heat, style.table, style.opacity, style.threshold]);
  const move = (/** @type {PointerEvent} */ event) => {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    setPoint({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
  };
  const at = point && heat.values[Math.floor(point.y * heat.height) * heat.width + Math.floor(point.x * heat.width)];
  return html`<figure class="map"><button type="button" class="map-open" aria-label=${words} onClick=${onOpen} onPointerMove=${move} onPointerLeave=${() => setPoint(null)}>
      <canvas ref=${canvas} width=${heat.width} height=${heat.height}></canvas>${point && html`<i class="cross" style=${{ left: `${100 * point.x}%`, top: `${100 * point.y}%` }}></i>`}</button>
    <figcaption>${checkpoint && html`<b class="clip">${checkpoint}</b>`}<span class="row"><b>${facts.method}</b><output>${at === null || at === undefined ? "" : percent(at / 255)}</output></span><span class="muted mono clip" title=${facts.layer}>${facts.layer}</span>
      ${facts.scores && html`<dl class="evidence">${Object.entries(facts.scores).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${String(+Number(value).toPrecision(3))}</dd></div>`)}</dl>`}</figcaption></figure>`;
}
