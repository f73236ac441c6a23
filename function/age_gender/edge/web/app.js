/** The demo page. Nothing outlives the tab. */

import { Account } from "./account.js";
import { setUpCamera } from "./camera.js";
import { Copies } from "./copies.js";
import { byId, save, showPart } from "./dom.js";
import { decoded, turnedCopy } from "./drawing.js";
import { above, peopleCsv, peopleJson, picturesCsv, picturesJson } from "./exports.js";
import { Faces } from "./faces.js";
import { Gallery } from "./gallery.js";
import { showHints } from "./hints.js";
import { setUpIntake } from "./intake.js";
import { Live } from "./live.js";
import { showModel } from "./model.js";
import { Queue } from "./queue.js";
import { MOST_BYTES, ServiceError, pictureOf, predict } from "./service.js";
import { LEAST_CONFIDENCE, Settings, radio } from "./settings.js";
import { curl, python } from "./snippets.js";
import { Strip } from "./strip.js";
import { duration, plural } from "./words.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {"one" | "all" | "live"} View */

/** Enough for the gallery, pixels. */
const THUMBNAIL_HEIGHT = 300;

const picture = /** @type {HTMLImageElement} */ (byId("picture"));
const frame = byId("frame");

const account = new Account();
const settings = new Settings();
const faces = new Faces(byId("overlay"), byId("faces"));
const queue = new Queue(analyse, () => settings.key);
const copies = new Copies(queue, settings, blurredCopy);
const strip = new Strip(queue, () => settings.threshold);
const gallery = new Gallery(queue, () => settings.threshold, open);
const live = new Live(predictFrame);
/** @type {View} */
let view = "one";

// Requests to the service

/**
 * @param {Item} item
 * @param {AbortSignal} signal
 */
async function analyse(item, signal) {
  if ("file" in item.source && !item.preview && item.source.file.size <= MOST_BYTES) {
    await usePreview(item, item.source.file);
  }
  const answer = await predict(
    item.source,
    {
      ...settings.fields,
      confidence: LEAST_CONFIDENCE,
      draw: false,
      // The browser has no copy of pictures by address, and cannot show some formats.
      return_image: !item.preview,
    },
    requestOptions(item, signal),
  );
  if (answer.image) await usePreview(item, pictureOf(answer));
  delete answer.image;
  return answer;
}

/** @param {Item} item */
async function blurredCopy(item) {
  const fields = {
    ...settings.fields,
    confidence: settings.threshold,
    draw: false,
    blur: true,
    get_attributes: false,
  };
  const options = requestOptions(item, new AbortController().signal);
  return pictureOf(await predict(item.source, fields, options));
}

/**
 * @param {Blob} file
 * @param {AbortSignal} signal
 */
async function predictFrame(file, signal) {
  for (;;) {
    try {
      return await predict(
        { file, name: "frame.jpg" },
        { ...settings.fields, confidence: settings.threshold, return_image: false },
        { authorization: account.authorization, signal, onWait: () => {} },
      );
    } catch (error) {
      const refused = error instanceof ServiceError && error.status === 401;
      if (!refused || !(await account.asked())) throw error;
    }
  }
}

/**
 * @param {Item} item
 * @param {AbortSignal} signal
 */
function requestOptions(item, signal) {
  return {
    authorization: account.authorization,
    signal,
    /** @param {number} seconds */
    onWait: (seconds) => queue.note(item, `The service is busy: trying again in ${seconds} s.`),
  };
}

/**
 * Keep a picture to show, if the browser can show it.
 *
 * @param {Item} item
 * @param {Blob} blob
 */
async function usePreview(item, blob) {
  try {
    const bitmap = await createImageBitmap(blob);
    const canvas = document.createElement("canvas");
    canvas.height = THUMBNAIL_HEIGHT;
    canvas.width = Math.max(1, Math.round((bitmap.width / bitmap.height) * THUMBNAIL_HEIGHT));
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    item.thumbnail = canvas;
    item.preview = URL.createObjectURL(blob);
    render();
  } catch {
    // This browser cannot decode it; the service may.
  }
}

/** @param {Item} item */
async function turn(item) {
  const blob = await turnedCopy(await decoded(item.preview));
  const stem = item.source.name.replace(/(-turned)?\.\w+$/, "");
  if (blob) queue.replace(item, { file: blob, name: `${stem}-turned.jpg` });
}

// Showing

/** @param {View} wanted */
function show(wanted) {
  view = wanted;
  if (view !== "live" && live.isCamera && live.running) live.stop();
  render();
}

/** @param {Item} item */
function open(item) {
  view = "one";
  queue.select(item);
  byId("picture-name").focus({ preventScroll: true });
  byId("workspace").scrollIntoView({ block: "nearest" });
}

function render() {
  const item = queue.selected;
  const views = availableViews();
  if (!views.includes(view)) view = views[0] ?? "one";
  document.body.classList.toggle("has-pictures", views.length > 0);
  byId("workspace").hidden = views.length === 0;
  document.body.dataset.view = view;
  for (const part of document.querySelectorAll("[data-in]")) {
    const { in: places = "" } = /** @type {HTMLElement} */ (part).dataset;
    part.classList.toggle("elsewhere", !places.split(" ").includes(view));
  }
  renderViews(views);
  renderProgress();
  if (item) renderItem(item);
  strip.render();
  if (view === "all") gallery.render();
  if (view !== "one" || !item) say(viewWords());
  byId("code").hidden = view !== "one" || !item || queue.failure(item) !== null;
}

/** @returns {View[]} */
function availableViews() {
  return [
    ...(queue.items.length > 0 ? /** @type {const} */ (["one"]) : []),
    ...(queue.items.length > 1 ? /** @type {const} */ (["all"]) : []),
    ...(live.name ? /** @type {const} */ (["live"]) : []),
  ];
}

/** @param {View[]} views */
function renderViews(views) {
  byId("views").hidden = views.length < 2;
  for (const input of document.querySelectorAll('input[name="view"]')) {
    const radioButton = /** @type {HTMLInputElement} */ (input);
    const offered = views.includes(/** @type {View} */ (radioButton.value));
    /** @type {HTMLElement} */ (radioButton.parentElement).hidden = !offered;
    radioButton.checked = radioButton.value === view;
  }
  byId("view-live").textContent = live.isCamera ? "Camera" : "Video";
}

function viewWords() {
  if (view === "all") return `${plural(queue.settled, "picture")} of ${queue.items.length} done.`;
  if (!live.name || live.running) return "";
  return `${plural(live.people.length, "person", "people")} seen.`;
}

/** @param {Answer["model"]} model */
function modelName({ attributes, detector, licence }) {
  return (attributes ?? detector) + (licence ? ` (${licence})` : "");
}

/** @param {Item} item */
function renderItem(item) {
  const answer = queue.answer(item);
  const failure = queue.failure(item) ?? copies.failure(item);
  byId("picture-name").textContent = item.source.name;
  byId("picture-name").title = item.source.name;
  faces.show(answer);
  const shown = faces.filter(settings.threshold);
  const url = renderPicture(item);
  renderProblem(failure);
  frame.classList.toggle("working", !answer && !failure);
  const facts = answer
    ? [
        `${answer.image_size.join(" × ")} pixels`,
        `answered in ${duration(answer.inference_time)}`,
        ...(answer.model ? [modelName(answer.model)] : []),
        ...(answer.warnings ?? []),
      ]
    : [];
  byId("picture-facts").textContent = facts.join(" · ");
  const total = answer?.details.length ?? 0;
  byId("faces-panel").hidden = shown === 0;
  byId("faces-count").textContent = shown === total ? `${total}` : `${shown} of ${total}`;
  showHints(answer, shown, settings, item.preview ? () => turn(item) : null);
  /** @type {HTMLButtonElement} */ (byId("download")).disabled = !answer || !url;
  const about = queue.items.length > 1 ? `${item.source.name}: ` : "";
  if (answer) say(about + countWords(shown, total));
  else if (failure)
    say(""); // the panel is an alert, which is read aloud itself
  else say(item.job?.note || `Looking for faces in ${item.source.name}…`);
  renderSnippet();
}

/** @param {Item} item */
function renderPicture(item) {
  const url = copies.urlOf(item);
  frame.classList.toggle("veiled", url === "" && settings.blur);
  byId("stage").hidden = !item.preview && queue.failure(item) !== null;
  const shown = url || item.preview;
  picture.hidden = !shown;
  picture.alt = `The picture ${item.source.name}${settings.blur ? ", faces blurred" : ""}`;
  if (shown && picture.src !== shown) picture.src = shown;
  else if (shown && picture.complete) faces.drawChips(picture);
  return url;
}

/** @param {ServiceError | null} failure */
function renderProblem(failure) {
  const panel = byId("problem");
  const signIn = failure?.status === 401;
  // The dialogue says it already.
  const shown = failure !== null && !(signIn && account.asking);
  showPart(panel, shown, byId("picture-name"));
  if (!failure) return;
  panel.classList.toggle("calm", signIn);
  byId("problem-title").textContent = failure.title;
  byId("problem-detail").textContent = failure.message;
  byId("problem-request").textContent = `Request ${failure.requestId}`;
  byId("problem-request").hidden = !failure.requestId || signIn;
  byId("problem-sign-in").hidden = !signIn;
  byId("problem-retry").hidden = !failure.passing;
}

function renderProgress() {
  const total = queue.items.length;
  const done = queue.settled;
  const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
  bar.max = Math.max(total, 1);
  bar.value = done;
  byId("progress-words").textContent = `${done} of ${total} pictures`;
  for (const id of ["progress", "progress-words"]) byId(id).hidden = total < 2 || done === total;
}

function renderSnippet() {
  const item = queue.selected;
  if (!item) return;
  const fields = { ...settings.fields, confidence: settings.threshold };
  const request = {
    endpoint: new URL("predict", document.baseURI).href,
    username: account.username,
    source: item.source,
    fields: settings.blur
      ? { ...fields, blur: true, draw: settings.boxes }
      : { ...fields, return_image: false },
    saveAs: settings.blur ? copies.nameOf(item) : "",
  };
  const answer = queue.answer(item);
  const texts = {
    curl: () => curl(request),
    python: () => python(request),
    answer: () => (answer ? JSON.stringify(above(answer, settings.threshold), null, 2) : "…"),
  };
  const language = /** @type {keyof typeof texts} */ (radio("language"));
  byId("snippet").textContent = texts[language]();
}

/**
 * @param {number} shown
 * @param {number} total
 */
function countWords(shown, total) {
  if (total === 0) return "No face found.";
  if (shown === total) return `${plural(total, "face")} found.`;
  return `${shown} of ${plural(total, "face")} shown, the others are below this confidence.`;
}

/** @param {string} text */
function say(text) {
  // Writing the same text again would make screen readers repeat it.
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

// Results to take away

/** @param {"csv" | "json"} kind */
function saveResults(kind) {
  const { name, blob } = view === "live" ? peopleResults(kind) : pictureResults(kind);
  save(blob, `${name}.${kind}`);
}

/** @param {"csv" | "json"} kind */
function pictureResults(kind) {
  const items = view === "all" || !queue.selected ? queue.items : [queue.selected];
  const results = items.map((item) => {
    const answer = queue.answer(item);
    const failure = queue.failure(item);
    return {
      name: item.source.name,
      answer: answer && above(answer, settings.threshold),
      error: failure ? `${failure.title}: ${failure.message}` : answer ? "" : "not yet answered",
    };
  });
  const name = items.length === 1 ? items[0].source.name.replace(/\.\w+$/, "") : "faces";
  return { name, blob: kind === "csv" ? picturesCsv(results) : picturesJson(results) };
}

/** @param {"csv" | "json"} kind */
function peopleResults(kind) {
  const write = kind === "csv" ? peopleCsv : peopleJson;
  const name = live.isCamera ? "camera" : live.name.replace(/\.\w+$/, "");
  return { name: `${name}-people`, blob: write(live.name, live.people, live.model) };
}

// Events

queue.addEventListener("change", render);
queue.addEventListener("locked", () => {
  account.askAgain();
  render();
});
account.addEventListener("closed", () => {
  render();
  // The dialogue gives the focus back, unless what had it is gone.
  const focused = document.activeElement;
  const lost = !focused || focused === document.body || !focused.checkVisibility();
  if (lost) byId("picture-name").focus();
});
account.addEventListener("change", () => {
  copies.forget();
  if (account.authorization) queue.resume();
  else render();
});
copies.addEventListener("change", render);
live.addEventListener("change", () => {
  if (live.running) view = "live";
  render();
});

picture.addEventListener("load", () => {
  frame.style.setProperty("--ratio", String(picture.naturalWidth / picture.naturalHeight));
  frame.style.setProperty("--natural", String(picture.naturalWidth));
  faces.drawChips(picture);
});

setUpIntake(
  (sources) => {
    view = "one";
    if (live.isCamera && live.running) live.stop();
    queue.add(sources);
  },
  (video) => {
    view = "live";
    live.startFile(video);
  },
  say,
);
setUpCamera(
  (blob) => {
    view = "one";
    queue.add([{ file: blob, name: "camera.jpg" }]);
  },
  (stream, mirrored) => live.startCamera(stream, mirrored),
);

settings.addEventListener("search", () => queue.run());
for (const name of ["threshold", "drawing"]) {
  settings.addEventListener(name, () => {
    copies.forget();
    frame.classList.toggle("boxes-off", !settings.boxes);
    byId("blur-hint").hidden = !settings.blur;
    copies.nameButton();
    render();
  });
}
for (const input of document.querySelectorAll('input[name="view"]')) {
  input.addEventListener("change", () => show(/** @type {View} */ (radio("view"))));
}
byId("save-csv").addEventListener("click", () => saveResults("csv"));
byId("save-json").addEventListener("click", () => saveResults("json"));
byId("remove").addEventListener("click", () => {
  if (queue.selected) queue.remove(queue.selected);
  if (!queue.selected) byId("choose").focus();
});
byId("clear").addEventListener("click", () => {
  queue.clear();
  byId("choose").focus();
});
byId("problem-retry").addEventListener("click", () => {
  copies.forget();
  if (queue.selected) queue.retry(queue.selected);
});
byId("problem-sign-in").addEventListener("click", () => account.ask());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") faces.unpick();
});

for (const input of document.querySelectorAll('input[name="language"]')) {
  input.addEventListener("change", renderSnippet);
}
byId("copy").addEventListener("click", async () => {
  const button = byId("copy");
  try {
    await navigator.clipboard.writeText(byId("snippet").textContent ?? "");
    button.textContent = "Copied";
  } catch {
    // Without https there is no clipboard: select the code for the keyboard.
    getSelection()?.selectAllChildren(byId("snippet"));
    button.textContent = "Selected: copy it";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
});

// On a narrow screen with one column, the faces matter more than the detector.
/** @type {HTMLDetailsElement} */ (byId("finding")).open = matchMedia("(min-width: 861px)").matches;
showModel();
