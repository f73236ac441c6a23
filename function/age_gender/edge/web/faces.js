/** Shows the faces of one picture twice: as boxes over it, and as a list next to it. */

import { make } from "./dom.js";

/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {import("./service.js").Face} Face */

const GENDERS = { F: "Female", M: "Male" };
/** @type {Record<string, string>} */
const REASONS = {
  "not-a-face": "perhaps not a face",
  turned: "turned away",
  blurred: "blurred",
  dark: "too dark",
  overexposed: "overexposed",
  small: "too small",
  "cut-off": "partly outside the picture",
  covered: "partly covered",
  "age-uncertain": "age uncertain",
  "gender-uncertain": "gender uncertain",
};
const SCALE_YEARS = 100;
const CHIP_PIXELS = 112;
/** Boxes narrower than this on the screen show their label only while they are looked at. */
const LABEL_PIXELS = 34;

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
    for (const { face, chip } of this.#entries) {
      const [x1, y1, x2, y2] = face.box;
      const side = Math.max(x2 - x1, y2 - y1) * 1.25;
      const left = (x1 + x2 - side) / 2;
      const top = (y1 + y2 - side) / 2;
      const context = chip.getContext("2d");
      context?.clearRect(0, 0, CHIP_PIXELS, CHIP_PIXELS);
      const [x, y, size] = [left, top, side].map((pixels) => pixels * scale);
      context?.drawImage(picture, x, y, size, size, 0, 0, CHIP_PIXELS, CHIP_PIXELS);
    }
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
    const chip = /** @type {HTMLCanvasElement} */ (
      make("canvas", { width: CHIP_PIXELS, height: CHIP_PIXELS, "aria-hidden": "true" })
    );
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
    const [width, height] = /** @type {Answer} */ (this.#answer).image_size;
    const [x1, y1, x2, y2] = face.box;
    const tag = make("span", { className: "tag" }, ...label(face));
    const box = make(
      "button",
      {
        type: "button",
        className: "box",
        tabIndex: -1,
        "aria-label": `Face ${index + 1}: ${sentence(face)}`,
        "aria-pressed": "false",
      },
      tag,
    );
    box.classList.toggle("doubtful", face.reliable === false);
    // Per cent of the picture, so that the boxes scale with it by themselves.
    box.style.left = `${(x1 / width) * 100}%`;
    box.style.top = `${(y1 / height) * 100}%`;
    box.style.width = `${((x2 - x1) / width) * 100}%`;
    box.style.height = `${((y2 - y1) / height) * 100}%`;
    return box;
  }

  /** Keep labels inside the picture, and off boxes that are too small for them. */
  #fitLabels() {
    const frame = this.#overlay.getBoundingClientRect();
    if (!frame.width || !this.#answer) return;
    const scale = frame.width / this.#answer.image_size[0];
    for (const { face, box } of this.#entries) {
      const [x1, y1, x2, y2] = face.box.map((pixels) => pixels * scale);
      box.classList.toggle("small", x2 - x1 < LABEL_PIXELS);
      const tag = /** @type {HTMLElement} */ (box.firstElementChild);
      const roomAbove = y1 >= 28;
      const roomBelow = frame.height - y2 >= 28;
      tag.classList.toggle("below", !roomAbove && roomBelow);
      tag.classList.toggle("inside", !roomAbove && !roomBelow);
      tag.classList.toggle("from-right", (x1 + x2) / 2 > frame.width / 2);
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
 * One face in words.
 *
 * @param {Face} face
 */
export function sentence(face) {
  if (face.age === undefined) return `detected with confidence ${face.confidence.toFixed(2)}`;
  const words = [
    `about ${Math.round(face.age)} years, probably ${range(face, " to ")}`,
    `${gender(face).toLowerCase()}, ${percent(face)}`,
  ];
  if (face.reliable === false) words.push(["not reliable", ...reasons(face)].join(": "));
  return words.join("; ");
}

/**
 * Why a face is not reliable: one text, or none for an answer without reasons.
 *
 * @param {Face} face
 */
function reasons(face) {
  const words = (face.reasons ?? []).map((reason) => REASONS[reason] ?? reason);
  return words.length ? [words.join(", ")] : [];
}

/** @param {Face} face */
function label(face) {
  if (face.age === undefined) return [face.confidence.toFixed(2)];
  const doubt = face.reliable === false ? "? " : "";
  return [
    `${doubt}${Math.round(face.age)} ${face.gender}`,
    make("span", { className: "more" }, ` · ${range(face)} · ${percent(face)}`),
  ];
}

/**
 * @param {Face} face
 * @param {number} index
 * @param {HTMLCanvasElement} chip
 */
function row(face, index, chip) {
  const [low, high] = face.age_interval ?? [0, 0];
  const age = face.age ?? 0;
  const band = make("i");
  band.style.left = `${perScale(low)}%`;
  band.style.width = `${perScale(high) - perScale(low)}%`;
  const mark = make("b");
  mark.style.left = `${perScale(age)}%`;
  const facts = [`face ${index + 1}`, `confidence ${face.confidence.toFixed(2)}`];
  if (face.quality) facts.push(`${Math.round(face.quality.size)} px`);
  const button = make(
    "button",
    {
      type: "button",
      className: "face",
      "aria-pressed": "false",
      "aria-label": `Face ${index + 1}: ${sentence(face)}. Show in the picture`,
    },
    chip,
    make(
      "span",
      { className: "face-top" },
      make("span", { className: "face-age" }, String(Math.round(age))),
      make("span", { className: "face-range" }, range(face)),
      make("span", { className: "face-gender" }, `${gender(face)} ${percent(face)}`),
    ),
    make("span", { className: "face-scale" }, band, mark),
    make("span", { className: "face-facts" }, facts.join(" · ")),
  );
  if (face.reliable === false) {
    button.append(
      make("span", { className: "doubt" }, ["Do not rely on it", ...reasons(face)].join(": ")),
    );
  }
  return button;
}

/** @param {number} years */
function perScale(years) {
  return Math.min(Math.max((years / SCALE_YEARS) * 100, 0), 100);
}

/**
 * @param {Face} face
 * @param {string} [between]
 */
function range(face, between = "–") {
  return (face.age_interval ?? []).map((years) => Math.round(years)).join(between);
}

/** @param {Face} face */
function gender(face) {
  return GENDERS[face.gender ?? "F"];
}

/** @param {Face} face */
function percent(face) {
  return `${Math.round((face.gender_probability ?? 0) * 100)} %`;
}

/** @param {HTMLElement} element */
function reveal(element) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}
