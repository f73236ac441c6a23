/** The demo page. Nothing outlives the tab. */

import { Account } from "./account.js";
import { setUpCamera } from "./camera.js";
import { byId, debounced, make, plural, save, tellProblem } from "./dom.js";
import { Faces } from "./faces.js";
import { Queue } from "./queue.js";
import { MOST_BYTES, ServiceError, pictureOf, predict } from "./service.js";
import { curl, python } from "./snippets.js";

/** @typedef {import("./queue.js").Item} Item */

/**
 * Faces are asked for from here up and filtered in the page, so that the threshold acts at once.
 * Greedy suppression of overlapping boxes never lets a lesser box displace a better one, so the
 * faces left are those that the service would have returned for the higher threshold.
 */
const LEAST_CONFIDENCE = 0.2;
const THUMBNAIL_HEIGHT = 132;
/** Pixels around a thumbnail for the mark of the selected one. */
const THUMBNAIL_MARGIN = 4;

const picture = /** @type {HTMLImageElement} */ (byId("picture"));
const frame = byId("frame");
const threshold = /** @type {HTMLInputElement} */ (byId("threshold"));
const minFace = /** @type {HTMLInputElement} */ (byId("min-face"));
const boxes = /** @type {HTMLInputElement} */ (byId("boxes"));
const blur = /** @type {HTMLInputElement} */ (byId("blur"));
const download = /** @type {HTMLButtonElement} */ (byId("download"));
const address = /** @type {HTMLInputElement} */ (byId("address"));

const account = new Account();
const faces = new Faces(byId("overlay"), byId("faces"));
const queue = new Queue(analyse, () => `${detector()} ${smallest()}`);
/** @type {Map<Item, HTMLElement>} */
const thumbs = new Map();
/**
 * Why the blurred or drawn copy of a picture could not be made.
 *
 * @type {{item: Item, error: ServiceError} | null}
 */
let copyFailure = null;
/**
 * The blurred copy that is on its way.
 *
 * @type {{item: Item, key: string} | null}
 */
let blurring = null;
/**
 * The picture whose thumbnail was brought into view last; where people scroll from there is theirs.
 *
 * @type {Item | null}
 */
let revealed = null;

// Settings

/** @param {string} name */
function chosen(name) {
  const input = document.querySelector(`input[name="${name}"]:checked`);
  return /** @type {HTMLInputElement} */ (input).value;
}

function detector() {
  return chosen("detector");
}

function smallest() {
  return minFace.validity.valid ? minFace.value : "";
}

function searchFields() {
  const side = smallest();
  return { face_detector: detector(), ...(side ? { min_face: Number(side) } : {}) };
}

// Pictures in

/** @param {Iterable<File>} files */
function addFiles(files) {
  queue.add([...files].map((file) => ({ file, name: file.name || "picture" })));
}

/** @param {string} text */
function addAddress(text) {
  const url = parseAddress(text);
  if (!url) {
    tellProblem(
      byId("address-problem"),
      "Give a full address, such as https://example.com/people.jpg",
      address,
    );
    return;
  }
  tellProblem(byId("address-problem"), "", address);
  address.value = "";
  const name = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
  queue.add([{ url: url.href, name: name || url.hostname }]);
}

/** @param {string} text */
function parseAddress(text) {
  const given = text.trim();
  const withScheme = /^[\w-]+(\.[\w-]+)+(:\d+)?\//.test(given) ? `https://${given}` : given;
  try {
    const url = new URL(withScheme);
    decodeURIComponent(url.pathname);
    return ["http:", "https:", "gs:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

async function addSample() {
  const response = await fetch(new URL("assets/sample.jpg", document.baseURI)).catch(() => null);
  if (!response?.ok) {
    say("The sample could not be loaded.");
    return;
  }
  queue.add([{ file: await response.blob(), name: "astronaut.jpg" }]);
}

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
      ...searchFields(),
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

/**
 * The picture as the service gives it back.
 *
 * @param {Item} item
 * @param {{draw: boolean, blur: boolean}} how
 */
async function copyOf(item, how) {
  const fields = {
    ...searchFields(),
    ...how,
    confidence: Number(threshold.value),
    get_attributes: how.draw,
  };
  return pictureOf(
    await predict(item.source, fields, requestOptions(item, new AbortController().signal)),
  );
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

// Showing

function render() {
  const item = queue.selected;
  document.body.classList.toggle("has-pictures", item !== null);
  byId("workspace").hidden = item === null;
  byId("code").hidden = item === null;
  renderQueue();
  renderProgress();
  if (item) renderItem(item);
  else say("");
}

/** @param {import("./service.js").Answer["model"]} model */
function modelName({ attributes, detector, licence }) {
  return (attributes ?? detector) + (licence ? ` (${licence})` : "");
}

/** @param {Item} item */
function renderItem(item) {
  const answer = queue.answer(item);
  const failure = queue.failure(item) ?? (copyFailure?.item === item ? copyFailure.error : null);
  byId("picture-name").textContent = item.source.name;
  byId("picture-name").title = item.source.name;
  faces.show(answer);
  const shown = faces.filter(Number(threshold.value));
  renderPicture(item);
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
  byId("faces-panel").hidden = total === 0;
  byId("faces-count").textContent = shown === total ? `${total}` : `${shown} of ${total}`;
  download.disabled = !answer;
  const about = queue.items.length > 1 ? `${item.source.name}: ` : "";
  if (answer) say(about + countWords(shown, total));
  else if (failure) say(""); // the panel is an alert, which is read aloud itself
  else say(item.job?.note || `Looking for faces in ${item.source.name}…`);
  renderSnippet();
}

/** @param {Item} item */
function renderPicture(item) {
  const answer = queue.answer(item);
  const key = copyKey();
  const ready = !blur.checked || item.blurred?.key === key;
  if (!ready && answer && copyFailure?.item !== item) requestBlurred();
  frame.classList.toggle("veiled", !ready);
  byId("stage").hidden = !item.preview && queue.failure(item) !== null;
  const url = blur.checked && ready && item.blurred ? item.blurred.url : item.preview;
  picture.hidden = !url;
  picture.alt = `The picture ${item.source.name}${blur.checked ? ", faces blurred" : ""}`;
  if (url && picture.src !== url) picture.src = url;
  else if (url && picture.complete) faces.drawChips(picture);
}

/** @param {ServiceError | null} failure */
function renderProblem(failure) {
  const panel = byId("problem");
  panel.hidden = failure === null;
  if (!failure) return;
  byId("problem-title").textContent = failure.title;
  byId("problem-detail").textContent = failure.message;
  byId("problem-request").textContent = `Request ${failure.requestId}`;
  byId("problem-request").hidden = !failure.requestId;
  byId("problem-sign-in").hidden = failure.status !== 401;
  byId("problem-retry").hidden = [401, 413, 415].includes(failure.status);
}

function renderQueue() {
  for (const [item, element] of thumbs) {
    if (queue.items.includes(item)) continue;
    element.remove();
    thumbs.delete(item);
  }
  for (const item of queue.items) {
    if (!thumbs.has(item)) {
      const thumb = makeThumb(item);
      thumbs.set(item, thumb);
      byId("queue-list").append(thumb);
    }
    renderThumb(item);
  }
  byId("queue").hidden = queue.items.length < 2;
  if (queue.selected && queue.selected !== revealed) revealThumb(queue.selected);
  revealed = queue.selected;
}

/** @param {Item} item */
function makeThumb(item) {
  const button = make(
    "button",
    { type: "button", className: "thumb", title: item.source.name },
    make("span", { className: "thumb-picture" }),
    make("span", { className: "thumb-status" }),
  );
  button.addEventListener("click", () => queue.select(item));
  return make("li", {}, button);
}

/** @param {Item} item */
function renderThumb(item) {
  const button = /** @type {HTMLElement} */ (thumbs.get(item)?.firstElementChild);
  const [place, words] = /** @type {Iterable<HTMLElement>} */ (button.children);
  const failed = queue.failure(item) !== null;
  if (item.thumbnail && place.firstChild !== item.thumbnail) place.replaceChildren(item.thumbnail);
  if (!item.thumbnail) place.textContent = failed ? "!" : "…";
  words.textContent = stateWords(item);
  button.classList.toggle("failed", failed);
  button.setAttribute("aria-label", `${item.source.name}: ${stateWords(item)}`);
  button.setAttribute("aria-current", String(item === queue.selected));
}

/**
 * Bring the selected picture's thumbnail into view, without moving the page.
 *
 * @param {Item} item
 */
function revealThumb(item) {
  const list = byId("queue-list");
  const place = /** @type {HTMLElement} */ (thumbs.get(item));
  const start = place.offsetLeft - THUMBNAIL_MARGIN;
  const end = place.offsetLeft + place.offsetWidth + THUMBNAIL_MARGIN;
  if (start < list.scrollLeft) list.scrollLeft = start;
  else if (end > list.scrollLeft + list.clientWidth) list.scrollLeft = end - list.clientWidth;
}

/** @param {Item} item */
function stateWords(item) {
  const answer = queue.answer(item);
  if (answer) {
    const minimum = Number(threshold.value);
    return plural(answer.details.filter((face) => face.confidence >= minimum).length, "face");
  }
  if (queue.failure(item)) return "failed";
  return item.job ? "working…" : "waiting";
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
  const fields = { ...searchFields(), confidence: Number(threshold.value) };
  const write = chosen("language") === "python" ? python : curl;
  byId("snippet").textContent = write({
    endpoint: new URL("predict", document.baseURI).href,
    username: account.username,
    source: item.source,
    fields: blur.checked
      ? { ...fields, blur: true, draw: boxes.checked }
      : { ...fields, return_image: false },
    saveAs: blur.checked ? copyName(item) : "",
  });
}

/**
 * @param {number} shown
 * @param {number} total
 */
function countWords(shown, total) {
  if (total === 0) {
    return detector() === "fast"
      ? "No face found. The accurate detector also finds smaller and turned faces."
      : "No face found.";
  }
  if (shown === total) return `${plural(total, "face")} found.`;
  return `${shown} of ${plural(total, "face")} shown, the others are below this confidence.`;
}

/** @param {number} milliseconds */
function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** @param {string} text */
function say(text) {
  // Writing the same text again would make screen readers repeat it.
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

// Copies of the picture

function copyKey() {
  return `${detector()} ${smallest()} ${threshold.value}`;
}

const requestBlurred = debounced(async () => {
  const item = queue.selected;
  const key = copyKey();
  if (!item || !blur.checked || item.blurred?.key === key) return;
  if (blurring?.item === item && blurring.key === key) return;
  blurring = { item, key };
  const blob = await attempt(item, () => copyOf(item, { draw: false, blur: true }));
  blurring = null;
  if (blob && queue.items.includes(item)) {
    if (item.blurred) URL.revokeObjectURL(item.blurred.url);
    item.blurred = { key, url: URL.createObjectURL(blob) };
  }
  render();
}, 250);

async function downloadCopy() {
  const item = queue.selected;
  if (!item) return;
  download.disabled = true;
  download.textContent = "Preparing…";
  const name = copyName(item);
  const blob = await attempt(item, () => copyOf(item, { draw: boxes.checked, blur: blur.checked }));
  nameDownload();
  if (blob) save(blob, name);
  render();
}

/**
 * Run what may fail, and leave the failure for `render`.
 *
 * @param {Item} item
 * @param {() => Promise<Blob>} action
 */
async function attempt(item, action) {
  copyFailure = null;
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    copyFailure = { item, error };
    return null;
  }
}

/** @param {Item} item */
function copyName(item) {
  const stem = item.source.name.replace(/\.\w+$/, "");
  return `${stem}${boxes.checked ? "-faces" : ""}${blur.checked ? "-blurred" : ""}.jpg`;
}

function nameDownload() {
  const how = `${blur.checked ? " blurred" : ""}${boxes.checked ? " with boxes" : ""}`;
  download.textContent = `Download${how}`;
}

// Events

queue.addEventListener("change", render);
queue.addEventListener("locked", () => {
  account.ask(account.authorization ? "The user name or the password is wrong." : "");
});
account.addEventListener("change", () => {
  copyFailure = null;
  if (account.authorization) queue.resume();
  else render();
});

picture.addEventListener("load", () => {
  frame.style.setProperty("--ratio", String(picture.naturalWidth / picture.naturalHeight));
  frame.style.setProperty("--natural", String(picture.naturalWidth));
  faces.drawChips(picture);
});

const files = /** @type {HTMLInputElement} */ (byId("files"));
byId("choose").addEventListener("click", () => files.click());
files.addEventListener("change", () => {
  addFiles(files.files ?? []);
  files.value = ""; // the same file may be chosen again
});
byId("sample").addEventListener("click", addSample);
byId("by-address").addEventListener("submit", (event) => {
  event.preventDefault();
  addAddress(address.value);
});
setUpCamera((blob) => queue.add([{ file: blob, name: "camera.jpg" }]));

document.addEventListener("paste", (event) => {
  const pasted = event.clipboardData;
  if (pasted?.files.length) {
    event.preventDefault();
    addFiles(pasted.files);
  } else if (!(event.target instanceof HTMLInputElement)) {
    const text = pasted?.getData("text/plain").trim() ?? "";
    if (/^(https?|gs):\/\/\S+$/.test(text)) addAddress(text);
  }
});

const veil = byId("drop-veil");
document.addEventListener("dragover", (event) => {
  const kinds = event.dataTransfer?.types ?? [];
  if (!kinds.includes("Files") && !kinds.includes("text/uri-list")) return;
  event.preventDefault();
  veil.hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) veil.hidden = true;
});
document.addEventListener("drop", (event) => {
  veil.hidden = true;
  const dropped = event.dataTransfer;
  const link = dropped?.getData("text/uri-list").split(/\r?\n/)[0];
  if (!dropped?.files.length && !link) return;
  event.preventDefault();
  if (dropped?.files.length) addFiles(dropped.files);
  else if (link) addAddress(link);
});

for (const input of document.querySelectorAll('input[name="detector"]')) {
  input.addEventListener("change", () => queue.run());
}
threshold.addEventListener("input", () => {
  copyFailure = null;
  byId("threshold-value").textContent = Number(threshold.value).toFixed(2);
  render();
});
minFace.addEventListener("change", () => {
  const problem = minFace.validity.valid ? "" : "Give a whole number from 1 to 100000.";
  tellProblem(byId("min-face-problem"), problem, minFace);
  queue.run();
});
for (const input of [boxes, blur]) {
  input.addEventListener("change", () => {
    copyFailure = null;
    frame.classList.toggle("boxes-off", !boxes.checked);
    byId("blur-hint").hidden = !blur.checked;
    nameDownload();
    render();
  });
}
download.addEventListener("click", downloadCopy);
byId("remove").addEventListener("click", () => {
  if (queue.selected) queue.remove(queue.selected);
  if (!queue.selected) byId("choose").focus();
});
byId("clear").addEventListener("click", () => {
  queue.clear();
  byId("choose").focus();
});
byId("problem-retry").addEventListener("click", () => {
  copyFailure = null;
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
nameDownload();
