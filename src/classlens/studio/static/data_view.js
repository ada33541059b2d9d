/** The pictures of a data set. */
import { html } from "/static/vendor/htm-preact.js";
import { useJson } from "./api.js";
import { Await } from "./components.js";

/** @param {import("./app.js").ViewProps} props */
export function View({ query }) {
  const answer = useJson("/data.json", { target: query.target ?? "0", split: query.split ?? "train", start: 0, count: 60 });
  return html`<div class="view"><div class="scroll"><${Await} answer=${answer}>${answer.data?.length}<//></div></div>`;
}
