/** The marks of a face or a person: label, box, small picture, and estimate. */

import { make } from "./dom.js";
import { ageRange, gender, percent, reasons, short } from "./words.js";

/** @typedef {import("./service.js").Face} Face */

const SCALE_YEARS = 100;
const CHIP_PIXELS = 112;
/** Boxes narrower than this on the screen show only their number until they are looked at. */
const LABEL_PIXELS = 34;
/** Boxes narrower than this do not show what speaks against them. */
const REASON_PIXELS = 64;
const LABEL_HEIGHT = 28;

/**
 * The number that the list has, too, the estimate, and what speaks against it.
 *
 * @param {Face} face
 * @param {number} number
 */
export function label(face, number) {
  const [why, ...others] = reasons(face);
  const more = `${ageRange(face)} · ${percent(face.gender_probability)}`;
  return make(
    "span",
    { className: "tag" },
    make("span", { className: "tag-number" }, String(number)),
    make("span", { className: "tag-words" }, short(face)),
    ...(face.age === undefined ? [] : [make("span", { className: "more" }, ` · ${more}`)]),
    ...(why ? [make("span", { className: "why" }, why, ...others.map(extra))] : []),
  );
}

/** @param {string} reason */
function extra(reason) {
  return make("span", { className: "more" }, `, ${reason}`);
}

/**
 * Put an element over a part of the picture; in per cent, so that it scales with it by itself.
 *
 * @param {HTMLElement} element
 * @param {[number, number, number, number]} box pixels
 * @param {[number, number]} size of the picture
 */
export function placeOver(element, [x1, y1, x2, y2], [width, height]) {
  element.style.left = `${(x1 / width) * 100}%`;
  element.style.top = `${(y1 / height) * 100}%`;
  element.style.width = `${((x2 - x1) / width) * 100}%`;
  element.style.height = `${((y2 - y1) / height) * 100}%`;
}

/**
 * Keep a label inside the picture, and off a box that is too small for it.
 *
 * @param {HTMLElement} box with its label in it
 * @param {number[]} corners x1, y1, x2, y2 on the screen, from the picture's corner
 * @param {{width: number, height: number}} frame of the picture on the screen
 */
export function fitLabel(box, [x1, y1, x2, y2], frame) {
  box.classList.toggle("small", x2 - x1 < LABEL_PIXELS);
  box.classList.toggle("narrow", x2 - x1 < REASON_PIXELS);
  const tag = /** @type {HTMLElement} */ (box.firstElementChild);
  const roomAbove = y1 >= LABEL_HEIGHT;
  const roomBelow = frame.height - y2 >= LABEL_HEIGHT;
  tag.classList.toggle("below", !roomAbove && roomBelow);
  tag.classList.toggle("inside", !roomAbove && !roomBelow);
  tag.classList.toggle("from-right", (x1 + x2) / 2 > frame.width / 2);
}

/**
 * Cut a face out of a picture into a small square.
 *
 * @param {HTMLCanvasElement} chip
 * @param {CanvasImageSource} picture
 * @param {[number, number, number, number]} box pixels
 * @param {number} scale of the picture to the pixels of the box
 */
export function cutOut(chip, picture, [x1, y1, x2, y2], scale) {
  const side = Math.max(x2 - x1, y2 - y1) * 1.25;
  const left = (x1 + x2 - side) / 2;
  const top = (y1 + y2 - side) / 2;
  const context = chip.getContext("2d");
  context?.clearRect(0, 0, CHIP_PIXELS, CHIP_PIXELS);
  const [x, y, size] = [left, top, side].map((pixels) => pixels * scale);
  context?.drawImage(picture, x, y, size, size, 0, 0, CHIP_PIXELS, CHIP_PIXELS);
}

export function makeChip() {
  return /** @type {HTMLCanvasElement} */ (
    make("canvas", { width: CHIP_PIXELS, height: CHIP_PIXELS, "aria-hidden": "true" })
  );
}

/**
 * What is known about a face or a person, for a list.
 *
 * @param {Face} face
 * @param {number} number
 * @param {[string, string]} facts
 */
export function estimate(face, number, [above, below]) {
  const [low, high] = face.age_interval ?? [0, 0];
  const age = face.age ?? 0;
  const band = make("i");
  band.style.left = `${perScale(low)}%`;
  band.style.width = `${perScale(high) - perScale(low)}%`;
  const mark = make("b");
  mark.style.left = `${perScale(age)}%`;
  const why = reasons(face).join(", ");
  return [
    make("span", { className: "face-number" }, String(number)),
    make(
      "span",
      { className: "face-top" },
      make("span", { className: "face-age" }, String(Math.round(age))),
      make("span", { className: "face-range" }, ageRange(face)),
      make("span", { className: "face-facts" }, above),
    ),
    make("span", { className: "face-scale" }, band, mark),
    make(
      "span",
      { className: "face-bottom" },
      make(
        "span",
        { className: "face-gender" },
        make("strong", {}, gender(face)),
        ` ${percent(face.gender_probability)}`,
      ),
      make("span", { className: "face-facts" }, below),
    ),
    ...(face.reliable === false
      ? [
          make(
            "span",
            { className: "doubt" },
            why ? `Do not rely on it: ${why}` : "Do not rely on it",
          ),
        ]
      : []),
  ];
}

/** @param {number} years */
function perScale(years) {
  return Math.min(Math.max((years / SCALE_YEARS) * 100, 0), 100);
}
