/** Shows the faces of one picture twice: as boxes over it, and as a list next to it. */

import { make } from "./dom.js";
import { cutOut, estimate, fitLabel, label, makeChip, placeOver } from "./marks.js";
import { confidence, sentence } from "./words.js";

/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {import("./service.js").Face} Face */

export class Faces {
  #overlay;
  #list;
  /** @type {Answer | null} */
  #answer = null;
  /** @type {{face: Face, box: HTMLElement, row: HTMLElement, chip: HTMLCanvasElement}[]} */
  #entries = [];
  /** @type {number | null} */
  #picked = null;

  /**
   * @param {HTMLElement} overlay exactly over the picture
   * @param {HTMLElement} list
   */
  constructor(overlay, list) {
    this.#overlay = overlay;
    this.#list = list;
    overlay.addEventListener("keydown", (event) => this.#moveFocus(event));
    new ResizeObserver(() => this.#fitLabels()).observe(overlay);
  }

  /**
   * Show the faces of an answer, or none.
   *
   * @param {Answer | null} answer
   */
  show(answer) {
    if (answer === this.#answer) return;
    this.#answer = answer;
    this.#picked = null;
    this.#entries = (answer?.details ?? []).map((face, index) => this.#entry(face, index));
    this.#overlay.replaceChildren(...this.#entries.map((entry) => entry.box));
    this.#list.replaceChildren(...this.#entries.map((entry) => make("li", {}, entry.row)));
    this.#fitLabels();
  }

  /**
   * Hide the faces that the detector was less sure of.
   *
   * @param {number} threshold
   * @returns {number} how many are left
   */
  filter(threshold) {
    let shown = 0;
    for (const { face, box, row } of this.#entries) {
      const visible = face.confidence >= threshold;
      shown += Number(visible);
      box.hidden = !visible;
      /** @type {HTMLElement} */ (row.parentElement).hidden = !visible;
    }
    this.#chooseTabStop();
    return shown;
  }

  /**
   * Cut each face out of the picture as it is shown, for the list.
   *
   * @param {HTMLImageElement} picture decoded
   */
  drawChips(picture) {
    if (!this.#answer) return;
    const scale = picture.naturalWidth / this.#answer.image_size[0];
    for (const { face, chip } of this.#entries) cutOut(chip, picture, face.box, scale);
  }

  /** Take the mark from the picked face. */
  unpick() {
    this.#pick(null);
  }

  /**
   * @param {Face} face
   * @param {number} index
   */
  #entry(face, index) {
    const chip = makeChip();
    const entry = { face, chip, box: this.#box(face, index), row: row(face, index, chip) };
    for (const element of [entry.box, entry.row]) {
      element.addEventListener("pointerenter", () => this.#heat(index, true));
      element.addEventListener("pointerleave", () => this.#heat(index, false));
      element.addEventListener("focus", () => this.#heat(index, true));
      element.addEventListener("blur", () => this.#heat(index, false));
    }
    entry.box.addEventListener("click", () => {
      this.#pick(this.#picked === index ? null : index);
      // On a narrow screen the list is far below; jumping there would lose the picture.
      if (matchMedia("(min-width: 861px)").matches) reveal(entry.row);
    });
    entry.row.addEventListener("click", () => {
      this.#pick(this.#picked === index ? null : index);
      reveal(entry.box);
    });
    return entry;
  }

  /**
   * @param {Face} face
   * @param {number} index
   */
  #box(face, index) {
    const box = make(
      "button",
      {
        type: "button",
        className: "box",
        tabIndex: -1,
        "aria-label": `Face ${index + 1}: ${sentence(face)}`,
        "aria-pressed": "false",
      },
      label(face, index + 1),
    );
    box.classList.toggle("doubtful", face.reliable === false);
    placeOver(box, face.box, /** @type {Answer} */ (this.#answer).image_size);
    return box;
  }

  /** Keep labels inside the picture, and off boxes that are too small for them. */
  #fitLabels() {
    const frame = this.#overlay.getBoundingClientRect();
    if (!frame.width || !this.#answer) return;
    const scale = frame.width / this.#answer.image_size[0];
    for (const { face, box } of this.#entries) {
      fitLabel(
        box,
        face.box.map((pixels) => pixels * scale),
        frame,
      );
    }
  }

  /**
   * @param {number} index
   * @param {boolean} hot
   */
  #heat(index, hot) {
    const { box, row } = this.#entries[index];
    box.classList.toggle("hot", hot);
    row.classList.toggle("hot", hot);
  }

  /** @param {number | null} index */
  #pick(index) {
    this.#picked = index;
    this.#entries.forEach(({ box, row }, at) => {
      box.classList.toggle("picked", at === index);
      for (const element of [box, row]) element.setAttribute("aria-pressed", String(at === index));
    });
    this.#chooseTabStop();
  }

  /** One stop for the Tab key over the picture, arrows from face to face. */
  #chooseTabStop() {
    const boxes = this.#visibleBoxes();
    const stop = this.#picked === null ? boxes[0] : this.#entries[this.#picked].box;
    for (const box of boxes) box.tabIndex = box === stop ? 0 : -1;
  }

  #visibleBoxes() {
    return this.#entries.map((entry) => entry.box).filter((box) => !box.hidden);
  }

  /** @param {KeyboardEvent} event */
  #moveFocus(event) {
    const boxes = this.#visibleBoxes();
    const at = boxes.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: boxes.length - 1,
    }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = boxes[(to + boxes.length) % boxes.length];
    for (const box of boxes) box.tabIndex = box === next ? 0 : -1;
    next.focus();
  }
}

/**
 * @param {Face} face
 * @param {number} index
 * @param {HTMLCanvasElement} chip
 */
function row(face, index, chip) {
  const size = face.quality ? `${Math.round(face.quality.size)} px` : "";
  return make(
    "button",
    {
      type: "button",
      className: "face",
      "aria-pressed": "false",
      "aria-label": `Face ${index + 1}: ${sentence(face)}. Show in the picture`,
    },
    chip,
    ...estimate(face, index + 1, [`confidence ${confidence(face)}`, size]),
  );
}

/** @param {HTMLElement} element */
function reveal(element) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}
