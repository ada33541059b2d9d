/**
 * One panel of curves: uPlot gives the axes, the selection and the cursor; the curves themselves are traced here.
 *
 * uPlot wants all series on the same x values, which runs on different clocks do not have. So it gets two points that
 * span the run, and every curve is traced from its own exact values: each of them as a stair where there is room, and
 * where several fall on one pixel their range, so that no spike is lost. Nothing is ever thinned.
 */
import { html, useEffect, useRef } from "/static/vendor/htm-preact.js";
import { useIsDark } from "./stores.js";

/**
 * A curve in the units of the axis: value k holds from `k * width` to `(k + 1) * width`. Of a run that is too long for
 * that, value k is that of step `steps[k]`, and what lies between two of them is on the straight line.
 * @typedef {{label: string, colour: string, dash: number[], values: Float64Array, steps: Float64Array | null, width: number}} Line
 * @typedef {{from: number, to: number, log: boolean}} View
 * @typedef {{x: number, number: number}} Pin
 * @typedef {{lines: Line[], pins: Pin[], view: View, at: number | null, title: string, height: number,
 *   onZoom: (from: number, to: number) => void, onCursor: (x: number | null) => void, onWidth: (pixels: number) => void}} PanelProps
 * @typedef {{props: PanelProps, ink: Record<string, string>}} Latest
 */

/** Where value k begins. @param {Line} line @param {number} k */
const placeOf = ({ steps, width }, k) => (steps ? steps[k] : k) * width;

/** The last value that begins at x or before. @param {Line} line @param {number} x */
function indexAt({ values, steps, width }, x) {
  const step = x / width + 1e-9;
  if (!steps) return Math.min(values.length - 1, Math.max(0, Math.floor(step)));
  let [low, high] = [0, steps.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (steps[middle] <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The first and the last value of a line that lie in the view, at least one. @param {Line} line @param {View} view @returns {[number, number]} */
function reach(line, { from, to }) {
  const last = indexAt(line, to);
  return [indexAt(line, from), line.steps ? Math.min(line.values.length - 1, last + 1) : placeOf(line, last) >= to ? Math.max(0, last - 1) : last];
}

/** The value in force at x, if the line goes that far. @param {Line} line @param {number} x */
export function valueAt(line, x) {
  const { values, steps, width } = line, k = indexAt(line, x), step = Math.floor(x / width + 1e-9);
  if (!steps) return values[step];
  if (step === steps[k] || k === values.length - 1) return step > steps[k] ? undefined : values[k];
  return values[k] + ((values[k + 1] - values[k]) * (step - steps[k])) / (steps[k + 1] - steps[k]);
}

/** The lowest and highest visible values, with some room around them. @param {Line[]} lines @param {View} view @returns {[number, number]} */
function limits(lines, view) {
  let [low, high] = [Infinity, -Infinity];
  for (const line of lines) {
    const [first, last] = reach(line, view);
    for (let k = first; k <= last; k++) {
      const value = line.values[k];
      if (view.log && !(value > 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return view.log ? [0.1, 1] : [0, 1];
  if (low === 0 && high === 0) return [0, 1];
  if (view.log) return high > low ? [low / (high / low) ** 0.05, high * (high / low) ** 0.08] : [low / 3, high * 3];
  if (low >= 0 && low < high / 2) low = 0;
  const room = high - low || Math.abs(high) || 1;
  return high > low ? [low - (low && 0.05 * room), high + 0.08 * room] : [low - room / 2, high + room / 2];
}

/** The path of a line in the pixels of the canvas. @param {Line} line @param {View} view @param {(x: number) => number} px @param {(y: number) => number} py */
function trace(line, view, px, py) {
  const path = new Path2D(), { values } = line, [first, last] = reach(line, view);
  const perPixel = Math.max(1, valuesPerPixel(line, view, px(view.to) - px(view.from)));
  let isDown = false;
  const go = (/** @type {number} */ x, /** @type {number} */ y) => {
    if (isDown) path.lineTo(x, y);
    else path.moveTo(x, y);
    isDown = true;
  };
  for (let k = first; k <= last; ) {
    // All values of one pixel: where the line comes in, its range, and where it goes out.
    const start = k, stop = Math.min(last + 1, Math.max(k + 1, first + Math.ceil((Math.floor((k - first) / perPixel) + 1) * perPixel)));
    let [low, high, enter, leave] = [Infinity, -Infinity, NaN, NaN];
    for (; k < stop; k++) {
      const value = values[k];
      if (value !== value || (view.log && value <= 0)) continue;
      if (enter !== enter) enter = value;
      if (value < low) low = value;
      if (value > high) high = value;
      leave = value;
    }
    if (enter !== enter) {
      isDown = false;
      continue;
    }
    const x = px(placeOf(line, start));
    go(x, py(enter));
    if (low < high) for (const value of [low, high, leave]) go(x, py(value));
    if (!line.steps) go(px(placeOf(line, k)), py(leave));
  }
  return path;
}

/** How many values of a line fall on one pixel of a plot that is so many wide. @param {Line} line @param {View} view @param {number} pixels */
export function valuesPerPixel(line, view, pixels) {
  const [first, last] = reach(line, view), across = line.steps ? last - first : (view.to - view.from) / line.width;
  return across / Math.max(1, pixels);
}

/** @param {number} value @param {number} [digits] */
export const short = (value, digits = 6) =>
  value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5) ? String(+value.toPrecision(digits)) : value.toExponential(Math.min(4, digits - 1)).replace(/\.?0+e/, "e");
/** Steps of an axis in a few letters: 500, 20K, 1.5M. */
const brief = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 6 });

/** The colours of style.css as a canvas takes them, which cannot read variables. @param {HTMLElement} host @param {string[]} names */
function readColours(host, names) {
  const probe = host.appendChild(document.createElement("i"));
  const colours = names.map((name) => {
    probe.style.color = `var(${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return Object.fromEntries(colours);
}

/** @param {{current: Latest}} latest @param {HTMLElement} host */
function plot(latest, host) {
  const lines = latest.current.props.lines, seen = () => latest.current.props.view;
  const ink = (/** @type {string} */ name) => () => latest.current.ink[name];
  const axis = { stroke: ink("--muted"), ticks: { show: false }, font: "12px system-ui, sans-serif", grid: { stroke: ink("--line"), width: 1 } };
  const decades = (/** @type {uPlot} */ { scales: { y } }, /** @type {(number | null)[]} */ splits) =>
    seen().log && Number(y.max) > 100 * Number(y.min) ? splits.map((value) => (value !== null && Math.abs(Math.log10(value) % 1) < 1e-9 ? value : null)) : splits;
  return new uPlot(
    {
      width: host.clientWidth, height: latest.current.props.height, legend: { show: false }, padding: [18, 12, 0, 0],
      scales: { x: { time: false, range: () => [seen().from, seen().to] }, y: { distr: seen().log ? 3 : 1, range: () => limits(lines, seen()) } },
      axes: [
        { ...axis, size: 26, gap: 4, values: (_, splits) => splits.map((value) => brief.format(value)) },
        { ...axis, size: 62, values: (_, splits) => splits.map((value) => (value === null ? "" : short(value))), grid: { ...axis.grid, filter: decades } },
      ],
      series: [{}, ...lines.map((line) => ({
        stroke: ink(line.colour), width: 2, dash: line.dash, points: { show: false },
        paths: (/** @type {uPlot} */ self) => ({
          stroke: trace(line, seen(), (x) => self.valToPos(x, "x", true), (y) => self.valToPos(y, "y", true)),
        }),
      }))],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      hooks: {
        setCursor: [(self) => {
          const left = self.cursor.left ?? -1;
          // Only the panel under the pointer speaks; the others follow their props.
          if (self.over.matches(":hover")) latest.current.props.onCursor(left < 0 ? null : self.posToVal(left, "x"));
        }],
        setSelect: [(self) => {
          const { left, width } = self.select;
          if (width > 6) latest.current.props.onZoom(self.posToVal(left, "x"), self.posToVal(left + width, "x"));
          if (width) self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
        draw: [(self) => drawPins(self, latest.current.props.pins, latest.current.ink["--muted"])],
        setSize: [(self) => latest.current.props.onWidth(self.over.clientWidth)],
        ready: [(self) => latest.current.props.onWidth(self.over.clientWidth)],
      },
    },
    [[-1e15, 1e15], ...lines.map(() => [0, 0])],
    host,
  );
}

/** Landmarks as dotted lines with the number that they have in the table. @param {uPlot} self @param {Pin[]} pins @param {string} colour */
function drawPins(self, pins, colour) {
  const { ctx, bbox } = self, ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = ratio;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  let taken = -Infinity;
  for (const { x, number } of pins) {
    const at = self.valToPos(x, "x", true);
    if (at < bbox.left - 1 || at > bbox.left + bbox.width + 1) continue;
    ctx.setLineDash([2 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    if (at - taken < 18 * ratio) continue;
    taken = at;
    ctx.fillText(String(number), at, bbox.top - 8 * ratio);
  }
  ctx.restore();
}

/** @param {PanelProps} props */
export function CurvePanel(props) {
  const host = useRef(/** @type {HTMLDivElement | null} */ (null));
  const chart = useRef(/** @type {uPlot | null} */ (null));
  const latest = useRef(/** @type {Latest} */ ({ props, ink: {} }));
  const isDark = useIsDark();
  latest.current.props = props;
  const { lines, pins, view, at } = props;

  useEffect(() => {
    const element = /** @type {HTMLDivElement} */ (host.current);
    latest.current.ink = readColours(element, ["--muted", "--line", ...lines.map((line) => line.colour)]);
    const drawn = (chart.current = plot(latest, element));
    const sized = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: props.height }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      drawn.destroy();
    };
  }, [lines, view.log, isDark, props.height]);

  useEffect(() => chart.current?.setScale("x", { min: view.from, max: view.to }), [view.from, view.to, pins]);

  useEffect(() => {
    const drawn = chart.current;
    if (!drawn || drawn.over.matches(":hover")) return;
    const left = at === null ? -10 : drawn.valToPos(at, "x");
    drawn.setCursor({ left, top: left < 0 ? -10 : 0 }, false);
  }, [at, view.from, view.to, lines]);

  return html`<div class="curves" ref=${host} role="img" aria-label=${props.title}></div>`;
}
