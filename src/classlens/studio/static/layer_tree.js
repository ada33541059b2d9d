/**
 * The layers of a network as the tree that their names make, closed but for what is chosen; or, filtered, as a list.
 */
import { html, useMemo, useState } from "/static/vendor/htm-preact.js";
import { t } from "./text.js";

/**
 * @typedef {{name: string, kind: string, shape: number[] | null, layout: string | null, children: Layer[]}} Layer  a `layout` says that it can be seen as a map
 * @typedef {{chosen: string[], usual: string, onToggle: (name: string) => void}} Choosing
 */

const MOST_MATCHES = 100;
/** @param {Layer[]} layers @returns {Layer[]} */
const flatten = (layers) => layers.flatMap((layer) => [layer, ...flatten(layer.children)]);

/** @param {{layers: Layer[]} & Choosing} props */
export function LayerTree({ layers, ...choosing }) {
  const [filter, setFilter] = useState("");
  const every = useMemo(() => flatten(layers), [layers]);
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = words.length ? every.filter(({ name, kind }) => words.every((word) => `${name} ${kind}`.toLowerCase().includes(word))) : [];
  const chosen = choosing.chosen.length ? choosing.chosen : [choosing.usual];
  return html`<div class="layers">
    <input class="input" type="search" value=${filter} placeholder=${t("look.filter_layers")} aria-label=${t("look.filter_layers")}
      onInput=${(/** @type {any} */ event) => setFilter(event.target.value)} />
    <ul aria-label=${t("look.layers")}>${words.length
      ? matches.slice(0, MOST_MATCHES).map((layer) => html`<li key=${layer.name}><${Row} layer=${layer} text=${layer.name} ...${choosing} chosen=${chosen} /></li>`)
      : layers.map((layer) => html`<${Branch} key=${layer.name} layer=${layer} above="" ...${choosing} chosen=${chosen} />`)}</ul>
    ${words.length > 0 && html`<p class="muted" role="status">${t("look.matches", { count: matches.length })}${matches.length > MOST_MATCHES ? ` · ${t("look.first", { most: MOST_MATCHES })}` : ""}</p>`}
  </div>`;
}

/** @param {{layer: Layer, above: string} & Choosing} props */
function Branch({ layer, above, ...choosing }) {
  const leadsToChosen = choosing.chosen.some((name) => name.startsWith(`${layer.name}.`));
  const [isOpen, setOpen] = useState(leadsToChosen);
  const text = above ? layer.name.slice(above.length + 1) : layer.name;
  const hasChildren = layer.children.length > 0;
  return html`<li><div class="branch">${hasChildren
    ? html`<button type="button" class="twist" aria-expanded=${String(isOpen)} aria-label=${t("look.below", { layer: layer.name })} onClick=${() => setOpen(!isOpen)}></button>`
    : html`<span class="twist-room"></span>`}<${Row} layer=${layer} text=${text} ...${choosing} /></div>
    ${hasChildren && isOpen && html`<ul>${layer.children.map((child) => html`<${Branch} key=${child.name} layer=${child} above=${layer.name} ...${choosing} />`)}</ul>`}</li>`;
}

/** @param {{layer: Layer, text: string} & Choosing} props */
function Row({ layer, text, chosen, usual, onToggle }) {
  const shape = layer.shape?.slice(1).join(" × ");
  return html`<label class="layer"><input type="checkbox" checked=${chosen.includes(layer.name)} disabled=${!layer.layout} onChange=${() => onToggle(layer.name)} />
    <span class="mono">${text}</span><span class="muted">${layer.kind}${shape ? ` · ${shape}` : ""}</span>${layer.name === usual && html`<span class="badge">${t("look.usual")}</span>`}</label>`;
}
