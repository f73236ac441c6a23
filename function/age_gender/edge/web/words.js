/** A face in words: the same ones in the list, on the picture, aloud and in tables. */

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

/**
 * One face in words.
 *
 * @param {Face} face
 */
export function sentence(face) {
  if (face.age === undefined) return `detected with confidence ${confidence(face)}`;
  const words = [
    `about ${Math.round(face.age)} years, probably ${ageRange(face, " to ")}`,
    `${gender(face).toLowerCase()}, ${percent(face.gender_probability)}`,
  ];
  if (face.reliable === false) {
    const why = reasons(face).join(", ");
    words.push(why ? `not reliable: ${why}` : "not reliable");
  }
  return words.join("; ");
}

/**
 * Why a face is not reliable; empty for an answer without reasons.
 *
 * @param {Face} face
 */
export function reasons(face) {
  return (face.reasons ?? []).map(reasonWords);
}

/** @param {string} reason as the service names it */
export function reasonWords(reason) {
  return REASONS[reason] ?? reason;
}

/**
 * What fits on a box: `40 F`, or the confidence where no age was asked for.
 *
 * @param {Face} face
 */
export function short(face) {
  if (face.age === undefined) return confidence(face);
  return `${Math.round(face.age)} ${face.gender}${face.reliable === false ? " ?" : ""}`;
}

/**
 * @param {Face} face
 * @param {string} [between]
 */
export function ageRange(face, between = "–") {
  return (face.age_interval ?? []).map((years) => Math.round(years)).join(between);
}

/** @param {{gender?: "M" | "F"}} face */
export function gender(face) {
  return GENDERS[face.gender ?? "F"];
}

/**
 * A probability in per cent. No estimate is certain, so none is called 100 %.
 *
 * @param {number} [probability]
 */
export function percent(probability = 0) {
  const rounded = Math.round(probability * 100);
  return rounded >= 100 ? "99 % and more" : `${rounded} %`;
}

/**
 * Rounded down, for the same reason.
 *
 * @param {Face} face
 */
export function confidence(face) {
  return Math.min(Math.floor(face.confidence * 100) / 100, 0.99).toFixed(2);
}

/**
 * @param {number} count
 * @param {string} noun
 * @param {string} [nouns] where an s is not enough
 */
export function plural(count, noun, nouns = `${noun}s`) {
  return `${count} ${count === 1 ? noun : nouns}`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/**
 * Seconds as `1:05`.
 *
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
