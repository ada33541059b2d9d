// All of it can be read without scripts, in English; this adds the reader's language, a search, and the strength of maps.
const words = JSON.parse(document.querySelector("script.words").textContent);
let language = /^zh\b/i.test(navigator.language) ? "zh" : "en";
const pick = (both) => both[language === "zh" ? 1 : 0];
/** A text that Python has made, in the reader's language where the table knows it; numbers may stand behind it. */
const known = (text) => text.replace(/^\D+?(?= [\d.e-]+$|$)/, (name) => pick(words[`work.${name.replace(/\W+/g, "_")}`] ?? [name, name]));
const t = (key, values = {}) => pick(words[`script.${key}`]).replace(/\{(\w+)\}/g, (_, name) => values[name]);
/** What scripts have added says its words. */
function fillIn(parent) {
  for (const one of parent.querySelectorAll("[data-word]")) one.textContent = t(one.dataset.word);
}
function onLanguage(run) {
  document.addEventListener("language", run);
  run();
}
{
  const own = [...document.querySelectorAll("[data-zh]")].map((element) => ({ element, en: element.textContent, zh: element.dataset.zh }));
  const button = document.createElement("button");
  document.querySelector("header").prepend(button);
  button.className = "language";
  onLanguage(() => {
    document.documentElement.lang = language;
    button.lang = language === "zh" ? "en" : "zh";
    button.textContent = t("language");
    for (const one of own) one.element.textContent = one[language];
    fillIn(document);
  });
  button.onclick = () => {
    language = button.lang;
    document.dispatchEvent(new Event("language"));
  };
}
{
  const tools = document.getElementById("tools"), find = tools.querySelector("[type=search]");
  const marked = tools.querySelector("[type=checkbox]"), heat = tools.querySelector("[type=range]");
  const figures = [...document.querySelectorAll(".pictures figure")], sections = [...document.querySelectorAll("section")];
  const root = document.documentElement.style, set = () => root.setProperty("--heat", heat.value);
  marked.parentElement.hidden = !figures.some((one) => one.classList.contains("marked"));
  heat.parentElement.hidden = !document.querySelector(".heat");
  heat.value = getComputedStyle(document.documentElement).getPropertyValue("--heat");
  tools.hidden = figures.length < 12 && heat.parentElement.hidden;
  let said = [];
  const show = () => {
    const wanted = find.value.toLowerCase();
    let left = 0;
    figures.forEach((one, k) => {
      one.hidden = (marked.checked && !one.classList.contains("marked")) || !said[k].includes(wanted);
      left += !one.hidden;
    });
    for (const one of sections) {
      const inside = [...one.querySelectorAll(".pictures figure")];
      one.hidden = inside.length > 0 && !one.querySelector("table, .chart, h3") && inside.every((figure) => figure.hidden);
    }
    tools.querySelector("output").value = t("shown", { left, total: figures.length });
  };
  find.oninput = marked.onchange = show;
  heat.oninput = set;
  tools.onsubmit = (event) => event.preventDefault();
  onLanguage(() => {
    said = figures.map((one) => one.textContent.toLowerCase());
    tools.setAttribute("aria-label", t("pictures"));
    find.placeholder = t("find_what");
    show();
  });
}
