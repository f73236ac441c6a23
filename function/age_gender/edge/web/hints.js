/** What to try where no face is shown. */

import { byId, make, showPart } from "./dom.js";
import { LEAST_CONFIDENCE } from "./settings.js";
import { plural } from "./words.js";

/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {import("./settings.js").Settings} Settings */

/** Neither detector finds smaller faces, pixels. */
const SMALLEST_FACE = 8;

/**
 * Show the hints, or take them away.
 *
 * @param {Answer | null} answer
 * @param {number} shown faces
 * @param {Settings} settings
 * @param {(() => void) | null} turn turns the picture by a quarter; null where that is impossible
 */
export function showHints(answer, shown, settings, turn) {
  const panel = byId("no-face");
  showPart(panel, answer !== null && shown === 0, byId("picture-name"));
  if (!answer || shown > 0) return;
  const hidden = answer.details.length;
  byId("no-face-title").textContent = hidden ? "No face is shown" : "No face found";
  byId("no-face-detail").textContent = hidden
    ? `${plural(hidden, "box", "boxes")} below the minimum confidence of ${settings.threshold.toFixed(2)}.`
    : lookedFor(answer);
  const ways = hidden
    ? [button("Show them", () => settings.setThreshold(lowest(answer)))]
    : waysToFind(answer, settings, turn);
  // The button that was pressed may go; the focus stays here.
  const focused = panel.contains(document.activeElement);
  byId("no-face-ways").replaceChildren(...ways);
  if (focused) /** @type {HTMLElement | undefined} */ (ways[0])?.focus();
}

/** @param {Answer} answer */
function lookedFor({ smallest_face: smallest }) {
  const from = smallest ? ` Faces from ${smallest} pixels up were looked for.` : "";
  return `Nothing in this picture looks enough like a face.${from} You can try:`;
}

/** @param {Answer} answer */
function lowest({ details }) {
  const least = Math.min(...details.map((face) => face.confidence));
  return Math.max(LEAST_CONFIDENCE, Math.floor(least * 100) / 100);
}

/**
 * @param {Answer} answer
 * @param {Settings} settings
 * @param {(() => void) | null} turn
 */
function waysToFind({ smallest_face: smallest = SMALLEST_FACE }, settings, turn) {
  const ways = [];
  if (settings.detector === "fast") {
    ways.push(button("The accurate detector", () => settings.useAccurate()));
  }
  const smaller = Math.max(SMALLEST_FACE, Math.floor(smallest / 2));
  if (smaller < smallest) {
    ways.push(button(`Smaller faces, from ${smaller} pixels`, () => settings.setMinFace(smaller)));
  }
  if (turn) ways.push(button("Turn the picture", turn));
  return ways;
}

/**
 * @param {string} text
 * @param {() => void} action
 */
function button(text, action) {
  const element = make("button", { type: "button", className: "button" }, text);
  element.addEventListener("click", action);
  return element;
}
