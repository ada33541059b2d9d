/**
 * The pictures of a data set: as files, as the network gets them, side by side, or stage by stage; of one class, of a
 * search, or the bad ones; one by one in a panel, or as a training batch.
 * The address holds: target, split, mode, seed, class (its place in the names), q, bad, at (the position in this list),
 * top (the first position in sight), open (whether the panel is), batch (its number).
 */
import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { BatchView } from "./batch_view.js";
import { ClassPanel, useClasses } from "./class_panel.js";
import { Button, Dialog, Empty, Failure, Icon, Lacking, Notes, Progress, Segments, Select, Share } from "./components.js";
import { rowAt, useRows } from "./data_rows.js";
import { Grid } from "./grid.js";
import { useKeys } from "./keys.js";
import { Picture } from "./pictures.js";
import { browsing, go, hrefOf, setQuery } from "./router.js";
import { SamplePanel } from "./sample_panel.js";
import { makeRemembered, useStore } from "./stores.js";
import { t } from "./text.js";
import { useJson } from "./api.js";

/** @typedef {import("./data_rows.js").Row} Row */
/** @typedef {{target: string, split: string, mode: string, seed: string, sizeName: string}} Way  how a picture is shown */

const MODES = ["original", "transformed", "concat", "pipeline"];
const SIZES = /** @type {Record<string, number>} */ ({ small: 92, medium: 148, large: 236 });
const EDGES = [96, 160, 240, 320, 480];
const CAPTION = 40, BAD_CAPTION = 76;
const tileSize = makeRemembered("tiles", "medium", Object.keys(SIZES));
const classPanel = makeRemembered("classes", "open", ["open", "closed"]);
const isWide = () => matchMedia("(min-width: 900px)").matches;

/** @param {string} mode @param {number} size @param {number} caption @returns {import("./grid.js").CellShape} */
function shapeOf(mode, size, caption) {
  if (mode === "pipeline") return { least: 100_000, heightOf: () => Math.max(size, 120) + 92 };
  if (mode === "concat") return { least: 2 * size, heightOf: (width) => Math.round(width / 2) + caption };
  return { least: size, heightOf: (width) => width + caption };
}

/** @param {{row: Row, way: Way, rank: number}} props */
function Strip({ row, way, rank }) {
  const { data, error } = useJson(rank < 2 ? `/sample/${way.target}/${way.split}/${row.index}.json` : null, { seed: way.seed });
  if (error) return html`<p class="muted">${error.message}</p>`;
  if (data?.error) return html`<p class="bad-text">${data.error}</p>`;
  return html`<div class="strip">${(data?.stages ?? []).map((/** @type {any} */ stage, /** @type {number} */ place) => html`<figure key=${place}>
    <${Picture} url=${`${stage.picture}&edge=240`} alt="" rank=${rank} />
    <figcaption><b class="clip" title=${stage.name}>${stage.name}</b>
    <span class="two-lines muted" title=${stage.words.join("\n")}>${stage.words.join(" · ") || (stage.changed ? "" : t("sample.unchanged"))}</span></figcaption></figure>`)}</div>`;
}

/** @param {{row: Row | undefined, way: Way, rank: number}} props */
function Cell({ row, way, rank }) {
  const [error, setError] = useState("");
  if (!row) return html`<span class="picture"></span>`;
  const wanted = SIZES[way.sizeName] * 1.3 * Math.min(devicePixelRatio, 2);
  const edge = EDGES.find((one) => one >= wanted) ?? EDGES[EDGES.length - 1];
  const show = (/** @type {string} */ mode) => html`<${Picture} key=${mode} alt="" rank=${rank} onBad=${setError}
    url=${`/picture/${way.target}/${way.split}/${row.index}.webp?mode=${mode}&seed=${mode === "original" ? 0 : way.seed}&edge=${edge}`} />`;
  const bad = row.error || error;
  const classes = row.classes.join(", ");
  return html`<div class="cell-pictures">${way.mode === "pipeline" ? html`<${Strip} row=${row} way=${way} rank=${rank} />`
    : way.mode === "concat" ? [show("original"), show("transformed")] : show(way.mode)}</div>
    <div class="caption"><span class="clip" title=${bad || classes}>${bad ? html`<b class="bad-text">${bad}</b>` : classes}</span>
    <span class="muted clip" title=${row.name}>${row.index} ${way.sizeName === "small" && way.mode !== "pipeline" ? "" : row.name}</span></div>`;
}

/** @param {{onClose: () => void, total: number}} props */
function JumpDialog({ onClose, total }) {
  const jump = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const text = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("number"));
    const at = Math.max(0, Math.min(total - 1, Number.parseInt(text, 10)));
    onClose();
    if (at >= 0) setQuery({ class: null, q: null, bad: null, top: null, batch: null, at });
  };
  return html`<${Dialog} title=${t("jump.title")} onClose=${onClose}><form class="jump" onSubmit=${jump}>
    <label class="field"><span class="label">${t("jump.range", { last: total - 1 })}</span>
    <input class="input" name="number" type="number" min="0" max=${total - 1} required autofocus /></label>
    <button type="submit" class="button main">${t("jump.go")}</button></form><//>`;
}

/** @param {{words: string}} props */
function Search({ words }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(0);
  useKeys([{ keys: ["/"], does: "key.search", run: () => input.current?.focus() }]);
  const search = (/** @type {any} */ event) => {
    clearTimeout(timer.current);
    const value = event.target.value;
    timer.current = setTimeout(() => setQuery({ q: value, at: null, top: null, open: null }, { replace: true }), 250);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<label class="with-icon search"><${Icon} name="search" /><span class="unseen">${t("data.search")}</span>
    <input ref=${input} class="input" type="search" maxlength="200" placeholder=${t("data.search")} value=${words} onInput=${search} /></label>`;
}

/**
 * @param {{way: Way, query: import("./router.js").Query, session: import("./app.js").Session, isPanelOpen: boolean, name: string,
 *   onReroll: () => void, onPanel: () => void, list: import("./data_rows.js").List | null, seen: [number, number], className: string}} props
 */
function Bar({ way, query, session, isPanelOpen, name, onReroll, onPanel, list, seen, className }) {
  const facts = list?.facts, hasStages = facts?.stages.length !== 0, isBatch = query.batch !== undefined, seed = Number(way.seed);
  const indices = list && (query.q || query.bad) ? shownOf(list, seen) : undefined, { target, split, mode } = way;
  const command = facts && indices?.length !== 0 && [facts.command, ...(indices ? ["--index", ...indices] : []), "--mode", mode, ...(seed ? ["--seed", seed] : [])].join(" ");
  const python = command && browsing(name, { phase: split, mode, indices, classes: className && !indices ? [className] : undefined, seed });
  const toggleBatches = () => setQuery({ batch: query.batch === undefined ? 0 : null, open: null });
  const change = (/** @type {import("./router.js").Patch} */ patch) => setQuery({ at: null, top: null, open: null, batch: null, ...patch });
  const targets = session.targets.filter((one) => one.parts.includes("dataset"));
  return html`<div class="bar data-bar">
    <${Button} icon="list" isPressed=${isPanelOpen} onClick=${onPanel}>${className || t("classes.title")}<//>
    ${targets.length > 1 && html`<${Select} label=${t("page.target")} value=${target} onChange=${(/** @type {string} */ one) => change({ target: one, class: null })}
      choices=${targets.map((one) => ({ value: String(one.id), text: one.name.length > 22 ? `…${one.name.slice(-20)}` : one.name }))} />`}
    <${Select} label=${t("data.split")} value=${split} onChange=${(/** @type {string} */ one) => change({ split: one, class: null })}
      choices=${session.splits.map((value) => ({ value, text: t(`data.split.${value}`) }))} />
    ${hasStages && html`<${Segments} label=${t("data.mode")} value=${isBatch ? "" : mode} onChange=${(/** @type {string} */ one) => setQuery({ mode: one, batch: null })}
      choices=${MODES.map((value) => ({ value, text: t(`data.mode.${value}`) }))} />
    <${Button} icon="dice" label=${t("data.reroll_hint", { seed: way.seed })} onClick=${onReroll}>${t("data.reroll")} <span class="muted">${way.seed}</span><//>`}
    <${Button} icon="grid" isPressed=${isBatch} onClick=${toggleBatches}>${t("data.batches")}<//>
    <${Button} icon="bad" isPressed=${query.bad === "1"} onClick=${() => change({ bad: query.bad !== "1" })}>${t("data.bad")}<//>
    <${Search} words=${query.q ?? ""} />
    <span class="push"></span>
    ${!isBatch && !query.open && html`<${Share} command=${command || undefined} saving="--output-dir out/browse" python=${python || undefined} only=${indices?.length} />`}</div>`;
}

/** The numbers of the pictures of a short list, or of those in sight. @param {import("./data_rows.js").List} list @param {[number, number]} seen */
const shownOf = (list, [first, last]) => (list.facts.total <= 100 ? list.pieces.get(0) ?? [] : Array.from({ length: last - first + 1 }, (_, k) => rowAt(list, first + k)))
  .flatMap((row) => (row ? [row.index] : []));
/** @param {import("./router.js").Query} query */
const isFiltered = (query) => Boolean(query.class || query.q || query.bad);

/**
 * @param {{rows: ReturnType<typeof useRows>, query: import("./router.js").Query, notes: string[], sizeName: string,
 *   seen: [number, number] | null}} props
 */
function Status({ rows, query, notes, sizeName, seen }) {
  const total = rows.list?.facts.total ?? 0, length = rows.list?.facts.length ?? 0;
  const [first, last] = (seen ?? []).map((place) => rows.list && rowAt(rows.list, Math.min(place, total - 1)));
  const said = !rows.list ? "" : isFiltered(query) ? t("data.some", { count: total, length }) : t("data.count", { count: total });
  return html`<footer class="status"><span role="status">${said}</span>
    ${first && last && seen && html`<span class="muted">${t("data.seen", { first: first.index, last: last.index })}</span>`}
    ${query.bad && html`<span class="muted">${t("data.bad_note")}</span>`}
    ${(rows.isLoading || rows.isCounting) && !rows.error && html`<${Progress} message=${rows.isCounting ? t("data.counting") : ""} />`}
    <span class="push"></span><${Notes} notes=${notes} />
    <span><${Select} label=${t("data.size")} value=${sizeName} onChange=${tileSize.set}
      choices=${Object.keys(SIZES).map((value) => ({ value, text: t(`data.size.${value}`) }))} /></span></footer>`;
}

/** The keys of the view, beside those of the grid. @param {{way: Way, row: Row | undefined, canLook: boolean, onReroll: () => void, onJump: () => void}} props */
function useDataKeys({ way, row, canLook, onReroll, onJump }) {
  const nextMode = MODES[(MODES.indexOf(way.mode) + 1) % MODES.length];
  useKeys([
    { keys: ["g"], does: "key.jump", run: onJump },
    { keys: ["Enter"], does: "key.open", run: () => row && setQuery({ open: true }) },
    { keys: ["Escape"], does: "key.close", run: () => setQuery({ open: null }) },
    { keys: ["r"], does: "key.reroll", run: onReroll },
    { keys: ["m"], does: "key.mode", run: () => setQuery({ mode: nextMode }) },
    { keys: ["l"], does: "key.look", run: () => row && canLook && go(hrefOf("look", { target: way.target, split: way.split, index: row.index })) },
  ]);
}

/**
 * The grid, or why there is none.
 * @param {{rows: ReturnType<typeof useRows>, way: Way, query: import("./router.js").Query, start: number, current: number,
 *   onSeen: (first: number, last: number) => void}} props
 */
function Pictures({ rows, way, query, start, current, onSeen }) {
  const { list, error, isCounting, again } = rows;
  if (error) return html`<${Failure} error=${error} onRetry=${again} />`;
  if (!list) return html`<div class="state"><${Progress} message=${isCounting ? t("data.counting") : ""} /></div>`;
  if (list.facts.total === 0) {
    const showAll = () => setQuery({ class: null, q: null, bad: null, at: null, top: null });
    return html`<${Empty} title=${t(query.bad ? "data.no_bad" : "data.nothing")}>${isFiltered(query) && html`<${Button} onClick=${showAll}>${t("data.all")}<//>`}<//>`;
  }
  return html`<${Grid} key=${list.address} label=${t("data.pictures")} count=${list.facts.total} start=${start} current=${current}
    shape=${shapeOf(way.mode, SIZES[way.sizeName], query.bad ? BAD_CAPTION : CAPTION)} onSeen=${onSeen}
    onMove=${(/** @type {number} */ at) => setQuery({ at }, { replace: true })} onOpen=${(/** @type {number} */ at) => setQuery({ at, open: true })}>
    ${(/** @type {number} */ position, /** @type {number} */ rank) => html`<${Cell} row=${rowAt(list, position)} way=${way} rank=${rank} />`}<//>`;
}

/** @param {import("./app.js").ViewProps} props */
export function View({ query, session }) {
  const first = session.targets.find((one) => one.parts.includes("dataset"));
  const sizeName = useStore(tileSize), panel = useStore(classPanel);
  const [isSheetOpen, setSheetOpen] = useState(false);
  const [isJumping, setJumping] = useState(false);
  const [seen, setSeen] = useState(/** @type {[number, number]} */ ([0, 0]));
  const mode = MODES.includes(query.mode) ? query.mode : "original";
  const way = { target: query.target ?? String(first?.id ?? 0), split: query.split ?? "train", seed: query.seed ?? "0", mode, sizeName };
  const asked = query.at === undefined ? -1 : Number.parseInt(query.at, 10) || 0, start = Number.parseInt(query.top ?? "", 10) || Math.max(0, asked);
  const rows = useRows({ target: way.target, split: way.split, class: query.class, q: query.q, bad: query.bad }, start);
  const classes = useClasses(way.target, way.split, rows.list !== null);
  const { list } = rows, total = list?.facts.total ?? 0, at = list ? Math.min(asked, total - 1) : asked;
  const row = list && at >= 0 ? rowAt(list, at) : undefined;
  const reroll = () => setQuery({ seed: Number(way.seed) + 1, mode: mode === "original" && !query.open ? "transformed" : mode }, { replace: true });
  const name = session.targets.find((one) => String(one.id) === way.target)?.name ?? "";
  const canLook = session.targets.some((one) => String(one.id) === way.target && one.parts.includes("classifier"));
  useDataKeys({ way, row, canLook, onReroll: reroll, onJump: () => setJumping(true) });
  const see = useRef(0);
  const onSeen = (/** @type {number} */ from, /** @type {number} */ to) => {
    rows.need(from, to);
    setSeen([from, to]);
    clearTimeout(see.current);
    see.current = setTimeout(() => setQuery({ top: from || null }, { replace: true }), 300);
  };
  useEffect(() => () => clearTimeout(see.current), [way.target, way.split, query.class, query.q, query.bad]);
  if (!first) return html`<div class="view"><${Empty} title=${t("data.none")} /></div>`;
  if (!session.targets.some((one) => String(one.id) === way.target && one.parts.includes("dataset"))) return html`<div class="view"><${Lacking} title=${t("data.lacking")} part="dataset" session=${session} /></div>`;
  const isPanelOpen = isWide() ? panel === "open" : isSheetOpen, isBatch = query.batch !== undefined;
  const onPanel = () => (isWide() ? classPanel.set(panel === "open" ? "closed" : "open") : setSheetOpen(!isSheetOpen));
  const className = query.class === undefined ? "" : classes.data?.names[Number(query.class)] ?? "";
  const notes = [...session.notes, ...session.targets.map((one) => one.error).filter(Boolean), ...(list?.facts.warnings ?? [])];
  const step = (/** @type {number} */ by) => setQuery({ at: Math.max(0, Math.min(total - 1, at + by)) }, { replace: true });
  return html`<div class="view data mode-${mode} ${query.bad ? "bad-files" : ""}">
    <${Bar} ...${{ way, query, session, isPanelOpen, onReroll: reroll, onPanel, className, list, seen, name }} />
    <div class="columns">
      ${isPanelOpen && html`<${ClassPanel} answer=${classes} chosen=${query.class ?? ""} onClose=${onPanel} />`}
      <div class="middle">${isBatch ? html`<${BatchView} ...${way} name=${name} number=${Number(query.batch) || 0} length=${list?.facts.length ?? 0} />`
        : html`<${Pictures} ...${{ rows, way, query, start, current: at, onSeen }} />`}</div>
      ${query.open && at >= 0 && html`<${SamplePanel} ...${way} row=${row} begins=${mode === "original" ? "first" : "last"} canLook=${canLook}
        onReroll=${reroll} onStep=${step} onClose=${() => setQuery({ open: null })} />`}
    </div>
    <${Status} rows=${rows} query=${query} notes=${notes} sizeName=${sizeName} seen=${isBatch ? null : seen} />
    ${isJumping && html`<${JumpDialog} total=${list?.facts.length ?? 0} onClose=${() => setJumping(false)} />`}</div>`;
}
