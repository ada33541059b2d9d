/**
 * Where a network looks: a picture, its best classes, and heat maps of methods, layers and classes side by side.
 *
 * The network is loaded while the reader looks around; the page says so. A choice is explained as soon as it is made, and
 * what was asked before is cancelled. Opacity, threshold and colours only paint the maps that are here again.
 */
import { html, useEffect, useMemo, useRef, useState } from "/static/vendor/htm-preact.js";
import { ApiError, getBytes, getJson, post, useJob, useJson } from "./api.js";
import { Await, Button, Dialog, Empty, Failure, Lacking, Progress, say, Select, Share } from "./components.js";
import { paint, placeKey, readPixels } from "./heat.js";
import { useKeys } from "./keys.js";
import { LayerTree } from "./layer_tree.js";
import { hrefOf, listOf, setQuery, toggled } from "./router.js";
import { firstName, nearNames, percent, t, workText } from "./text.js";

/**
 * @typedef {import("./heat.js").Style} Style
 * @typedef {import("./router.js").Query} Query
 * @typedef {{target: number, class_name: string, probability: number}} Guess
 * @typedef {Record<string, number | boolean | null>} Scores
 * @typedef {{checkpoint: number, method: string, layer: string, target: number | null, class_name: string | null, probability: number | null,
 *   hottest: [number, number] | null, width: number, height: number, values: string, scores?: {own: Scores, uniform: Scores, random: Scores}}} MapFacts
 * @typedef {{pictures: string[], original: string, checkpoints: string[], top: Guess[][], maps: MapFacts[], command: string, python: string}} Result
 * @typedef {{facts: MapFacts, heat: import("./heat.js").Heat, pixels: Uint8ClampedArray}} HeatMap  with the picture as it was fed
 * @typedef {{result: Result, maps: HeatMap[]}} Shown
 * @typedef {{name: string, cost: string, needs?: string, paper?: string}} Method
 * @typedef {{x: number, y: number}} Point  shares of a picture, from its top left corner
 * @typedef {{hasData: boolean, split: string, index: string, upload: string, target: string, length: number, row: {name: string, classes: string[]} | null, error: ApiError | null}} Choice
 */

const USUAL = { methods: ["GradCAM"], opacity: 0.5, map: "inferno" };
/** The name of an uploaded file as a shell reads it. @param {string} [name] */
const shellWord = (name = "PICTURE") => (/^\w[\w.+-]*$/.test(name) ? name : `'./${name.replaceAll("'", `'"'"'`)}'`);

/** @param {Blob | null | undefined} file */
async function upload(file) {
  if (!file) return;
  try {
    const { upload: number } = await post("/upload", file);
    setQuery({ upload: number, file: file instanceof File && file.name, class: null });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message, { hint: error.hint, isError: true });
  }
}

/** @param {import("./app.js").ViewProps} props */
export function View({ query, session }) {
  const target = query.target ?? String(session.targets.find((one) => one.parts.includes("classifier"))?.id ?? 0);
  const canLook = session.targets.some((one) => String(one.id) === target && one.parts.includes("classifier"));
  const hasData = session.targets.find((one) => String(one.id) === target)?.parts.includes("dataset") ?? false;
  const split = query.split ?? session.splits[0];
  const look = useJson(canLook ? "/look.json" : null, { target, split }, (data) => data.state === "loading");
  const index = query.index ?? String(look.data?.begin ?? 0); // the first whose label the network knows
  const data = useJson(canLook && hasData && !query.upload ? "/data.json" : null, { target, split, start: index, count: 1 }, (answer) => answer.state === "counting");
  const choice = { target, split, hasData, index, upload: query.upload ?? "", length: hasData ? data.data?.length ?? 0 : 0,
    row: data.data?.rows?.[0] ?? null, error: hasData ? data.error : null };
  const retry = () => void getJson("/look.json", { target, again: 1 }).then(look.again, look.again);
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
  if (!canLook) return html`<section class="view look"><${Lacking} title=${t("look.lacking")} part="classifier" session=${session} /></section>`;
  return html`<section class="view look ${isOver ? "over" : ""}" onDragOver=${over(true)} onDragLeave=${over(false)} onDrop=${drop}>
    <${Await} answer=${look}>${look.data && html`<${Looking} look=${look.data} query=${query} session=${session} choice=${choice} onRetry=${retry} />`}<//></section>`;
}

/** What is asked of the server, as the address says it. @param {Choice} choice @param {Query} query */
const questionOf = (choice, query) => ({
  target: Number(choice.target),
  ...(choice.upload ? { upload: Number(choice.upload) } : { split: choice.split, index: Number(choice.index) }),
  checkpoints: query.checkpoint ? listOf(query.checkpoint).map(Number) : [0],
  methods: query.method ? listOf(query.method) : USUAL.methods,
  layers: listOf(query.layer),
  classes: query.class ? listOf(query.class).map(Number) : null,
  whole: query.whole === "1",
});

/** The maps of a result, once their bytes and the picture's are here. @param {Result | null} result */
function useMaps(result) {
  const [shown, setShown] = useState(/** @type {Shown | null} */ (null));
  useEffect(() => {
    if (!result) return undefined;
    const controller = new AbortController();
    const fetchAll = async () => {
      const pictures = await Promise.all(result.pictures.map(readPixels));
      return Promise.all(result.maps.map(async (facts) => {
        const values = new Uint8Array(await getBytes(facts.values, controller.signal));
        return { facts, heat: { width: facts.width, height: facts.height, values }, pixels: pictures[facts.checkpoint] };
      }));
    };
    fetchAll().then(
      (maps) => controller.signal.aborted || setShown({ result, maps }),
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
  const ask = (/** @type {boolean} */ evaluate) => start("/explain", { ...JSON.parse(question), evaluate });
  const scored = useRef("");
  useEffect(() => {
    if (!canAsk) return undefined;
    scored.current = "";
    const timer = setTimeout(ask, 120, false); // several clicks are one question
    return () => clearTimeout(timer);
  }, [question, canAsk, query.scores]);
  const [result, setResult] = useState(/** @type {Result | null} */ (null));
  useEffect(() => {
    if (!job?.result) return;
    setResult(job.result);
    if (query.scores !== "1" || scored.current === question) return;
    scored.current = question;
    ask(true); // the maps are there to look at while they are scored
  }, [job?.result]);
  const shown = useMaps(result);
  const isBusy = job !== null && (job.state === "waiting" || job.state === "running");
  const step = (/** @type {number} */ by) => choice.length && setQuery({ upload: null, file: null, class: null, index: (Number(choice.index) + by + choice.length) % choice.length });
  useKeys([
    { keys: ["ArrowLeft", "k"], does: "look.key.previous", run: () => step(-1) },
    { keys: ["ArrowRight", "j"], does: "look.key.next", run: () => step(1) },
    { keys: ["o"], does: "look.key.heat", run: () => setQuery({ opacity: query.opacity === "0" ? null : "0" }, { replace: true }) },
    { keys: ["Escape"], does: "look.key.cancel", run: cancel },
  ]);
  const table = useMemo(() => new Uint8Array((look.colour_maps?.[query.map ?? USUAL.map] ?? []).flat()), [look.colour_maps, query.map]);
  const [draft, setDraft] = useState(/** @type {{opacity?: number, threshold?: number}} */ ({})); // browsers allow few changes of the address in a second
  useEffect(() => setDraft({}), [query.opacity, query.threshold]);
  const style = { table, opacity: Number(query.opacity ?? USUAL.opacity), threshold: Number(query.threshold ?? 0), ...draft };
  return html`<${Bar} look=${look} query=${query} style=${style} result=${result} session=${session} target=${choice.target} setDraft=${setDraft} />
    <div class="sides">
      <div class="side scroll" tabindex="0" role="region" aria-label=${t("look.choices")}>
        <${PictureCard} choice=${choice} session=${session} onStep=${step} />
        ${shown && html`<${Guesses} result=${shown.result} query=${query} classes=${look.classes} />`}
        ${isReady && html`<${Choices} look=${look} query=${query} />`}
      </div>
      <div class="maps scroll" tabindex="0" role="region" aria-label=${t("look.maps")} aria-busy=${String(isBusy)}>
        ${look.notes?.length > 0 && html`<ul class="notice warn feed" lang="en" aria-label=${t("page.notes", { count: look.notes.length })}>${look.notes.map((/** @type {string} */ one) => html`<li key=${one}>${one}</li>`)}</ul>`}
        <${Status} look=${look} job=${job} error=${error} isBusy=${isBusy} cancel=${cancel} again=${() => ask(false)} onRetry=${onRetry} />
        ${isReady && !canAsk && html`<${Empty} title=${t("look.no_picture")}><p class="muted">${t("look.no_picture_hint")}</p><//>`}
        ${shown && html`<${Maps} shown=${shown} style=${style} />`}
      </div>
    </div>`;
}

/** What the page is doing, and since when. @param {any} props */
function Status({ look, job, error, isBusy, cancel, again, onRetry }) {
  if (look.state === "failed") return html`<${Failure} error=${{ ...look, message: look.message || t("look.cancelled") }} onRetry=${onRetry} />`;
  const doing = (/** @type {{message: string, ahead?: boolean}} */ { message, ahead }, usual = "") => (ahead ? t("look.ahead", { what: workText(message || "explaining") }) : workText(message) || usual);
  if (look.state !== "ready") return html`<div class="state"><${Progress} message=${t("look.network", { what: doing(look, t("state.loading")), seconds: +Number(look.seconds ?? 0).toFixed(1) })} done=${look.done} total=${look.total} onCancel=${look.job && (() => post(`/jobs/${look.job}/cancel`, {}))} /><p class="muted">${t("look.network_hint")}</p></div>`;
  if (error) return html`<${Failure} error=${error} onRetry=${again} />`;
  if (job?.state === "failed") return html`<${Failure} error=${job} onRetry=${again} />`;
  if (job?.state === "cancelled") return html`<p class="busy">${t("look.cancelled")} <${Button} onClick=${again}>${t("action.again")}<//></p>`;
  return isBusy ? html`<div class="busy"><${Progress} message=${doing(job, workText("explaining"))} done=${job.done} total=${job.total} onCancel=${cancel} /></div>` : null;
}

/** How maps are painted. @param {{look: any, query: Query, style: Style, result: Result | null, session: import("./app.js").Session, target: string, setDraft: (draft: object) => void}} props */
function Bar({ look, query, style, result, session, target, setDraft }) {
  const targets = session.targets.filter((one) => one.parts.includes("classifier")), names = Object.keys(look.colour_maps ?? {});
  const slide = (/** @type {"opacity" | "threshold"} */ name) => html`<label class="field slider"><span class="label">${t(`look.${name}`)}</span>
    <input type="range" min="0" max="1" step="0.01" value=${style[name]} onInput=${(/** @type {any} */ event) => setDraft({ [name]: Number(event.target.value) })}
      onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value }, { replace: true })} /><output>${percent(style[name])}</output></label>`;
  const select = (/** @type {string} */ label, /** @type {"map" | "target"} */ name, /** @type {string} */ value, /** @type {{value: string, text: string}[]} */ choices) =>
    html`<${Select} label=${label} isLabelShown value=${value} choices=${choices} onChange=${(/** @type {string} */ one) => setQuery({ [name]: one }, { replace: true })} />`;
  return html`<div class="bar">${targets.length > 1 && select(t("page.target"), "target", target, targets.map((one) => ({ value: String(one.id), text: one.name })))}${slide("opacity")}${slide("threshold")}
    ${names.length > 0 && html`${select(t("look.colours"), "map", query.map ?? USUAL.map, names.map((name) => ({ value: name, text: name })))}<${Ramp} table=${style.table} threshold=${style.threshold} />`}
    <span class="push"></span>${result && html`<${Share} command=${result.command.replace(" PICTURE ", () => ` ${shellWord(query.file)} `)} saving="--save-path map.png"
      python=${result.python.replace("'PICTURE'", () => JSON.stringify(query.file ?? "PICTURE"))} />`}</div>`;
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

/** The picture, and the ways to another one. @param {{choice: Choice, session: import("./app.js").Session, onStep: (by: number) => void}} props */
function PictureCard({ choice, session, onStep }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const address = choice.upload ? `/upload/${choice.upload}.webp?edge=640` : `/picture/${choice.target}/${choice.split}/${choice.index}.webp?mode=original&edge=640`;
  const jump = (/** @type {any} */ event) => setQuery({ index: Math.max(0, Math.min(choice.length - 1, Math.round(Number(event.target.value)))), class: null });
  return html`<article class="block chosen"><h2 class="unseen">${t("look.picture")}</h2>
    ${choice.error && html`<${Failure} error=${choice.error} />`}
    ${(choice.upload || choice.length > 0) && html`<img src=${address} alt=${choice.upload ? t("look.uploaded") : t("look.sample", { split: t(`data.split.${choice.split}`), index: Number(choice.index) })} />`}
    ${!choice.upload && choice.row && html`<p class="row"><b class="clip" title=${choice.row.name}>${choice.row.classes.join(", ") || choice.row.name}</b>
      <a class="push" href=${hrefOf("data", { target: choice.target, split: choice.split, at: choice.index })}>${t("look.in_data")}</a></p>`}
    ${!choice.upload && (choice.length > 0 || choice.error) && html`<div class="row"><${Select} label=${t("look.split")} value=${choice.split} choices=${session.splits.map((one) => ({ value: one, text: t(`data.split.${one}`) }))}
        onChange=${(/** @type {string} */ split) => setQuery({ split, index: 0, class: null })} />
      <${Button} icon="left" label=${t("look.key.previous")} onClick=${() => onStep(-1)} />
      <input key=${choice.index} class="input index" type="number" min="0" max=${choice.length - 1} defaultValue=${choice.index} aria-label=${t("look.index", { last: choice.length - 1 })} onChange=${jump} />
      <${Button} icon="right" label=${t("look.key.next")} onClick=${() => onStep(1)} /></div>`}
    <div class="row"><${Button} icon="upload" onClick=${() => input.current?.click()}>${t("look.upload")}<//><span class="muted">${t("look.drop")}</span>
      ${choice.upload && choice.hasData && html`<${Button} kind="quiet" onClick=${() => setQuery({ upload: null, file: null })}>${t("look.back")}<//>`}</div>
    <input ref=${input} type="file" accept="image/*" hidden onChange=${(/** @type {any} */ event) => upload(event.target.files[0])} /></article>`;
}

/** The best classes of every checkpoint; a click explains one. @param {{result: Result, query: Query, classes: string[] | null}} props */
function Guesses({ result, query, classes }) {
  const chosen = listOf(query.class), { top, checkpoints } = result;
  const choose = (/** @type {number} */ one) => setQuery({ class: toggled(chosen, String(one)).join() });
  const differs = new Set(top.map((guesses) => guesses[0]?.target)).size > 1;
  const add = (/** @type {any} */ event) => {
    if (!classes || !event.target.value) return;
    const said = event.target.value.trim().toLowerCase(), exact = classes.indexOf(event.target.value), isEntered = event.type === "change";
    const place = exact < 0 && isEntered ? classes.findIndex((name) => [name, ...name.split(", ")].some((one) => one.toLowerCase() === said)) : exact;
    const near = place < 0 && isEntered ? nearNames(classes, said) : [];
    if (place < 0 && isEntered) say(t("look.no_class", { name: event.target.value }), { hint: near.length ? t("look.near", { names: near.map(firstName).join(" · ") }) : "", isError: true });
    if (place < 0) return;
    event.target.value = "";
    if (!chosen.includes(String(place))) choose(place);
  };
  const others = chosen.map(Number).filter((one) => !top.some((guesses) => guesses.some((guess) => guess.target === one)));
  return html`<article class="block guesses"><h2>${t("look.top")}${differs && html` <span class="badge">${t("look.differ")}</span>`}</h2>
    ${top.map((guesses, place) => html`<div key=${place}>${top.length > 1 && html`<h3 class="clip">${checkpoints[place]}</h3>`}
      <ol>${guesses.map((guess) => html`<li key=${guess.target}><button type="button" class="guess" aria-pressed=${String(chosen.includes(String(guess.target)))} title=${guess.class_name}
        onClick=${() => choose(guess.target)}><span class="guess-bar" style=${{ width: `${100 * guess.probability}%` }}></span><span class="clip">${firstName(guess.class_name)}</span><span>${percent(guess.probability)}</span></button></li>`)}</ol></div>`)}
    ${others.length > 0 && html`<div class="chips">${others.map((one) => html`<${Button} key=${one} isPressed=${true} onClick=${() => choose(one)}>${firstName(classes?.[one] ?? String(one))}<//>`)}</div>`}
    ${classes && html`<input class="input" list="look-classes" placeholder=${t("look.add_class")} aria-label=${t("look.add_class")} onInput=${add} onChange=${add} />
      <datalist id="look-classes">${classes.map((name) => html`<option key=${name} value=${name} />`)}</datalist>`}
    <p class="muted">${chosen.length ? t("look.chosen_hint") : t("look.top_hint")}</p></article>`;
}

/** Checkpoints, methods and layers. @param {{look: any, query: Query}} props */
function Choices({ look, query }) {
  const methods = query.method ? listOf(query.method) : USUAL.methods, layers = listOf(query.layer), checkpoints = listOf(query.checkpoint ?? "0");
  const pick = (/** @type {string} */ name, /** @type {string[]} */ list) => list.length && setQuery({ [name]: list.join() });
  const chips = (/** @type {Method[]} */ some) => html`<div class="chips">${some.map(({ name, paper }) => html`<${Button} key=${name} isPressed=${methods.includes(name)}
    refused=${methods.includes(name) ? "" : workText(look.refused[name] ?? "")} label=${paper ? `${name}: ${paper}` : name} onClick=${() => pick("method", toggled(methods, name))}>${name}<//>`)}</div>`;
  /** @type {Method[]} */
  const every = look.methods, slow = every.filter((one) => one.cost === "slow");
  const flag = (/** @type {"whole" | "scores"} */ name) => html`<label class="check"><input type="checkbox" checked=${query[name] === "1"} onChange=${() => setQuery({ [name]: query[name] !== "1" })} />${t(`look.${name}`)}</label>`;
  return html`${look.checkpoints.length > 1 && html`<article class="block"><h2>${t("look.checkpoints")}</h2><div class="chips">${look.checkpoints.map((/** @type {string} */ name, /** @type {number} */ place) => html`<${Button} key=${name}
      isPressed=${checkpoints.includes(String(place))} onClick=${() => pick("checkpoint", toggled(checkpoints, String(place)))}>${name}<//>`)}</div></article>`}
    <article class="block"><h2>${t("look.methods")}</h2>${chips(every.filter((one) => one.cost !== "slow"))}
      <details open=${slow.some((one) => methods.includes(one.name))}><summary>${t("look.slow")}</summary>${chips(slow)}</details>${flag("whole")}${flag("scores")}</article>
    <article class="block"><h2>${t("look.layers")}</h2><${LayerTree} layers=${look.layers} chosen=${layers} usual=${look.default_layer}
      onToggle=${(/** @type {string} */ name) => setQuery({ layer: toggled(layers.length ? layers : [look.default_layer], name).join() })} /></article>`;
}

/** The maps by class, checkpoints side by side. @param {{shown: Shown, style: Style}} props */
function Maps({ shown, style }) {
  const [point, setPoint] = useState(/** @type {Point | null} */ (null));
  const [large, setLarge] = useState(-1);
  const { maps, result } = shown, isComparison = result.checkpoints.length > 1;
  const count = (/** @type {"method" | "layer"} */ name) => new Set(maps.map(({ facts }) => facts[name])).size;
  const columns = isComparison ? result.checkpoints.length : count("method") > 1 && count("layer") > 1 ? count("layer") : 0; // 0: as many as fit
  const kindOf = (/** @type {HeatMap} */ { facts }) => `${facts.method} ${facts.layer}`;
  const figure = (/** @type {HeatMap} */ map) => html`<${MapFigure} key=${map.facts.values} map=${map} style=${style} point=${point} setPoint=${setPoint}
    checkpoint=${isComparison ? result.checkpoints[map.facts.checkpoint] : ""} onOpen=${() => setLarge(maps.indexOf(map))} />`;
  return html`${[...new Set(maps.map(({ facts }) => facts.class_name))].map((name) => {
    const own = maps.filter(({ facts }) => facts.class_name === name), kinds = [...new Set(own.map(kindOf))], share = own[0].facts.probability;
    return html`<section key=${name} class="subject"><h2>${name ? firstName(name) : t("look.every_class")}${share !== null && !isComparison && html` <span class="muted">${percent(share)}</span>`}</h2>
      <div class="figures ${columns ? "beside" : maps.length === 1 ? "single" : ""}" style=${{ "--columns": columns }}>${kinds.flatMap((kind) => own.filter((one) => kindOf(one) === kind)).map(figure)}</div></section>`;
  })}${maps[large] && html`<${Dialog} kind="one-map" title=${kindOf(maps[large])} onClose=${() => setLarge(-1)}>${figure(maps[large])}<//>`}`;
}

/** What a map shows, in words. @param {HeatMap} map @param {string} checkpoint */
function describe({ facts, heat }, checkpoint) {
  const place = facts.hottest, values = { method: facts.method, layer: facts.layer, name: facts.class_name ? firstName(facts.class_name) : t("look.every_class") };
  const words = place ? t("look.alt", { ...values, place: t(placeKey(place, heat)) }) : t("look.alt_empty", values);
  return checkpoint ? `${checkpoint}: ${words}` : words;
}

/** @param {{map: HeatMap, style: Style, point: Point | null, setPoint: (point: Point | null) => void, checkpoint: string, onOpen: () => void}} props */
function MapFigure({ map, style, point, setPoint, checkpoint, onOpen }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const { facts, heat, pixels } = map;
  useEffect(() => {
    if (canvas.current && style.table.length) paint(canvas.current, pixels, heat, style);
  }, [map, style.table, style.opacity, style.threshold]);
  const move = (/** @type {PointerEvent} */ event) => {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    setPoint({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
  };
  const heatAt = point && heat.values[Math.floor(point.y * heat.height) * heat.width + Math.floor(point.x * heat.width)];
  return html`<figure class="map"><button type="button" class="map-open" aria-label=${describe(map, checkpoint)} onClick=${onOpen} onPointerMove=${move} onPointerLeave=${() => setPoint(null)}>
      <canvas ref=${canvas} width=${heat.width} height=${heat.height}></canvas>${point && html`<i class="cross" style=${{ left: `${100 * point.x}%`, top: `${100 * point.y}%` }}></i>`}</button>
    <figcaption>${checkpoint && html`<b class="clip">${checkpoint}</b>`}<span class="row"><b>${facts.method}</b><output>${heatAt === null || heatAt === undefined ? "" : percent(heatAt / 255)}</output></span>
      <span class="muted mono clip" title=${facts.layer}>${facts.layer}</span>${facts.scores && html`<${ScoreTable} scores=${facts.scores} />`}</figcaption></figure>`;
}

/** The scores of a map beside those of two that know nothing. @param {{scores: {own: Scores, uniform: Scores, random: Scores}}} props */
function ScoreTable({ scores }) {
  const whose = /** @type {("own" | "uniform" | "random")[]} */ (["own", "uniform", "random"]);
  const spell = (/** @type {number | boolean | null} */ value) => (typeof value === "number" ? String(+value.toPrecision(3)) : t(value ? "look.yes" : "look.no"));
  return html`<table class="scores"><thead><tr><td></td>${whose.map((one) => html`<th key=${one} scope="col">${t(`look.scores.${one}`)}</th>`)}</tr></thead><tbody>
    ${Object.keys(scores.own).filter((name) => scores.own[name] !== null).map((name) => html`<tr key=${name}><th scope="row">${name}</th>${whose.map((one) => html`<td key=${one}>${spell(scores[one][name])}</td>`)}</tr>`)}</tbody></table>`;
}
