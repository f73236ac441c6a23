/** The ways into the page: files, addresses, the sample, what is pasted and dropped. */

import { byId, tellProblem } from "./dom.js";

/** @typedef {import("./service.js").Source} Source */

const VIDEO_NAMES = /\.(mp4|m4v|mov|webm|ogv|mkv|avi)$/i;

/**
 * Listen for pictures and videos.
 *
 * @param {(sources: Source[]) => void} onPictures
 * @param {(video: File) => void} onVideo
 * @param {(text: string) => void} say
 */
export function setUpIntake(onPictures, onVideo, say) {
  const address = /** @type {HTMLInputElement} */ (byId("address"));

  /** @param {string} problem */
  function tellAddress(problem) {
    tellProblem(byId("address-problem"), problem, address);
  }

  /** @param {Iterable<File>} files */
  function addFiles(files) {
    tellAddress("");
    const all = [...files];
    const [video] = all.filter(isVideo);
    const pictures = all.filter((file) => !isVideo(file));
    if (pictures.length)
      onPictures(pictures.map((file) => ({ file, name: file.name || "picture" })));
    if (video) onVideo(video);
  }

  /** @param {string} text */
  function addAddress(text) {
    const url = parseAddress(text);
    if (!url) {
      tellAddress("Give a full address, such as https://example.com/people.jpg");
      return;
    }
    tellAddress("");
    address.value = "";
    const name = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
    onPictures([{ url: url.href, name: name || url.hostname }]);
  }

  async function addSample() {
    const response = await fetch(new URL("assets/sample.jpg", document.baseURI)).catch(() => null);
    if (!response?.ok) {
      say("The sample could not be loaded.");
      return;
    }
    // The button goes when there is a picture; the focus must not go with it.
    if (document.activeElement === byId("sample")) byId("choose").focus();
    onPictures([{ file: await response.blob(), name: "astronaut.jpg" }]);
  }

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
  // A complaint goes while it is being answered.
  address.addEventListener("input", () => tellAddress(""));

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
  setUpDrop(addFiles, addAddress);
}

/**
 * @param {(files: FileList) => void} onFiles
 * @param {(link: string) => void} onLink
 */
function setUpDrop(onFiles, onLink) {
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
    if (dropped?.files.length) onFiles(dropped.files);
    else if (link) onLink(link);
  });
}

/** @param {File} file */
function isVideo(file) {
  return file.type.startsWith("video/") || (!file.type && VIDEO_NAMES.test(file.name));
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
