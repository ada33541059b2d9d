/**
 * A list of any height in a scrollbar of limited height.
 *
 * Browsers cap the height of an element at some ten millions of pixels; 1.3 million pictures are higher on a telephone.
 * So the scrolled element is `CAP` pixels high at most, and a list that is higher is squeezed into it: the first and the
 * last `ZONE` pixels one to one, so that the ends are reached exactly, and what lies between by one factor. That mapping
 * holds while a scrollbar is dragged. A wheel, a finger or a key moves the list by as many pixels as it asks for; once it
 * rests, the scrollbar is put where it belongs, and the rows with it, so that nothing is seen of it.
 */

export const CAP = 4_000_000;
const ZONE = 200_000;
/** @param {number} whole how high the list is */
export const scrolledHeight = (whole) => Math.min(whole, CAP);

/**
 * Where the scrollbar stands for a place in the list.
 * @param {number} top first visible pixel of the list
 * @param {number} whole how high the list is
 */
export function toScroll(top, whole) {
  if (whole <= CAP || top <= ZONE) return top;
  if (top >= whole - ZONE) return CAP - (whole - top);
  return ZONE + ((top - ZONE) * (CAP - 2 * ZONE)) / (whole - 2 * ZONE);
}

/** The place in the list for a place of the scrollbar. @param {number} scroll @param {number} whole how high the list is */
export function toTop(scroll, whole) {
  if (whole <= CAP || scroll <= ZONE) return scroll;
  if (scroll >= CAP - ZONE) return whole - (CAP - scroll);
  return ZONE + ((scroll - ZONE) * (whole - 2 * ZONE)) / (CAP - 2 * ZONE);
}
