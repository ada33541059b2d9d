/**
 * Heat maps arrive as bytes and are painted over their picture here, so that opacity, threshold and colours answer at
 * once. The arithmetic is that of `classlens cam`: opacity * colour + (1 - opacity) * picture, rounded half to even.
 */

/**
 * How maps are looked at: a colour is 256 times red, green, blue; what is cooler than `threshold` (0 to 1) is not coloured.
 * @typedef {{table: Uint8Array, opacity: number, threshold: number}} Style
 * @typedef {{width: number, height: number, values: Uint8Array}} Heat
 */

/** The pixels of a picture, RGBA. @param {string} address */
export async function readPixels(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const { naturalWidth: width, naturalHeight: height } = picture, context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) throw new Error("no canvas");
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

/** @param {HTMLCanvasElement} canvas @param {Uint8ClampedArray} pixels of the picture, RGBA @param {Heat} heat @param {Style} style */
export function paint(canvas, pixels, { width, height, values }, { table, opacity, threshold }) {
  const painted = new ImageData(width, height), out = painted.data, least = 255 * threshold;
  for (let k = 0; k < values.length; k++) {
    const value = values[k], strength = value < least ? 0 : opacity;
    for (let channel = 0; channel < 3; channel++) {
      // Math.fround: the command mixes in float32. A clamped array rounds as numpy does.
      out[4 * k + channel] = Math.fround(strength * table[3 * value + channel]) + Math.fround((1 - strength) * pixels[4 * k + channel]);
    }
    out[4 * k + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(painted, 0, 0);
}

/** A map of few values as large as its picture: on straight lines between the middles of its cells, as `classlens cam` does it.
 * @param {Heat} heat @param {number} width @param {number} height @returns {Heat} */
export function enlarge(heat, width, height) {
  const values = new Uint8Array(width * height);
  const cells = (/** @type {number} */ many, /** @type {number} */ few) => Array.from({ length: many }, (_, k) => {
    const at = Math.min(Math.max(((k + 0.5) * few) / many - 0.5, 0), few - 1), first = Math.min(Math.floor(at), Math.max(few - 2, 0));
    return { first, next: Math.min(first + 1, few - 1), share: at - first };
  });
  const columns = cells(width, heat.width);
  cells(height, heat.height).forEach((row, y) => columns.forEach((column, x) => {
    const [above, below] = [row.first, row.next].map((one) => {
      const left = heat.values[one * heat.width + column.first];
      return left + column.share * (heat.values[one * heat.width + column.next] - left);
    });
    values[y * width + x] = Math.round(above + row.share * (below - above));
  }));
  return { width, height, values };
}

/** A place (row, column) in a map as a key of text.js: thirds across and down, as people say it.
 * @param {[number, number]} place @param {{width: number, height: number}} size */
export function placeKey([y, x], { width, height }) {
  const third = (/** @type {number} */ share) => Math.min(2, Math.floor(share * 3));
  return `look.place_${["top", "middle", "bottom"][third((y + 0.5) / height)]}_${["left", "centre", "right"][third((x + 0.5) / width)]}`;
}
