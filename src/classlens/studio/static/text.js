/**
 * Every word of the page, in English and in Simplified Chinese. `t(key, values)` puts values into {braces}, numbers as
 * the language writes them; of "one picture|{count} pictures" the first is said where `count` is 1.
 * Names of files, classes and stages are data: they are shown as they are.
 */
import { makeRemembered } from "./stores.js";

export const LANGUAGES = ["en", "zh"];
export const language = makeRemembered("language", /^zh\b/i.test(navigator.language) ? "zh" : "en", LANGUAGES);

function showLanguage() {
  document.documentElement.lang = language.get() === "zh" ? "zh-Hans" : "en";
}
language.subscribe(showLanguage);
showLanguage();

/** @type {Record<string, [string, string]>} */
export const TEXT = {
  // the frame
  "page.skip": ["Skip to the view", "跳到视图"],
  "page.views": ["Views", "视图"],
  "page.target": ["Target", "目标"],
  "page.theme": ["Theme", "主题"],
  "page.theme.system": ["Theme: as the system", "主题：跟随系统"],
  "page.theme.light": ["Theme: light", "主题：浅色"],
  "page.theme.dark": ["Theme: dark", "主题：深色"],
  "page.language": ["中文", "English"],
  "page.notes": ["Notes", "说明"],
  "view.data": ["Data", "数据"],
  "view.schedule": ["Schedule", "学习率"],
  "view.look": ["Look", "注意力图"],
  "view.findings": ["Findings", "检查结果"],
  // controls that every view has
  "action.cancel": ["Cancel", "取消"],
  "action.close": ["Close", "关闭"],
  "action.again": ["Try again", "重试"],
  "action.share": ["Share", "分享"],
  "action.copy_command": ["Copy as command", "复制为命令"],
  "action.copy_python": ["Copy as Python", "复制为 Python 代码"],
  "action.save_report": ["Save as report", "保存为报告"],
  "action.copied": ["Copied: {text}", "已复制：{text}"],
  "action.not_copied": ["The browser does not allow copying here: {text}", "浏览器不允许在此复制：{text}"],
  // states
  "state.loading": ["Loading…", "加载中…"],
  "state.progress": ["{done} of {total}", "{done} / {total}"],
  "error.title": ["This did not work", "操作未成功"],
  "error.unreachable": ["the studio does not answer", "studio 没有响应"],
  "error.unreachable_hint": ["look at the terminal where it was started", "请查看启动它的终端"],
  "error.status": ["the studio refused this (HTTP {status})", "studio 拒绝了此请求（HTTP {status}）"],
  // the keyboard
  "help.title": ["Keyboard", "键盘快捷键"],
  "key.help": ["this help", "显示此帮助"],
  "key.close": ["close", "关闭"],
  "key.views": ["go to a view", "切换视图"],
};

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
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
