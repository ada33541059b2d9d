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
  "page.theme.system": ["Theme: as the system", "主题：跟随系统"],
  "page.theme.light": ["Theme: light", "主题：浅色"],
  "page.theme.dark": ["Theme: dark", "主题：深色"],
  "page.language": ["中文", "English"],
  "page.notes": ["{count} note|{count} notes", "{count} 条说明"],
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
  "key.next": ["next", "下一个"],
  "key.previous": ["previous", "上一个"],
  "key.row_down": ["a row down", "下一行"],
  "key.row_up": ["a row up", "上一行"],
  "key.page_down": ["a page down", "下一页"],
  "key.page_up": ["a page up", "上一页"],
  "key.first": ["to the first", "到第一个"],
  "key.last": ["to the last", "到最后一个"],
  "key.search": ["search", "搜索"],
  "key.jump": ["go to a number", "跳转到编号"],
  "key.open": ["open the picture", "打开图片"],
  "key.reroll": ["draw chance anew", "重新随机"],
  "key.mode": ["next mode", "下一种显示方式"],
  "key.look": ["look at this under the maps", "查看此图的注意力图"],
  // data
  "data.none": ["No target here has pictures", "没有包含图片的目标"],
  "data.pictures": ["Pictures", "图片"],
  "data.split": ["Split", "数据划分"],
  "data.split.train": ["train", "训练集"],
  "data.split.val": ["val", "验证集"],
  "data.split.test": ["test", "测试集"],
  "data.mode": ["What is shown", "显示内容"],
  "data.mode.original": ["Original", "原图"],
  "data.mode.transformed": ["Transformed", "变换后"],
  "data.mode.concat": ["Side by side", "并排对比"],
  "data.mode.pipeline": ["Pipeline", "逐步流程"],
  "data.reroll": ["Re-roll", "重新随机"],
  "data.reroll_hint": ["Draw all random parameters anew (seed {seed})", "重新抽取所有随机参数（种子 {seed}）"],
  "data.batches": ["Batches", "批次"],
  "data.bad": ["Bad files", "损坏文件"],
  "data.bad_note": ["of the pictures drawn so far", "仅限已显示过的图片"],
  "data.search": ["Search names", "搜索名称"],
  "data.size": ["Size of the tiles", "缩略图大小"],
  "data.size.small": ["Small tiles", "小图"],
  "data.size.medium": ["Medium tiles", "中图"],
  "data.size.large": ["Large tiles", "大图"],
  "data.count": ["{count} picture|{count} pictures", "{count} 张图片"],
  "data.some": ["{count} of {length} pictures", "{length} 张图片中的 {count} 张"],
  "data.seen": ["in sight: {first} to {last}", "当前可见：{first} 至 {last}"],
  "data.counting": ["Counting the pictures…", "正在统计图片…"],
  "data.nothing": ["No picture is like that", "没有符合条件的图片"],
  "data.no_bad": ["No bad file among the pictures drawn so far", "已显示过的图片中没有损坏文件"],
  "data.all": ["Show all pictures", "显示全部图片"],
  "jump.title": ["Go to a number", "跳转到编号"],
  "jump.range": ["0 to {last}", "0 至 {last}"],
  "jump.go": ["Go", "跳转"],
  "classes.title": ["Classes", "类别"],
  "classes.balance": ["Pictures of each class, from the most to the fewest", "各类别图片数，从多到少"],
  "classes.ratio": ["largest {ratio} times the smallest", "最大类是最小类的 {ratio} 倍"],
  "classes.even": ["all have the same number", "各类别图片数相同"],
  "classes.empty": ["{count} without a picture", "{count} 个类别没有图片"],
  "classes.search": ["Find a class", "查找类别"],
  "classes.order": ["Order", "排序"],
  "classes.order.listed": ["Listed", "编号"],
  "classes.order.most": ["Most", "最多"],
  "classes.order.fewest": ["Fewest", "最少"],
  "classes.more": ["{count} more: find one by its name", "还有 {count} 个：请按名称查找"],
  "sample.title": ["The picture", "图片详情"],
  "sample.look": ["Look at this", "查看注意力图"],
  "sample.class": ["Class", "类别"],
  "sample.no_class": ["none", "无"],
  "sample.size": ["Size", "尺寸"],
  "sample.file": ["File", "文件"],
  "sample.bad": ["Bad file:", "文件损坏："],
  "sample.remarks": ["Remarks", "备注"],
  "sample.stages": ["Stages", "处理步骤"],
  "sample.seed": ["seed {seed}", "种子 {seed}"],
  "sample.unchanged": ["unchanged", "未改变"],
  "batch.title": ["Batch {number}", "批次 {number}"],
  "batch.previous": ["Previous batch", "上一批"],
  "batch.next": ["Next batch", "下一批"],
  "batch.mixing": ["{count} picture, {mixing}|{count} pictures, {mixing}", "{count} 张图片，{mixing}"],
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
