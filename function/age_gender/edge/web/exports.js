/** Results to take away, as CSV and JSON. */

/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {import("./service.js").Face} Face */
/** @typedef {import("./tracks.js").Track} Track */
/** @typedef {{name: string, answer: Answer | null, error: string}} Result of one picture */

/** The columns of the command line's CSV, then what a table without its picture needs. */
const COLUMNS = [
  ...["file", "seconds", "width", "height", "face", "x1", "y1", "x2", "y2", "confidence"],
  ...["age", "age_low", "age_high", "gender", "gender_probability", "reliable"],
  ...["reasons", "track", "model", "licence", "error"],
];
const PEOPLE_COLUMNS = [
  ...["file", "person", "first_seconds", "last_seconds", "frames", "age", "age_low", "age_high"],
  ...["gender", "gender_probability", "reliable", "reasons", "model", "licence"],
];

/**
 * The answer with the faces that are as probable as this.
 *
 * @param {Answer} answer
 * @param {number} threshold
 * @returns {Answer}
 */
export function above(answer, threshold) {
  const keep = answer.details.map((face) => face.confidence >= threshold);
  return {
    ...answer,
    confidence: threshold,
    ...(answer.faces ? { faces: answer.faces.filter((_, index) => keep[index]) } : {}),
    details: answer.details.filter((_, index) => keep[index]),
  };
}

/**
 * One row per face; a picture without faces has one row with `face` 0, a failed one its error.
 *
 * @param {Result[]} results
 */
export function picturesCsv(results) {
  return csv(COLUMNS, results.flatMap(rowsOf));
}

/**
 * @param {Result} result
 * @returns {Record<string, unknown>[]} by column
 */
function rowsOf({ name, answer, error }) {
  if (!answer) return [{ file: name, error }];
  const [width, height] = answer.image_size;
  const { attributes: model = "", licence = "" } = answer.model ?? {};
  const start = { file: name, width, height, model, licence };
  if (answer.details.length === 0) return [{ ...start, face: 0 }];
  return answer.details.map((face, index) => {
    const [x1, y1, x2, y2] = face.box;
    const { confidence } = face;
    return { ...start, face: index + 1, x1, y1, x2, y2, confidence, ...attributes(face) };
  });
}

/** @param {Result[]} results the service's answers, with the files' names */
export function picturesJson(results) {
  return json(
    results.map(({ name, answer, error }) =>
      answer ? { file: name, ...answer } : { file: name, error },
    ),
  );
}

/**
 * @param {string} name of the video
 * @param {Track[]} people
 * @param {Answer["model"] | undefined} model
 */
export function peopleCsv(name, people, model) {
  const rows = peopleRows(people).map(({ age_interval, reasons, ...person }) => ({
    file: name,
    ...person,
    age_low: age_interval[0],
    age_high: age_interval[1],
    reasons: reasons.join(" "),
    model: model?.attributes ?? "",
    licence: model?.licence ?? "",
  }));
  return csv(PEOPLE_COLUMNS, rows);
}

/**
 * @param {string} name of the video
 * @param {Track[]} people
 * @param {Answer["model"] | undefined} model
 */
export function peopleJson(name, people, model) {
  return json({ file: name, people: peopleRows(people), model });
}

/** @param {Track[]} people */
function peopleRows(people) {
  return people.map((track) => {
    const {
      age = 0,
      age_interval = [0, 0],
      gender,
      gender_probability = 0.5,
      reasons = [],
    } = track.estimate;
    return {
      person: track.number,
      first_seconds: rounded(track.first, 2),
      last_seconds: rounded(track.last, 2),
      frames: track.frames,
      age: rounded(age, 1),
      age_interval: age_interval.map((years) => rounded(years, 1)),
      gender,
      gender_probability: rounded(gender_probability, 4),
      reliable: track.reliable,
      reasons,
    };
  });
}

/** @param {Face} face */
function attributes(face) {
  return {
    age: face.age,
    age_low: face.age_interval?.[0],
    age_high: face.age_interval?.[1],
    gender: face.gender,
    gender_probability: face.gender_probability,
    reliable: face.reliable,
    reasons: (face.reasons ?? []).join(" "),
  };
}

/**
 * @param {number} value
 * @param {number} digits
 */
function rounded(value, digits) {
  return Number(value.toFixed(digits));
}

/**
 * @param {string[]} columns
 * @param {Record<string, unknown>[]} rows
 */
function csv(columns, rows) {
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  // The mark tells spreadsheets that it is UTF-8; names of files have all letters.
  return new Blob(["\ufeff", lines.map((line) => `${line.join(",")}\r\n`).join("")], {
    type: "text/csv",
  });
}

/**
 * A text that a spreadsheet would take for a formula gets an apostrophe: names of files and errors
 * come from elsewhere.
 *
 * @param {unknown} value
 */
function cell(value) {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {unknown} value */
function json(value) {
  return new Blob([JSON.stringify(value, null, 2), "\n"], { type: "application/json" });
}
