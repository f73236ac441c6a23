/** Copies of the picture: blurred by the service, and drawn here for the download. */

import { decoded, drawnCopy } from "./drawing.js";
import { byId, debounced, save } from "./dom.js";
import { above } from "./exports.js";
import { ServiceError } from "./service.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("./queue.js").Queue} Queue */
/** @typedef {import("./settings.js").Settings} Settings */

/** Fires `change` when a copy is there or has failed. */
export class Copies extends EventTarget {
  #queue;
  #settings;
  #blur;
  #button = /** @type {HTMLButtonElement} */ (byId("download"));
  /**
   * Why the copy of a picture could not be made.
   *
   * @type {{item: Item, error: ServiceError} | null}
   */
  #failure = null;
  /**
   * The blurred copy that is on its way.
   *
   * @type {{item: Item, key: string} | null}
   */
  #pending = null;
  #request = debounced(() => this.#fetchBlurred(), 250);

  /**
   * @param {Queue} queue
   * @param {Settings} settings
   * @param {(item: Item) => Promise<Blob>} blur returns the picture with its faces blurred
   */
  constructor(queue, settings, blur) {
    super();
    this.#queue = queue;
    this.#settings = settings;
    this.#blur = blur;
    this.#button.addEventListener("click", () => this.#download());
    this.nameButton();
  }

  /**
   * The address of the picture as it is to be shown; empty while it is being made.
   *
   * @param {Item} item
   */
  urlOf(item) {
    if (!this.#settings.blur) return item.preview;
    if (item.blurred?.key === this.#key) return item.blurred.url;
    if (this.#queue.answer(item) && this.#failure?.item !== item) this.#request();
    return "";
  }

  /** @param {Item} item */
  failure(item) {
    return this.#failure?.item === item ? this.#failure.error : null;
  }

  /** Forget the failure: what caused it has changed. */
  forget() {
    this.#failure = null;
  }

  /** Say on the button what is downloaded. */
  nameButton() {
    const { blur, boxes } = this.#settings;
    this.#button.textContent = `Download${blur ? " blurred" : ""}${boxes ? " with boxes" : ""}`;
  }

  /** @param {Item} item */
  nameOf(item) {
    const { blur, boxes } = this.#settings;
    const stem = item.source.name.replace(/\.\w+$/, "");
    return `${stem}${boxes ? "-faces" : ""}${blur ? "-blurred" : ""}.jpg`;
  }

  get #key() {
    return `${this.#settings.key} ${this.#settings.threshold}`;
  }

  async #fetchBlurred() {
    const item = this.#queue.selected;
    const key = this.#key;
    if (!item || !this.#settings.blur || item.blurred?.key === key) return;
    if (this.#pending?.item === item && this.#pending.key === key) return;
    this.#pending = { item, key };
    this.#failure = null;
    try {
      const blob = await this.#blur(item);
      if (this.#queue.items.includes(item)) {
        if (item.blurred) URL.revokeObjectURL(item.blurred.url);
        item.blurred = { key, url: URL.createObjectURL(blob) };
      }
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.#failure = { item, error };
    } finally {
      this.#pending = null;
      this.dispatchEvent(new Event("change"));
    }
  }

  async #download() {
    const item = this.#queue.selected;
    const answer = item && this.#queue.answer(item);
    const url = item && this.urlOf(item);
    if (!item || !answer || !url) return;
    const name = this.nameOf(item);
    const picture = await decoded(url);
    const faces = above(answer, this.#settings.threshold).details;
    const drawn = this.#settings.boxes ? faces : [];
    const blob = await drawnCopy(
      picture,
      answer.image_size,
      drawn.map((face, index) => ({ face, number: index + 1 })),
    );
    if (blob) save(blob, name);
  }
}
