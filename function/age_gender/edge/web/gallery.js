/** All pictures at once, each with its faces marked, and a summary of them. */

import { drawFaces } from "./drawing.js";
import { byId, make } from "./dom.js";
import { above } from "./exports.js";
import { stateWords } from "./strip.js";
import { showSummary, summarise } from "./summary.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("./queue.js").Queue} Queue */

/** Pixels of a card's picture, which is shown somewhat smaller. */
const CARD = { width: 400, height: 300 };
const CARD_FONT = 15;

export class Gallery {
  #queue;
  #threshold;
  #open;
  /** @type {Map<Item, {card: HTMLElement, canvas: HTMLCanvasElement, drawn: string}>} */
  #cards = new Map();
  #reliableOnly = /** @type {HTMLInputElement} */ (byId("reliable-only"));

  /**
   * @param {Queue} queue
   * @param {() => number} threshold
   * @param {(item: Item) => void} open shows one picture
   */
  constructor(queue, threshold, open) {
    this.#queue = queue;
    this.#threshold = threshold;
    this.#open = open;
    this.#reliableOnly.addEventListener("change", () => this.#renderSummary());
  }

  render() {
    const { items } = this.#queue;
    for (const [item, { card }] of this.#cards) {
      if (items.includes(item)) continue;
      card.remove();
      this.#cards.delete(item);
    }
    for (const item of items) {
      if (!this.#cards.has(item)) {
        const made = this.#make(item);
        this.#cards.set(item, made);
        byId("gallery-list").append(made.card);
      }
      this.#renderCard(item);
    }
    this.#renderSummary();
  }

  /** @param {Item} item */
  #make(item) {
    const canvas = /** @type {HTMLCanvasElement} */ (make("canvas", { "aria-hidden": "true" }));
    const button = make(
      "button",
      { type: "button", className: "card" },
      canvas,
      make("span", { className: "card-name" }, item.source.name),
      make("span", { className: "card-state" }),
    );
    button.addEventListener("click", () => this.#open(item));
    return { card: make("li", {}, button), canvas, drawn: "" };
  }

  /** @param {Item} item */
  #renderCard(item) {
    const entry = this.#cards.get(item);
    if (!entry) return;
    const { card, canvas } = entry;
    const words = this.#words(item);
    const button = /** @type {HTMLElement} */ (card.firstElementChild);
    /** @type {HTMLElement} */ (button.lastElementChild).textContent = words;
    button.classList.toggle("failed", this.#queue.failure(item) !== null);
    button.setAttribute("aria-label", `${item.source.name}: ${words}`);
    const answer = this.#queue.answer(item);
    const key = `${item.preview} ${answer?.inference_time} ${answer?.details.length} ${this.#threshold()}`;
    if (entry.drawn === key || !item.thumbnail) return;
    entry.drawn = key;
    this.#draw(item, canvas);
  }

  /**
   * @param {Item} item
   * @param {HTMLCanvasElement} canvas
   */
  #draw(item, canvas) {
    const { thumbnail } = item;
    if (!thumbnail) return;
    const answer = this.#queue.answer(item);
    const scale = Math.min(CARD.width / thumbnail.width, CARD.height / thumbnail.height);
    canvas.width = Math.max(1, Math.round(thumbnail.width * scale));
    canvas.height = Math.max(1, Math.round(thumbnail.height * scale));
    const context = canvas.getContext("2d");
    context?.drawImage(thumbnail, 0, 0, canvas.width, canvas.height);
    if (!context || !answer) return;
    const { details, image_size: size } = above(answer, this.#threshold());
    const numbered = details.map((face, index) => ({ face, number: index + 1 }));
    drawFaces(context, size, numbered, CARD_FONT);
  }

  /** @param {Item} item */
  #words(item) {
    const answer = this.#queue.answer(item);
    const state = stateWords(this.#queue, item, this.#threshold());
    const failure = this.#queue.failure(item);
    if (failure) return `${state}: ${failure.title}`;
    if (!answer) return state;
    const ages = above(answer, this.#threshold()).details.map((face) => Math.round(face.age ?? 0));
    if (ages.length === 0) return state;
    const [youngest, oldest] = [Math.min(...ages), Math.max(...ages)];
    return `${state}, ${youngest === oldest ? youngest : `${youngest}–${oldest}`} years`;
  }

  #renderSummary() {
    const answers = this.#queue.items
      .map((item) => this.#queue.answer(item))
      .filter((answer) => answer !== null)
      .map((answer) => above(answer, this.#threshold()));
    const faces = answers.flatMap((answer) => answer.details);
    const doubtful = faces.filter((face) => face.reliable === false).length;
    byId("reliable-only-words").textContent = `Only the ${faces.length - doubtful} reliable ones`;
    byId("reliable-only-row").hidden = doubtful === 0;
    showSummary(byId("summary"), summarise(faces, this.#reliableOnly.checked), {
      done: answers.length,
      failed: this.#queue.items.filter((item) => this.#queue.failure(item)).length,
      without: answers.filter((answer) => answer.details.length === 0).length,
    });
  }
}
