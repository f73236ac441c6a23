/** The small pictures under the large one. */

import { byId, make } from "./dom.js";
import { plural } from "./words.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("./queue.js").Queue} Queue */

/** Pixels around a thumbnail for the mark of the selected one. */
const MARGIN = 4;

export class Strip {
  #queue;
  #threshold;
  /** @type {Map<Item, HTMLElement>} */
  #thumbs = new Map();
  /**
   * Whose thumbnail was brought into view last; where people scroll from there is theirs.
   *
   * @type {Item | null}
   */
  #revealed = null;

  /**
   * @param {Queue} queue
   * @param {() => number} threshold
   */
  constructor(queue, threshold) {
    this.#queue = queue;
    this.#threshold = threshold;
  }

  render() {
    const { items, selected } = this.#queue;
    for (const [item, element] of this.#thumbs) {
      if (items.includes(item)) continue;
      element.remove();
      this.#thumbs.delete(item);
    }
    for (const item of items) {
      if (!this.#thumbs.has(item)) {
        const thumb = this.#make(item);
        this.#thumbs.set(item, thumb);
        byId("queue-list").append(thumb);
      }
      this.#renderThumb(item);
    }
    byId("queue").hidden = items.length < 2;
    if (selected && selected !== this.#revealed) this.#reveal(selected);
    this.#revealed = selected;
  }

  /** @param {Item} item */
  #make(item) {
    const button = make(
      "button",
      { type: "button", className: "thumb", title: item.source.name },
      make("span", { className: "thumb-picture" }),
      make("span", { className: "thumb-status" }),
    );
    button.addEventListener("click", () => this.#queue.select(item));
    return make("li", {}, button);
  }

  /** @param {Item} item */
  #renderThumb(item) {
    const button = /** @type {HTMLElement} */ (this.#thumbs.get(item)?.firstElementChild);
    const [place, words] = /** @type {Iterable<HTMLElement>} */ (button.children);
    const failed = this.#queue.failure(item) !== null;
    const state = stateWords(this.#queue, item, this.#threshold());
    if (!item.thumbnail) place.textContent = failed ? item.source.name : "…";
    else if (place.firstChild !== item.thumbnail) place.replaceChildren(item.thumbnail);
    place.classList.toggle("named", failed && !item.thumbnail);
    words.textContent = state;
    button.classList.toggle("failed", failed);
    button.setAttribute("aria-label", `${item.source.name}: ${state}`);
    button.setAttribute("aria-current", String(item === this.#queue.selected));
  }

  /**
   * Bring a thumbnail into view, without moving the page.
   *
   * @param {Item} item
   */
  #reveal(item) {
    const list = byId("queue-list");
    const place = /** @type {HTMLElement} */ (this.#thumbs.get(item));
    const start = place.offsetLeft - MARGIN;
    const end = place.offsetLeft + place.offsetWidth + MARGIN;
    if (start < list.scrollLeft) list.scrollLeft = start;
    else if (end > list.scrollLeft + list.clientWidth) list.scrollLeft = end - list.clientWidth;
  }
}

/**
 * @param {Queue} queue
 * @param {Item} item
 * @param {number} threshold
 */
export function stateWords(queue, item, threshold) {
  const answer = queue.answer(item);
  if (answer) {
    return plural(answer.details.filter((face) => face.confidence >= threshold).length, "face");
  }
  if (queue.failure(item)) return "failed";
  return item.job ? "working…" : "waiting";
}
