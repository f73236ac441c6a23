/** The pictures and their answers; a few requests are in flight at a time. */

import { ServiceError } from "./service.js";

/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {import("./service.js").Source} Source */

/**
 * @typedef {object} Item
 * @property {Source} source
 * @property {string} preview object URL of the picture, empty until it is known
 * @property {HTMLCanvasElement | null} thumbnail
 * @property {Map<string, Answer>} answers by the settings they were asked with
 * @property {{key: string, error: ServiceError} | null} failure
 * @property {{key: string, controller: AbortController, note: string} | null} job
 * @property {{key: string, url: string} | null} blurred the picture with its faces blurred
 */

const WIDTH = 2;

/** Fires `change` when an item changes, and `locked` when the user must sign in. */
export class Queue extends EventTarget {
  /** @type {Item[]} */
  items = [];
  /** @type {Item | null} */
  selected = null;
  #analyse;
  #key;
  /** Whether no picture is sent until `resume`. */
  #locked = false;
  /** Until the service has let one picture in, the others are not sent in vain. */
  #proven = false;

  /**
   * @param {(item: Item, signal: AbortSignal) => Promise<Answer>} analyse
   * @param {() => string} key names the settings that an answer depends on
   */
  constructor(analyse, key) {
    super();
    this.#analyse = analyse;
    this.#key = key;
  }

  /** @param {Source[]} sources the first of them is selected */
  add(sources) {
    const added = sources.map((source) => ({ source, ...blank() }));
    this.items.push(...added);
    this.selected = added[0] ?? this.selected;
    this.run();
  }

  /** @param {Item} item */
  remove(item) {
    const at = this.items.indexOf(item);
    this.items.splice(at, 1);
    item.job?.controller.abort();
    for (const url of [item.preview, item.blurred?.url]) if (url) URL.revokeObjectURL(url);
    if (this.selected === item) this.selected = this.items[at] ?? this.items[at - 1] ?? null;
    this.run();
  }

  clear() {
    for (const item of [...this.items]) this.remove(item);
  }

  /** @param {Item} item */
  select(item) {
    this.selected = item;
    this.run();
  }

  /**
   * Use another picture in place of an item's.
   *
   * @param {Item} item
   * @param {Source} source
   */
  replace(item, source) {
    item.job?.controller.abort();
    for (const url of [item.preview, item.blurred?.url]) if (url) URL.revokeObjectURL(url);
    Object.assign(item, { ...blank(), source });
    this.run();
  }

  /** @param {Item} item */
  retry(item) {
    item.failure = null;
    this.#locked = false;
    this.run();
  }

  /** Go on with other credentials. */
  resume() {
    for (const item of this.items) if (item.failure?.error.status === 401) item.failure = null;
    this.#locked = false;
    this.#proven = false;
    this.run();
  }

  /**
   * The answer to the present settings.
   *
   * @param {Item} item
   */
  answer(item) {
    return item.answers.get(this.#key()) ?? null;
  }

  /** @param {Item} item */
  failure(item) {
    return item.failure?.key === this.#key() ? item.failure.error : null;
  }

  /** How many items have an answer or have failed. */
  get settled() {
    return this.items.filter((item) => this.answer(item) || this.failure(item)).length;
  }

  /** Start what can be started; to be called when the settings have changed, too. */
  run() {
    const key = this.#key();
    for (const item of this.items) {
      if (item.job && item.job.key !== key) {
        item.job.controller.abort();
        item.job = null;
      }
    }
    const width = this.#proven ? WIDTH : 1;
    let running = this.items.filter((item) => item.job).length;
    const inOrder = [this.selected, ...this.items].filter((item) => item !== null);
    for (const item of inOrder) {
      if (running >= width || this.#locked) break;
      if (item.job || this.answer(item) || this.failure(item)) continue;
      running += 1;
      this.#start(item, key);
    }
    this.#changed();
  }

  /**
   * Set the note of an item in flight.
   *
   * @param {Item} item
   * @param {string} note
   */
  note(item, note) {
    if (item.job) item.job.note = note;
    this.#changed();
  }

  /**
   * @param {Item} item
   * @param {string} key
   */
  async #start(item, key) {
    const controller = new AbortController();
    item.job = { key, controller, note: "" };
    try {
      item.answers.set(key, await this.#analyse(item, controller.signal));
      this.#proven = true;
    } catch (error) {
      if (controller.signal.aborted) return;
      item.failure = { key, error: asServiceError(error) };
      if (item.failure.error.status === 401) {
        this.#locked = true;
        this.dispatchEvent(new Event("locked"));
      }
    } finally {
      if (item.job?.controller === controller) item.job = null;
      if (!controller.signal.aborted) this.run();
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * Nothing is known of a picture at first.
 *
 * @returns {Omit<Item, "source">}
 */
function blank() {
  return {
    preview: "",
    thumbnail: null,
    answers: new Map(),
    failure: null,
    job: null,
    blurred: null,
  };
}

/**
 * Our own mistakes are shown, too: an item that neither fails nor succeeds would be tried for ever.
 *
 * @param {unknown} error
 */
function asServiceError(error) {
  if (error instanceof ServiceError) return error;
  console.error(error);
  return new ServiceError("Something went wrong in this page", "Reload it and try again.");
}
