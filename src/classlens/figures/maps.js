// Maps are painted over their pictures as they come near the screen, by what the studio paints with (heat.js), and again
// when the reader chooses other colours. Until then, and where scripts are off, a small picture lies there.
{
  const tools = document.getElementById("tools"), strength = tools.querySelector("[type=range]"), choice = tools.querySelector("select");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { chosen, tables } = JSON.parse(document.querySelector("script.colours").textContent);
  const near = new Map(); // from what holds a picture and its map to what is painted
  for (const name of Object.keys(tables)) choice.add(new Option(name, name, false, name === chosen));
  choice.parentElement.hidden = false;
  const style = (more) => ({ table: bytes(tables[choice.value]), opacity: Number(strength.value), threshold: 0, ...more });
  const ramps = [...document.querySelectorAll(".scale img")].map((picture) => picture.parentElement.insertBefore(document.createElement("canvas"), picture));
  for (const { nextSibling: picture } of ramps) picture.hidden = true;
  const grey = new Uint8ClampedArray(1024).fill(160), steps = Uint8Array.from({ length: 256 }, (_, k) => k);

  function paintAll() {
    for (const ramp of ramps) paint(ramp, grey, { width: 256, height: 1, values: steps }, style({ opacity: 1 }));
    for (const { canvas, pixels, heat } of near.values()) if (pixels) paint(canvas, pixels, heat, style());
  }
  async function show(stack) {
    const [picture, small] = stack.querySelectorAll("img"), painted = { canvas: document.createElement("canvas") };
    near.set(stack, painted);
    const pixels = await readPixels(picture.src), values = bytes(stack.dataset.heat), width = Number(stack.dataset.width);
    if (near.get(stack) !== painted) return; // it is far away again
    const [across, down] = ["width", "height"].map((name) => Number(picture.getAttribute(name)));
    painted.heat = enlarge({ width, height: values.length / width, values }, across, down);
    painted.pixels = pixels;
    paint(painted.canvas, pixels, painted.heat, style());
    small.hidden = true;
    stack.append(painted.canvas);
  }
  function leave(stack) {
    near.get(stack)?.canvas.remove();
    near.delete(stack);
    stack.querySelector(".heat").hidden = false;
  }
  const watch = new IntersectionObserver((seen) => seen.forEach((one) => (one.isIntersecting ? show(one.target) : leave(one.target))), { rootMargin: "400px" });
  document.querySelectorAll(".stack").forEach((stack) => watch.observe(stack));
  choice.onchange = paintAll;
  strength.addEventListener("input", paintAll);
  paintAll();
}
