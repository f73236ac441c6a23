/** What the faces of several pictures have in common: ages, genders, doubts. */

import { make } from "./dom.js";
import { median } from "./tracks.js";
import { plural, reasonWords } from "./words.js";

/** @typedef {import("./service.js").Face} Face */

const BAND_YEARS = 10;
const BANDS = 10;
/** Probability that the true count lies in the range that is shown. */
const COVERAGE = 0.8;

/**
 * @typedef {object} Summary
 * @property {number} faces
 * @property {number} counted those behind the figures: the reliable ones, or all
 * @property {{label: string, count: number}[]} bands of age
 * @property {number | null} median years
 * @property {{female: Count, male: Count} | null} genders
 * @property {[string, number][]} reasons why faces are not reliable, most frequent first
 *
 * @typedef {{expected: number, low: number, high: number}} Count
 */

/**
 * @param {Face[]} faces with ages
 * @param {boolean} reliableOnly
 * @returns {Summary}
 */
export function summarise(faces, reliableOnly) {
  const counted = reliableOnly ? faces.filter((face) => face.reliable !== false) : faces;
  const bands = Array.from({ length: BANDS }, (_, band) => ({
    label: band === BANDS - 1 ? `${band * BAND_YEARS}+` : `${band * BAND_YEARS}`,
    count: 0,
  }));
  for (const face of counted) {
    const band = Math.floor((face.age ?? 0) / BAND_YEARS);
    bands[Math.min(Math.max(band, 0), BANDS - 1)].count += 1;
  }
  /** @type {Map<string, number>} */
  const reasons = new Map();
  for (const reason of faces.flatMap((face) => face.reasons ?? [])) {
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  return {
    faces: faces.length,
    counted: counted.length,
    bands,
    median: counted.length ? median(counted.map((face) => face.age ?? 0)) : null,
    genders: counted.length
      ? { female: countOf(counted.map(female)), male: countOf(counted.map((f) => 1 - female(f))) }
      : null,
    reasons: [...reasons].sort(([, one], [, other]) => other - one),
  };
}

/** @param {Face} face */
function female(face) {
  const probability = face.gender_probability ?? 0.5;
  return face.gender === "F" ? probability : 1 - probability;
}

/**
 * How many of events with these probabilities happen: the mean, and the range between the 10 % and
 * the 90 % quantile of the Poisson binomial distribution.
 *
 * @param {number[]} probabilities
 * @returns {Count}
 */
function countOf(probabilities) {
  let distribution = [1];
  for (const p of probabilities) {
    const next = new Array(distribution.length + 1).fill(0);
    distribution.forEach((mass, count) => {
      next[count] += mass * (1 - p);
      next[count + 1] += mass * p;
    });
    distribution = next;
  }
  const tail = (1 - COVERAGE) / 2;
  let below = 0;
  let [low, high] = [-1, -1];
  distribution.forEach((mass, count) => {
    below += mass;
    if (low < 0 && below > tail) low = count;
    if (high < 0 && below >= 1 - tail) high = count;
  });
  return { expected: probabilities.reduce((sum, p) => sum + p, 0), low, high };
}

/**
 * Show a summary.
 *
 * @param {HTMLElement} place
 * @param {Summary} summary
 * @param {{done: number, failed: number, without: number}} pictures
 */
export function showSummary(place, summary, { done, failed, without }) {
  const facts = [
    ["Pictures", `${done}${failed ? `, ${failed} failed` : ""}`],
    ["Without a face", String(without)],
    ["Faces", String(summary.faces)],
  ];
  if (summary.median !== null) facts.push(["Median age", `${Math.round(summary.median)} years`]);
  if (summary.genders) {
    facts.push(["Female", countWords(summary.genders.female)]);
    facts.push(["Male", countWords(summary.genders.male)]);
  }
  const doubtful = summary.reasons.map(([reason, count]) => `${reasonWords(reason)} ${count}`);
  place.replaceChildren(
    make(
      "dl",
      { className: "figures" },
      ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    ),
    ...(summary.counted ? [histogram(summary)] : []),
    ...(doubtful.length
      ? [make("p", { className: "doubt" }, `Not reliable because: ${doubtful.join(" · ")}`)]
      : []),
  );
}

/** @param {Count} count */
function countWords({ expected, low, high }) {
  const about = Math.round(expected);
  return low === high ? String(about) : `about ${about}, probably ${low} to ${high}`;
}

/** @param {Summary} summary */
function histogram({ bands, counted }) {
  const tallest = Math.max(...bands.map(({ count }) => count));
  const columns = bands.map(({ label, count }) => {
    const bar = make("span", { className: "bar" });
    bar.style.height = `${(count / tallest) * 100}%`;
    return make(
      "li",
      { "aria-label": `${bandWords(label)}: ${plural(count, "face")}` },
      make("span", { className: "bar-room" }, ...(count ? [String(count)] : []), bar),
      make("span", { className: "bar-label" }, label),
    );
  });
  return make(
    "figure",
    { className: "histogram" },
    make("ul", {}, ...columns),
    make("figcaption", { className: "hint" }, `Ages in years, ${plural(counted, "face")}`),
  );
}

/** @param {string} label */
function bandWords(label) {
  return label.endsWith("+")
    ? `${label.slice(0, -1)} years and more`
    : `${label} to ${Number(label) + BAND_YEARS - 1} years`;
}
