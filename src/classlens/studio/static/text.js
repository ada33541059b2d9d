/**
 * Every word of the page, in English and in Simplified Chinese, is in text.json. `t(key, values)` puts values into {braces}, numbers as
 * the language writes them; of "one picture|{count} pictures" the first is said where `count` is 1.
 * Names of files, classes and stages are data: they are shown as they are.
 */
import { makeRemembered } from "./stores.js";

export const LANGUAGES = ["en", "zh"];
export const language = makeRemembered("language", /^zh\b/i.test(navigator.language) ? "zh" : "en", LANGUAGES);

function showLanguage() { document.documentElement.lang = language.get() === "zh" ? "zh-Hans" : "en"; }
language.subscribe(showLanguage);
showLanguage();

/** @type {Record<string, [string, string]>} */
export const TEXT = await (await fetch("/static/text.json")).json();

/** @param {string} key @param {Record<string, string | number>} [values] @returns {string} */
export function t(key, values = {}) {
  const entry = TEXT[key];
  if (!entry) throw new Error(`text.js has no ${key}`);
  const [one, many = one] = entry[LANGUAGES.indexOf(language.get())].split("|");
  return (values.count === 1 ? one : many).replace(/\{(\w+)\}/g, (hole, name) => {
    const value = values[name];
    return value === undefined ? hole : typeof value === "number" ? formatNumber(value) : value;
  });
}

/** A number as the page's language writes it, exact. @param {number} value */
export const formatNumber = (value) => value.toLocaleString(language.get(), { maximumFractionDigits: 20 });

/** What the server says in English, in the reader's language where the table knows it, numbers (N in its keys) as they are. What pages in one file say, too, is `work`. @param {string} words */
export function workText(words) {
  const number = /\b\d+(?:[,.]\d+)*(?!\w)/g, numbers = words.match(number) ?? [];
  const said = words.replace(number, "N").replace(/(N (?:step|epoch|sample|GPU|tensor))s\b/g, "$1").replace(/\W+/g, "_");
  const key = ["work", "engine"].map((space) => `${space}.${said}`).find((one) => one in TEXT);
  if (!key || (numbers.length && language.get() === "en")) return words;
  return t(key, Object.fromEntries(numbers.map((one, at) => [`n${at + 1}`, one])));
}

/** Several things in a row. @param {string[]} words */
export const listText = (words) => words.join(language.get() === "en" ? ", " : "、");
/** What a group of parameters is called: its rules in a row, and how many tensors it has. @param {string} name */
export const groupText = (name) => (language.get() === "en" ? name : name.split(" · ").map((part) => listText(part.split(/, | and (?=\d)/).map(workText))).join(" · "));

/** What went wrong, by its key where it has one. @param {{error?: string, key?: string, values?: Record<string, string | number>}} body */
export const errorText = (body) => (body.key ? t(body.key, body.values) : workText(body.error ?? ""));

/** Of words that were made for the reader, or come from the engine in English. @param {string} words */
export const languageOf = (words) => (/[\u4e00-\u9fff]/.test(workText(words)) ? undefined : "en");

/** @param {number} share */
export const percent = (share) => `${formatNumber(+(100 * share).toFixed(1))} %`;
/** A number as it is, of fractions what can be read; anything else as JSON. @param {unknown} value @returns {string} */
export function spell(value) {
  if (typeof value === "number") return Number.isInteger(value) ? formatNumber(value) : String(+value.toPrecision(4));
  if (Array.isArray(value)) return listText(value.map(spell));
  return typeof value === "string" ? value : JSON.stringify(value);
}
/** The names that are most like a text: those that contain it, then those that share most pairs of letters with it. @param {string[]} names @param {string} text */
export function nearNames(names, text) {
  const pairsOf = (/** @type {string} */ word) => Array.from({ length: Math.max(word.length - 1, 0) }, (_, at) => word.slice(at, at + 2));
  const wanted = text.toLowerCase(), own = pairsOf(wanted);
  const likeness = (/** @type {string} */ word) => {
    const pairs = pairsOf(word);
    return word.includes(wanted) ? 1 : (2 * pairs.filter((pair) => own.includes(pair)).length) / (pairs.length + own.length);
  };
  const known = names.map((name) => ({ name, near: Math.max(...name.toLowerCase().split(", ").map(likeness)) }));
  return known.filter(({ near }) => near > 0.5).sort((one, other) => other.near - one.near).slice(0, 3).map(({ name }) => name);
}
/** A name without its synonyms. @param {string} name */
export const firstName = (name) => name.split(",")[0];
