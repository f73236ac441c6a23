/** What visitors choose: how faces are found, and what is shown of them. */

import { byId, tellProblem } from "./dom.js";

/**
 * Faces are asked for from here up and filtered in the page, so that the threshold acts at once.
 * Greedy suppression of overlapping boxes never lets a lesser box displace a better one, so the
 * faces left are those that the service would have returned for the higher threshold.
 */
export const LEAST_CONFIDENCE = 0.2;

/**
 * Fires `search` when other faces may be found, `threshold` when others are shown, and `drawing`
 * when boxes or blur are switched.
 */
export class Settings extends EventTarget {
  #threshold = /** @type {HTMLInputElement} */ (byId("threshold"));
  #minFace = /** @type {HTMLInputElement} */ (byId("min-face"));
  #boxes = /** @type {HTMLInputElement} */ (byId("boxes"));
  #blur = /** @type {HTMLInputElement} */ (byId("blur"));

  constructor() {
    super();
    for (const input of document.querySelectorAll('input[name="detector"]')) {
      input.addEventListener("change", () => this.#fire("search"));
    }
    this.#minFace.addEventListener("change", () => {
      const problem = this.#minFace.validity.valid ? "" : "Give a whole number from 1 to 100000.";
      tellProblem(byId("min-face-problem"), problem, this.#minFace);
      this.#fire("search");
    });
    this.#threshold.addEventListener("input", () => {
      byId("threshold-value").textContent = this.threshold.toFixed(2);
      this.#fire("threshold");
    });
    for (const input of [this.#boxes, this.#blur]) {
      input.addEventListener("change", () => this.#fire("drawing"));
    }
  }

  get detector() {
    return radio("detector");
  }

  /** Side of the smallest face to look for, pixels; empty for the service's own choice. */
  get minFace() {
    return this.#minFace.validity.valid ? this.#minFace.value : "";
  }

  get threshold() {
    return Number(this.#threshold.value);
  }

  get boxes() {
    return this.#boxes.checked;
  }

  get blur() {
    return this.#blur.checked;
  }

  /** The fields of a request that say which faces are found. */
  get fields() {
    const side = this.minFace;
    return { face_detector: this.detector, ...(side ? { min_face: Number(side) } : {}) };
  }

  /** Names what the answers depend on. */
  get key() {
    return `${this.detector} ${this.minFace}`;
  }

  useAccurate() {
    const input = document.querySelector('input[name="detector"][value="accurate"]');
    /** @type {HTMLInputElement} */ (input).click();
  }

  /** @param {number} pixels */
  setMinFace(pixels) {
    this.#minFace.value = String(pixels);
    this.#minFace.dispatchEvent(new Event("change"));
  }

  /** @param {number} value */
  setThreshold(value) {
    this.#threshold.value = String(value);
    this.#threshold.dispatchEvent(new Event("input"));
  }

  /** @param {string} name */
  #fire(name) {
    this.dispatchEvent(new Event(name));
  }
}

/**
 * The chosen one of a group of radio buttons.
 *
 * @param {string} name
 */
export function radio(name) {
  const input = document.querySelector(`input[name="${name}"]:checked`);
  return /** @type {HTMLInputElement} */ (input).value;
}
