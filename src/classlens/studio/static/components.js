/**
 * What every view is built of. All of it can be used by keys alone, says its name to a screen reader, and takes its
 * colours from style.css.
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { useKeys, keyName, liveBindings } from "./keys.js";
import { ApiError, getBytes } from "./api.js";
import { queryText, setQuery, useRoute } from "./router.js";
import { makeStore, useStore } from "./stores.js";
import { languageOf, t, workText } from "./text.js";

/** @typedef {any} Children */

/** Paths of 24 × 24. */
const ICONS = {
  close: "M6 6l12 12M18 6L6 18",
  help: "M9.2 9a3 3 0 1 1 4 2.8c-.8.4-1.2 1-1.2 2v.4M12 17.6v.1",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  share: "M12 15V4M8 7.5L12 3.5l4 4M5 12v7h14v-7",
  dice: "M5 5h14v14H5zM9 9v.1M15 15v.1M12 12v.1M15 9v.1M9 15v.1",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l4.5 4.5",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
  list: "M4 6h16M4 12h16M4 18h10",
  plus: "M12 6v12M6 12h12",
  minus: "M6 12h12",
  upload: "M12 16V5M8 8.5l4-4 4 4M4 20h16",
  bad: "M12 4L2.8 20h18.4zM12 10v4.5M12 17.2v.1",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
};
/** @typedef {keyof typeof ICONS} IconName */

/** @param {{name: IconName}} props */
export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;

/**
 * A button; with `icon` and no children it is as wide as the icon, and `label` is its name. One that cannot be used says
 * why (`refused`), to those who hear it, too: they reach it like the others.
 * @param {{label?: string, icon?: IconName, kind?: "plain" | "main" | "quiet", onClick: (event: MouseEvent) => void,
 *   isPressed?: boolean, disabled?: boolean, refused?: string, children?: Children}} props
 */
export function Button({ label, icon, kind = "plain", onClick, isPressed, disabled, refused, children }) {
  return html`<button type="button" class="button ${kind}" title=${refused || label} aria-disabled=${refused ? "true" : undefined} aria-label=${children ? undefined : label}
    aria-pressed=${isPressed === undefined ? undefined : String(isPressed)} disabled=${disabled} onClick=${refused ? undefined : onClick}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span class="button-text">${children}</span>`}${refused && html`<span class="unseen"> ${refused}</span>`}
  </button>`;
}

/**
 * @typedef {{value: string, text: string}} Choice
 * @param {{label: string, value: string, choices: Choice[], onChange: (value: string) => void, isLabelShown?: boolean}} props
 */
export function Select({ label, value, choices, onChange, isLabelShown = false }) {
  return html`<label class="field"><span class=${isLabelShown ? "label" : "unseen"}>${label}</span>
    <select class="select" value=${value} onChange=${(/** @type {any} */ event) => onChange(event.target.value)}>
      ${choices.map((one) => html`<option key=${one.value} value=${one.value} selected=${one.value === value}>${one.text}</option>`)}
    </select></label>`;
}

/** One of a few, all in sight. @param {{label: string, value: string, choices: Choice[], onChange: (value: string) => void}} props */
export function Segments({ label, value, choices, onChange }) {
  const [name] = useState(() => `segments-${Math.random()}`);
  return html`<fieldset class="segments"><legend class="unseen">${label}</legend>
    ${choices.map((one) => html`<label key=${one.value}><input type="radio" class="unseen" name=${name} value=${one.value}
      checked=${one.value === value} onChange=${() => onChange(one.value)} /><span>${one.text}</span></label>`)}
  </fieldset>`;
}

/**
 * The browser's own modal dialog: focus stays in it, Esc and a click beside it close it.
 * @param {{title: string, onClose: () => void, children?: Children, kind?: string}} props
 */
export function Dialog({ title, onClose, children, kind = "" }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useKeys([{ keys: ["Escape"], does: "key.close", run: onClose }], { isModal: true });
  useLayoutEffect(() => element.current?.showModal(), []); // at once: what is typed next belongs to it
  const closeBeside = (/** @type {MouseEvent} */ event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class="dialog ${kind}" aria-label=${title} onClick=${closeBeside} onClose=${onClose}>
    <div class="dialog-inside"><header><h2>${title}</h2><${Button} kind="quiet" icon="close" label=${t("action.close")} onClick=${onClose} /></header>
    ${children}</div></dialog>`;
}

/** An octagon stops, a triangle warns. @param {{severity: string}} props */
export const Severity = ({ severity }) => html`<span class="severity ${severity}"><svg viewBox="0 0 16 16" aria-hidden="true">
  <path d=${severity === "error" ? "M5 1h6l4 4v6l-4 4H5l-4-4V5z" : "M8 1l7.5 14H.5z"} /><path class="sign" d=${severity === "error" ? "M5.5 5.5l5 5M10.5 5.5l-5 5" : "M8 6v4.4M8 12.4v.2"} /></svg>
  ${t(`findings.${severity}`)}</span>`;

/**
 * How far long work is; without a total it only says that it goes on.
 * @param {{message?: string, done?: number, total?: number, onCancel?: () => void}} props
 */
export function Progress({ message, done = 0, total = 0, onCancel }) {
  const count = total ? t("state.progress", { done, total }) : "";
  const text = [message || (count ? "" : t("state.loading")), count].filter(Boolean).join(" · ");
  return html`<div class="progress" role="status"><span class="progress-text">${text}</span>
    <progress aria-label=${message || t("state.loading")} ...${total ? { value: done, max: total } : {}}></progress>
    ${onCancel && html`<${Button} kind="quiet" onClick=${onCancel}>${t("action.cancel")}<//>`}</div>`;
}

/** @param {{title: string, children?: Children}} props */
export const Empty = ({ title, children }) => html`<div class="state"><p class="state-title">${title}</p>${children}</div>`;
/** Where a target has nothing for a view, and which have. @param {{title: string, part: string, session: import("./app.js").Session}} props */
export const Lacking = ({ title, part, session }) => html`<${Empty} title=${title}>${session.targets.some((one) => one.parts.includes(part)) && html`<p class="muted">${t("page.others")}</p>`}
  <div class="chips">${session.targets.filter((one) => one.parts.includes(part)).map(({ id, name }) => html`<${Button} key=${id} onClick=${() => setQuery({ target: id })}>${name}<//>`)}</div><//>`;

/** What went wrong, and what to do next. @param {{error: ApiError | {message: string, hint?: string}, onRetry?: () => void}} props */
export function Failure({ error, onRetry }) {
  return html`<div class="state failure" role="alert"><p class="state-title">${t("error.title")}</p><p lang=${languageOf(error.message)}>${workText(error.message)}</p>
    ${error.hint && html`<p class="muted" lang=${languageOf(error.hint)}>${workText(error.hint)}</p>`}
    ${onRetry && html`<${Button} onClick=${onRetry}>${t("action.again")}<//>`}</div>`;
}

/** The page of data, or why there is none yet. @param {{answer: import("./api.js").Answer, children?: Children}} props */
export function Await({ answer, children }) {
  if (answer.error) return html`<${Failure} error=${answer.error} onRetry=${answer.again} />`;
  return answer.data === null ? html`<div class="state"><${Progress} /></div>` : children;
}

/** @typedef {{id: number, text: string, hint: string, isError: boolean}} Message */
const messages = makeStore(/** @type {Message[]} */ ([]));
let lastMessage = 0;

/** Say something in the corner for some seconds, or until it is dismissed by its number. @param {string} text @param {{hint?: string, isError?: boolean, stays?: boolean}} [options] */
export function say(text, { hint = "", isError = false, stays = false } = {}) {
  const id = ++lastMessage;
  messages.set([...messages.get().slice(-2), { id, text, hint, isError }]);
  if (!stays) setTimeout(() => dismiss(id), isError ? 12000 : 4000);
  return id;
}

/** @param {number} id */
const dismiss = (id) => messages.set(messages.get().filter((one) => one.id !== id));

export function Messages() {
  return html`<div class="messages" aria-live="polite">${useStore(messages).map((one) => html`<div key=${one.id} class="message ${one.isError ? "failure" : ""}">
    <div><p>${one.text}</p>${one.hint && html`<p class="muted">${one.hint}</p>`}</div>
    <${Button} kind="quiet" icon="close" label=${t("action.close")} onClick=${() => dismiss(one.id)} /></div>`)}</div>`;
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(t("action.copied", { text }));
  } catch {
    say(t("action.not_copied", { text }), { isError: true });
  }
}

/** A report takes as long as a check and some maps: that it is being made is said at once. @param {string} address */
async function saveReport(address) {
  const waiting = say(t("action.report_making"), { stays: true });
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([await getBytes(address)], { type: "text/html" }));
    link.download = "classlens-report.html";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(t("action.report_made", { file: link.download }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.message, { hint: error.hint, isError: true });
  } finally {
    dismiss(waiting);
  }
}

/** A button with a menu below it. @param {{items: {text: string, run?: () => void, href?: string}[]}} props */
function ShareMenu({ items }) {
  const label = t("action.share");
  const [isOpen, setOpen] = useState(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    setOpen(false);
    box.current?.querySelector("button")?.focus();
  };
  useEffect(() => {
    if (!isOpen) return undefined;
    /** @type {HTMLElement | null | undefined} */ (box.current?.querySelector("[role=menuitem]"))?.focus();
    const closeBeside = (/** @type {Event} */ event) => box.current?.contains(/** @type {Node} */ (event.target)) || setOpen(false);
    addEventListener("pointerdown", closeBeside);
    return () => removeEventListener("pointerdown", closeBeside);
  }, [isOpen]);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (!isOpen) return;
    const all = /** @type {HTMLElement[]} */ ([...(box.current?.querySelectorAll("[role=menuitem]") ?? [])]);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) all[(all.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step + all.length) % all.length].focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") return setOpen(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="menu" ref=${box} onKeyDown=${onKeyDown}>
    <button type="button" class="button plain" aria-haspopup="menu" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}>
      <${Icon} name="share" /><span class="button-text">${label}</span></button>
    ${isOpen && html`<div class="menu-list" role="menu" aria-label=${label}>${items.map((item) => html`<a key=${item.text} role="menuitem" tabindex="-1"
      href=${item.href ?? "#"} download=${item.href !== undefined} onClick=${(/** @type {Event} */ event) => {
        if (item.run) event.preventDefault();
        item.run?.();
        close();
      }}>${item.text}</a>`)}</div>`}</div>`;
}

/**
 * What is on the screen, to take along; `saving` says where a command writes that would else save nothing, `only` of
 * how many pictures it is, where a filter cannot be said as one.
 * @param {{command?: string, python?: string, saving?: string, only?: number}} props
 */
export function Share({ command, python, saving = "", only }) {
  const { view, query } = useRoute();
  const items = [], of = only === undefined ? "" : t("action.copy_only", { count: only });
  const line = command && (command.includes(saving.split(" ")[0]) ? command : `${command} ${saving}`);
  const script = python && (python.startsWith("import ") ? python : `import classlens\n${python}`);
  if (line) items.push({ text: t("action.copy_command") + of, run: () => void copy(line) });
  if (script) items.push({ text: t("action.copy_python") + of, run: () => void copy(script) });
  const report = `/report.html${queryText({ view, ...query })}`;
  return html`<${ShareMenu} items=${[...items, { text: t("action.save_report"), href: report, run: () => void saveReport(report) }]} />`;
}

/** What is remarkable about what is shown: a button that opens it. @param {{notes: string[]}} props */
export function Notes({ notes }) {
  const [isOpen, setOpen] = useState(false);
  const title = t("page.notes", { count: notes.length });
  if (!notes.length) return null;
  return html`<${Button} kind="quiet" icon="bad" onClick=${() => setOpen(true)}>${title}<//>
    ${isOpen && html`<${Dialog} title=${title} onClose=${() => setOpen(false)}><ul class="notes" lang="en">${notes.map((one) => html`<li key=${one}>${one}</li>`)}</ul><//>`}`;
}

/** All keys that do something now. @param {{onClose: () => void}} props */
export function Help({ onClose }) {
  const [bindings] = useState(liveBindings);
  return html`<${Dialog} title=${t("help.title")} onClose=${onClose}><dl class="keys">
    ${bindings.map((one) => html`<div key=${one.does}><dt>${one.keys.map((key) => html`<kbd>${keyName(key)}</kbd>`)}</dt><dd>${t(one.does)}</dd></div>`)}
  </dl><//>`;
}
