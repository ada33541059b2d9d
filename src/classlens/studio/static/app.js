/**
 * The studio's page: the frame around the views.
 *
 * A view is a module that exports `View`, a component, and has a line in `VIEWS`. It is loaded when first opened and gets
 *   `query`    its state, text by name, from the address;
 *   `session`  what `/session.json` says: targets, checkpoints, splits, versions;
 * and nothing else. It changes its state by `setQuery` and goes elsewhere by plain links, `<a href=${hrefOf("look", {…})}>`
 * (router.js). It asks the server by `useJson`, `useJob`, `getBytes`, `post` (api.js), says things in the corner by `say`,
 * and is built of components.js. Its keys are listed by `useKeys` (keys.js), from where the help takes them. Every word is
 * in text.js. What it draws is one element with the class "view", which fills the space below the header; inside, a
 * "bar" is a row of controls and a "scroll" is the part that scrolls. Addresses that views share:
 *   /data?target&split&at       a picture in its data set           /look?target&split&index    a picture under the maps
 *   /schedule?target            the schedule of a target            /findings?target            what `check` says of it
 */
import { html, render, useEffect, useErrorBoundary, useState } from "/static/vendor/htm-preact.js";
import { useJson } from "./api.js";
import { Await, Button, Failure, Help, Icon, Messages, Progress, say } from "./components.js";
import { useKeys } from "./keys.js";
import { go, hrefOf, useRoute, VIEW_NAMES } from "./router.js";
import { findingCounts, theme, useStore } from "./stores.js";
import { language, LANGUAGES, t } from "./text.js";

/**
 * @typedef {{id: number, name: string, parts: string[], error: string}} Target
 * @typedef {{version: string, command: string, python: string, targets: Target[], checkpoints: {id: number, name: string}[],
 *   splits: string[], views: string[], notes: string[]}} Session
 * @typedef {{query: import("./router.js").Query, session: Session}} ViewProps
 * @typedef {{View: (props: ViewProps) => any}} ViewModule
 */

/** @type {Record<string, () => Promise<ViewModule>>} */
const VIEWS = {
  data: () => import("./data_view.js"),
  schedule: () => import("./schedule_view.js"),
  look: () => import("./look_view.js"),
  findings: () => import("./findings_view.js"),
  audit: () => import("./audit_view.js"),
};
/** @type {Record<string, ViewModule>} */
const loaded = {};

/** The module of a view, which is fetched while the session is. @param {string} name */
function useView(name) {
  const [, redraw] = useState({});
  useEffect(() => { if (!loaded[name]) void VIEWS[name]().then((module) => redraw((loaded[name] = module))); }, [name]);
  return loaded[name]?.View;
}

const NEXT_THEME = /** @type {Record<string, string>} */ ({ system: "light", light: "dark", dark: "system" });

/** @param {{names: string[], onHelp: () => void}} props */
function Header({ names, onHelp }) {
  const { view, query } = useRoute();
  const chosen = useStore(theme);
  const found = Object.values(useStore(findingCounts)).reduce((sum, count) => sum + count, 0);
  const kept = { target: query.target, split: query.split };
  const other = LANGUAGES[1 - LANGUAGES.indexOf(language.get())];
  return html`<header class="top"><a class="brand" href="/data"><img src="/static/icon.svg" alt="" width="22" height="22" /><span>Classlens</span></a>
    <nav class="views" aria-label=${t("page.views")}>${names.map((name) => html`<a key=${name} href=${hrefOf(name, kept)}
      aria-current=${name === view ? "page" : undefined}>${t(`view.${name}`)}${name === "findings" && found > 0 && html` <span class="badge">${found}</span>`}</a>`)}</nav>
    <div class="top-end">
      <button type="button" class="button quiet" lang=${other === "zh" ? "zh-Hans" : "en"} onClick=${() => language.set(other)}>${t("page.language")}</button>
      <button type="button" class="button quiet theme-${chosen}" title=${t(`page.theme.${chosen}`)} aria-label=${t(`page.theme.${chosen}`)}
        onClick=${() => theme.set(NEXT_THEME[chosen])}><${Icon} name="theme" /></button>
      <${Button} kind="quiet" icon="help" label=${t("help.title")} onClick=${onHelp} />
    </div></header>`;
}

/** A view that breaks says so; the frame and the other views go on. @param {{children: any}} props */
function Guarded({ children }) {
  const [error, retry] = useErrorBoundary();
  return error ? html`<${Failure} error=${error} onRetry=${retry} />` : children;
}

function App() {
  const { view, query } = useRoute();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const answer = useJson("/session.json"), View = useView(view);
  useStore(language);
  const names = VIEW_NAMES.filter((name) => answer.data?.views.includes(name));
  useKeys([
    { keys: names.map((_, place) => String(place + 1)), does: "key.views", run: ({ key }) => go(hrefOf(names[Number(key) - 1], { target: query.target })) },
    { keys: ["?"], does: "key.help", run: () => setHelpOpen(true) },
  ]);
  document.title = `${t(`view.${view}`)} · Classlens`;
  return html`<a class="skip" href="#main">${t("page.skip")}</a>
    <${Header} names=${names} onHelp=${() => setHelpOpen(true)} />
    <main id="main" tabindex="-1"><h1 class="unseen">${t(`view.${view}`)}</h1><${Await} answer=${answer}>${View
      ? html`<${Guarded} key=${view}><${View} query=${query} session=${answer.data} /><//>` : html`<div class="state"><${Progress} /></div>`}<//></main>
    ${isHelpOpen && html`<${Help} onClose=${() => setHelpOpen(false)} />`}<${Messages} />`;
}

addEventListener("unhandledrejection", (event) => say(t("error.title"), { hint: String(event.reason), isError: true }));
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
