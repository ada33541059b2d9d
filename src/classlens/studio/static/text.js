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
  // the schedule
  "schedule.none": ["There is no schedule to show", "没有可显示的学习率计划"],
  "schedule.none_hint": ["Open a config, or another target that says how it trains: classlens studio CONFIG", "请打开一个配置，或其他包含训练设置的目标：classlens studio CONFIG"],
  "schedule.runs": ["Runs", "训练"],
  "schedule.every_run": ["Every run", "全部训练"],
  "schedule.axis": ["Axis", "横轴"],
  "schedule.steps": ["Steps", "步"],
  "schedule.epochs": ["Epochs", "轮"],
  "schedule.zoom": ["Zoom", "缩放"],
  "schedule.zoom_in": ["Zoom in", "放大"],
  "schedule.zoom_out": ["Zoom out", "缩小"],
  "schedule.earlier": ["Earlier", "向前"],
  "schedule.later": ["Later", "向后"],
  "schedule.all": ["Whole run", "整个训练"],
  "schedule.key.step": ["one step; with Shift many", "移动一步；按住 Shift 移动多步"],
  "schedule.key.landmark": ["next, previous landmark", "下一个、上一个标记"],
  "schedule.key.zoom": ["zoom in, out", "放大、缩小"],
  "schedule.name.lr": ["Learning rate", "学习率"],
  "schedule.name.momentum": ["Momentum", "动量"],
  "schedule.name.weight_decay": ["Weight decay", "权重衰减"],
  "schedule.at_step": ["step {step}", "第 {step} 步"],
  "schedule.at_epoch": ["epoch {epoch}", "第 {epoch} 轮"],
  "schedule.hint": ["drag to zoom, move to read values", "拖动以缩放，移动以读取数值"],
  "schedule.log": ["Logarithmic", "对数"],
  "schedule.values": ["Fetching every value", "正在获取每个数值"],
  "schedule.plot": ["{name} over the run, {count} curve|{name} over the run, {count} curves", "训练过程中的{name}，{count} 条曲线"],
  "schedule.exact": ["Every value is drawn.", "绘制了每一个数值。"],
  "schedule.bands": ["Up to {most} values fall on one pixel: their whole range is drawn, none is left out. Zoom in to see each.", "每个像素最多对应 {most} 个数值：绘制其完整范围，没有遗漏。放大可查看每个数值。"],
  "schedule.length": ["Length", "长度"],
  "schedule.dataset_size": ["Samples", "样本数"],
  "schedule.gpus": ["GPUs", "GPU 数"],
  "schedule.undecided": ["from step {step} on {metric} decides: upper and lower bound", "从第 {step} 步起由 {metric} 决定：上下界"],
  "schedule.metric": ["a metric", "某个指标"],
  "schedule.show": ["Show", "查看"],
  "schedule.course": ["Start → peak → end", "起点 → 峰值 → 终点"],
  "schedule.landmarks": ["Landmarks", "标记"],
  "schedule.number": ["No.", "序号"],
  "schedule.landmark": ["What happens", "事件"],
  "schedule.run": ["Run", "训练"],
  "schedule.parameter": ["Of", "参数"],
  "schedule.step": ["Step", "步"],
  "schedule.epoch": ["Epoch", "轮"],
  "schedule.value": ["Value", "数值"],
  // where the network looks
  "look.choices": ["Picture, classes, methods and layers", "图片、类别、方法和层"],
  "look.maps": ["Heat maps", "热力图"],
  "look.network": ["{what} · {seconds} s", "{what} · {seconds} 秒"],
  "look.network_hint": ["The network is loaded in the background. You can go on in the other views.", "网络正在后台加载。您可以继续使用其他视图。"],
  "look.explaining": ["Making maps", "正在生成热力图"],
  "look.cancelled": ["Cancelled.", "已取消。"],
  "look.no_picture": ["Which picture?", "选择哪张图片？"],
  "look.no_picture_hint": ["Drop one here, paste one, or upload one.", "将图片拖到此处、粘贴或上传。"],
  "look.picture": ["Picture", "图片"],
  "look.uploaded": ["the uploaded picture", "上传的图片"],
  "look.sample": ["{split} sample {index}", "{split} 样本 {index}"],
  "look.split": ["Split", "数据划分"],
  "look.index": ["Sample, 0 to {last}", "样本，0 到 {last}"],
  "look.upload": ["Upload", "上传"],
  "look.drop": ["or drop, or paste", "或拖放、粘贴"],
  "look.back": ["Back to the data", "返回数据集"],
  "look.too_large": ["The file is larger than 20 MB", "文件大于 20 MB"],
  "look.top": ["What the network sees", "网络的判断"],
  "look.differ": ["they differ", "结果不同"],
  "look.top_hint": ["Maps are of the best class. Click classes to see theirs.", "热力图对应最可能的类别。点击类别可查看其热力图。"],
  "look.chosen_hint": ["Maps are of the chosen classes.", "热力图对应所选类别。"],
  "look.add_class": ["Add a class", "添加类别"],
  "look.checkpoints": ["Checkpoints", "检查点"],
  "look.methods": ["Methods", "方法"],
  "look.slow": ["Slow ones: many passes", "较慢：需多次计算"],
  "look.whole": ["Whole picture, not cropped", "整张图片，不裁剪"],
  "look.scores": ["Score the maps (slow)", "为热力图评分（较慢）"],
  "look.scores.own": ["map", "热力图"],
  "look.scores.uniform": ["even", "均匀"],
  "look.scores.random": ["random", "随机"],
  "look.yes": ["yes", "是"],
  "look.no": ["no", "否"],
  "look.in_data": ["in the data", "在数据中"],
  "look.layers": ["Layers", "层"],
  "look.filter_layers": ["Filter layers", "筛选层"],
  "look.matches": ["{count} layer|{count} layers", "{count} 层"],
  "look.first": ["the first {most} are shown", "显示前 {most} 个"],
  "look.below": ["Layers below {layer}", "{layer} 的子层"],
  "look.usual": ["usual", "默认"],
  "look.opacity": ["Opacity", "不透明度"],
  "look.threshold": ["Threshold", "阈值"],
  "look.colours": ["Colours", "配色"],
  "look.cold": ["cold", "冷"],
  "look.hot": ["hot", "热"],
  "look.every_class": ["Every class", "所有类别"],
  "look.alt": ["{method} at {layer} for {name}: hottest {place}", "{method}（{layer}），类别 {name}：最热处位于{place}"],
  "look.alt_empty": ["{method} at {layer} for {name}: nothing is hot", "{method}（{layer}），类别 {name}：没有热点"],
  "look.place_top_left": ["at the top left", "左上方"],
  "look.place_top_centre": ["at the top", "上方"],
  "look.place_top_right": ["at the top right", "右上方"],
  "look.place_middle_left": ["at the left", "左侧"],
  "look.place_middle_centre": ["in the middle", "中央"],
  "look.place_middle_right": ["at the right", "右侧"],
  "look.place_bottom_left": ["at the bottom left", "左下方"],
  "look.place_bottom_centre": ["at the bottom", "下方"],
  "look.place_bottom_right": ["at the bottom right", "右下方"],
  "look.key.previous": ["previous picture", "上一张图片"],
  "look.key.next": ["next picture", "下一张图片"],
  "look.key.heat": ["show or hide the heat", "显示或隐藏热力图"],
  "look.key.cancel": ["cancel what is running", "取消正在运行的任务"],
  // findings
  "findings.running": ["Looking for mismatches", "正在查找问题"],
  "findings.running_hint": ["Rules look at the data, the schedule, the network and how they fit together. You can go on in the other views.", "规则会检查数据、学习率、网络以及它们是否匹配。您可以继续使用其他视图。"],
  "findings.error": ["error", "错误"],
  "findings.warning": ["warning", "警告"],
  "findings.errors": ["Errors", "错误"],
  "findings.warnings": ["Warnings", "警告"],
  "findings.all": ["All", "全部"],
  "findings.by_severity": ["By severity", "按严重程度"],
  "findings.by_family": ["By subject", "按主题"],
  "findings.every_family": ["Every subject", "全部主题"],
  "findings.family.S": ["Schedule", "学习率"],
  "findings.family.L": ["Loader", "加载器"],
  "findings.family.F": ["Feed", "输入"],
  "findings.family.C": ["Classes", "类别"],
  "findings.family.D": ["Data", "数据"],
  "findings.family.M": ["Model", "模型"],
  "findings.family.R": ["Run", "训练"],
  "findings.cure": ["Cure", "解决办法"],
  "findings.copy": ["Copy the command that shows {code} again", "复制可再次显示 {code} 的命令"],
  "findings.copy_short": ["Copy", "复制"],
  "findings.none_here": ["Nothing of this kind", "没有此类问题"],
  "findings.show_all": ["Show all findings", "显示全部结果"],
  "findings.nothing": ["Nothing wrong was found", "未发现问题"],
  "findings.nothing_hint": ["Some rules could not run; below is what each of them would need.", "部分规则未能运行；下面列出了它们所需的内容。"],
  "findings.nothing_all": ["Every rule has run.", "所有规则均已运行。"],
  "findings.skipped": ["{count} rule did not run|{count} rules did not run", "{count} 条规则未运行"],
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
