// Curves to zoom into and to read; without scripts they are a picture.
document.querySelectorAll(".chart").forEach((stage, number) => {
  const chart = JSON.parse(stage.nextElementSibling.textContent);
  stage.innerHTML = `<p class="dim"><label><input type="checkbox"> <span data-word="log"></span></label> &ensp;<span data-word="zoom"></span></p><output></output>`;
  stage.classList.add("live");
  const shade = (colour) => (colour === "#333333" ? "var(--text)" : colour);  // which nobody sees on dark ground
  const log = stage.querySelector("input"), reading = stage.querySelector("output");
  const WIDTH = Math.min(1100, Math.max(320, stage.clientWidth - 16)), HEIGHT = chart.panels.length > 1 ? 300 : Math.min(480, 240 + WIDTH / 4);
  const LEFT = 78, RIGHT = 20, TOP = chart.per_epoch ? 44 : 16, BOTTOM = 40, MARKS = Math.min(10, WIDTH / 70);
  const view = { from: 0, to: chart.x_end, log: chart.panels.some((panel) => panel.log) };
  const make = (name, attributes, parent, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent?.append(element);
    return element;
  };
  const short = (v) => {
    for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (Math.abs(v) >= unit) return +(v / unit).toPrecision(6) + letter;
    return String(+v.toPrecision(6));
  };
  const round = (v) => (v === 0 ? "0" : Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5 ? v.toExponential().replace(/(\.\d{4})\d+/, "$1") : String(+v.toPrecision(6)));
  function ticks(low, high, most) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const stride = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough * 0.999) ?? rough;
    const found = [];
    for (let k = Math.ceil(low / stride - 1e-9); k * stride <= high + stride * 1e-9; k++) found.push(k * stride);
    return found;
  }
  // The first point at or after x; straight lines between neighbours lie on the curve.
  function after(line, x) {
    let low = 0, high = line.x.length - 1;
    while (low < high) { const middle = (low + high) >> 1; line.x[middle] < x ? (low = middle + 1) : (high = middle); }
    while (line.x[low] === x && line.x[low + 1] === x) low++;  // a value that ends there, and the one that begins
    return low;
  }
  function valueAt(line, x, values = line.y) {
    const k = after(line, x);
    if (line.x[k] === x || k === 0) return values[k];
    const [a, b] = [values[k - 1], values[k]];
    if (a === null || b === null || x > line.x[k]) return null;
    return a + (b - a) * (x - line.x[k - 1]) / (line.x[k] - line.x[k - 1]);
  }
  // Drawn points are exact values of training; between them the straight line is close, and says so.
  function told(line, x) {
    if (line.low !== null && x >= line.undecided) return t("to", { low: told({ ...line, y: line.low, low: null }, x), high: told({ ...line, low: null }, x) });
    const value = valueAt(line, x);
    return value === null ? "-" : line.x[after(line, x)] === x ? String(value) : `≈ ${+value.toPrecision(5)}`;
  }
  // Rows above the curves for the words of the marks; null where there is no room.
  function places(pins, px) {
    const taken = [[], [], []];
    return pins.map((pin) => {
      const extent = 6.6 * pin.text.length + 12, flips = px(pin.x) + extent > WIDTH - RIGHT;
      const left = flips ? px(pin.x) - extent : px(pin.x);
      const row = taken.findIndex((others) => others.every(([a, b]) => left + extent <= a || left >= b));
      if (row < 0 || left < LEFT) return { row: null };
      taken[row].push([left, left + extent]);
      return { row, flips };
    });
  }
  function limits(panel, rows) {
    let low = Infinity, high = -Infinity;
    const see = (v) => { if (v !== null && (!view.log || v > 0)) { low = Math.min(low, v); high = Math.max(high, v); } };
    for (const line of panel.lines) {
      if (line.off) continue;
      for (const values of [line.y, line.low ?? line.y]) {
        see(valueAt(line, view.from, values)); see(valueAt(line, view.to, values));
        for (let k = after(line, view.from); k < line.x.length && line.x[k] <= view.to; k++) see(values[k]);
      }
    }
    if (low > high) return [view.log ? 0.1 : 0, 1];
    const room = (18 * rows + 8) / (HEIGHT - TOP - BOTTOM), above = room / (1 - room) + 0.02;
    if (view.log) return low === high ? [low / 3, high * 3] : [low / (high / low) ** 0.04, high * (high / low) ** above];
    if (view.from === 0 && view.to === chart.x_end && low >= 0 && low < high / 2) low = 0;
    const reach = high - low || Math.abs(high) || 1;
    return low === high ? [low - reach / 2, high + reach / 2] : [low - 0.03 * reach, high + above * reach];
  }
  // The visible points from x = from to x = to, with a new start wherever there is no value.
  function pathOf(line, values, px, py, from, to) {
    let path = "", pen = "M";
    const first = Math.max(0, after(line, view.from) - 1);
    for (let k = first; k < line.x.length && (k === first || line.x[k - 1] <= view.to); k++) {
      if (line.x[k] < from || line.x[k] > to) continue;
      if (values[k] === null || (view.log && values[k] <= 0)) { pen = "M"; continue; }
      path += `${pen}${px(line.x[k]).toFixed(2)} ${py(values[k]).toFixed(2)}`;
      pen = "L";
    }
    return path;
  }
  function draw(panel) {
    const svg = panel.svg, across = WIDTH - LEFT - RIGHT, down = HEIGHT - TOP - BOTTOM;
    const px = (x) => LEFT + (x - view.from) / (view.to - view.from) * across;
    const pins = panel.pins.filter((pin) => pin.x >= view.from && pin.x <= view.to);
    const placed = places(pins, px);
    const [low, high] = limits(panel, 1 + Math.max(-1, ...placed.map(({ row }) => row ?? -1)));
    const share = (v) => view.log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
    const py = (v) => TOP + (1 - share(v)) * down;
    panel.px = px; panel.py = py;
    svg.replaceChildren();
    const clip = make("clipPath", { id: "clip" + panel.index }, svg);
    make("rect", { x: LEFT, y: TOP, width: across, height: down }, clip);
    const values = view.log ? ticks(Math.log10(low), Math.log10(high), 6).filter(Number.isInteger).map((e) => 10 ** e) : ticks(low, high, down / 45);
    for (const v of values.length ? values : [low, high]) {
      make("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: py(v), y2: py(v), class: "grid" }, svg);
      make("text", { x: LEFT - 7, y: py(v) + 4, "text-anchor": "end" }, svg, round(v));
    }
    for (const x of ticks(view.from, view.to, MARKS)) {
      make("line", { x1: px(x), x2: px(x), y1: TOP + down, y2: TOP + down + 5 }, svg);
      make("text", { x: px(x), y: TOP + down + 18, "text-anchor": "middle" }, svg, short(x));
    }
    make("text", { x: LEFT + across / 2, y: HEIGHT - 4, "text-anchor": "middle" }, svg, known(chart.axis));
    if (chart.per_epoch) {
      for (const e of ticks(view.from / chart.per_epoch, view.to / chart.per_epoch, MARKS)) {
        make("line", { x1: px(e * chart.per_epoch), x2: px(e * chart.per_epoch), y1: TOP - 5, y2: TOP }, svg);
        make("text", { x: px(e * chart.per_epoch), y: TOP - 9, "text-anchor": "middle" }, svg, short(e));
      }
      make("text", { x: LEFT + across / 2, y: TOP - 27, "text-anchor": "middle" }, svg, t("epoch"));
    }
    make("text", { x: 14, y: TOP + down / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${TOP + down / 2})` }, svg, known(panel.title));
    const body = make("g", { "clip-path": `url(#clip${panel.index})` }, svg);
    for (const pin of pins) {
      const mark = pin.y === null
        ? make("line", { x1: px(pin.x), x2: px(pin.x), y1: TOP, y2: TOP + down, class: pin.warns ? "warns" : "", "stroke-width": 1.5, "stroke-dasharray": "2 3" }, body)
        : make("circle", { cx: px(pin.x), cy: py(pin.y), r: 4, class: "peak" }, body);
      make("title", {}, mark, `${known(pin.text)}: ${t(chart.x_label)} ${pin.x.toLocaleString("en")}`);
    }
    pins.forEach((pin, k) => {
      const { row, flips } = placed[k];
      if (row === null) return;
      const at = { x: px(pin.x) + (flips ? -6 : 6), y: TOP + 16 + 18 * row, "text-anchor": flips ? "end" : "start" };
      make("text", { ...at, class: pin.warns ? "pin warns" : "pin" }, body, known(pin.text));
    });
    for (const line of panel.lines) {
      if (line.off) continue;
      const sure = line.undecided ?? Infinity, shown = { fill: "none", stroke: shade(line.colour), "stroke-linejoin": "round" };
      make("path", { ...shown, d: pathOf(line, line.y, px, py, -Infinity, sure), "stroke-width": 1.8 }, body);
      if (line.low === null) continue;
      // What a metric decides: dashed if it always or never improves, and all that lies between.
      const [upper, lower] = [line.y, line.low].map((values) => pathOf(line, values, px, py, sure, Infinity));
      const back = lower.slice(1).split("L").reverse().join("L");
      make("path", { d: `${upper}L${back}Z`, fill: shade(line.colour), opacity: 0.14 }, body);
      make("path", { ...shown, d: upper, "stroke-width": 1.8, "stroke-dasharray": "7 5" }, body);
      make("path", { ...shown, d: lower, "stroke-width": 1, "stroke-dasharray": "7 5" }, body);
    }
    make("rect", { x: LEFT, y: TOP, width: across, height: down, class: "frame" }, svg);
    panel.brush = make("rect", { y: TOP, height: down, width: 0, class: "brush" }, svg);
    panel.hair = make("line", { y1: TOP, y2: TOP + down, visibility: "hidden" }, svg);
  }
  const drawAll = () => chart.panels.forEach(draw);
  function place(event, panel) {
    const box = panel.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH;
    const inside = Math.min(Math.max(x, LEFT), WIDTH - RIGHT);
    const exact = view.from + (inside - LEFT) / (WIDTH - LEFT - RIGHT) * (view.to - view.from);
    return chart.x_label === "step" ? Math.min(Math.round(exact), chart.x_end - 1) : exact;
  }
  function read(panel, x) {
    const epoch = (value) => t("at_epoch", { epoch: value.toFixed(3) }), isByStep = chart.x_label === "step";
    const where = [...(isByStep ? [t("at_step", { step: x.toLocaleString("en") })] : []), ...(isByStep && !chart.per_epoch ? [] : [epoch(isByStep ? x / chart.per_epoch : x)])].join(", ");
    const values = panel.lines.filter((line) => !line.off).map((line) => `${panel.lines.length > 1 ? line.label + " " : ""}${told(line, x)}`);
    reading.textContent = `${where}:  ${known(panel.title)}  ${values.join("   ")}`;
    panel.hair.setAttribute("x1", panel.px(x)); panel.hair.setAttribute("x2", panel.px(x)); panel.hair.setAttribute("visibility", "visible");
  }
  chart.panels.forEach((panel, index) => {
    panel.index = `${number}-${index}`;
    panel.svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": panel.title });
    stage.append(panel.svg);
    let start = null;
    panel.svg.addEventListener("pointerdown", (event) => { start = place(event, panel); panel.svg.setPointerCapture(event.pointerId); });
    panel.svg.addEventListener("pointermove", (event) => {
      const x = place(event, panel);
      read(panel, x);
      if (start === null) return;
      panel.brush.setAttribute("x", Math.min(panel.px(start), panel.px(x)));
      panel.brush.setAttribute("width", Math.abs(panel.px(x) - panel.px(start)));
    });
    panel.svg.addEventListener("pointerup", (event) => {
      const end = place(event, panel), from = Math.min(start, end), to = Math.max(start, end);
      if (start !== null && panel.px(to) - panel.px(from) > 8) { view.from = from; view.to = to; }
      start = null;
      drawAll();
    });
    panel.svg.addEventListener("dblclick", () => { view.from = 0; view.to = chart.x_end; drawAll(); });
    if (panel.lines.length < 2) return;
    const list = document.createElement("ul");
    for (const line of panel.lines) {
      const item = document.createElement("li"), button = document.createElement("button"), swatch = document.createElement("i");
      swatch.style.background = shade(line.colour);
      button.append(swatch, line.label);
      button.addEventListener("click", () => { line.off = !line.off; item.classList.toggle("off", line.off); drawAll(); });
      item.append(button);
      list.append(item);
    }
    stage.append(list);
  });
  log.checked = view.log;
  log.onchange = () => { view.log = log.checked; drawAll(); };
  onLanguage(() => { fillIn(stage); drawAll(); });
});
