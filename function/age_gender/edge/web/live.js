/** Camera and video: sends frames at a bounded rate and joins their faces into people. */

import { toJpeg } from "./drawing.js";
import { byId, make } from "./dom.js";
import { CameraFrames, FileFrames } from "./frames.js";
import { cutOut, estimate, fitLabel, label, makeChip, placeOver } from "./marks.js";
import { ServiceError, sleep } from "./service.js";
import { Tracker } from "./tracks.js";
import { clock, plural, sentence } from "./words.js";

/** @typedef {import("./service.js").Answer} Answer */
/** @typedef {import("./frames.js").Frames} Frames */
/** @typedef {import("./tracks.js").Track} Track */

/** One frame is in flight at a time, and no more than five are sent in a second. */
const MIN_INTERVAL = 200;
/** A camera that was forgotten stops by itself, seconds. */
const LONGEST_CAMERA_SECONDS = 600;
/** The rate is the mean over the last so many frames. */
const RATE_FRAMES = 10;
const BUSY_TRIES = 5;
const BUSY_MILLISECONDS = 2000;

/** Fires `change` when it starts, stops or closes. */
export class Live extends EventTarget {
  /** What is being watched, for headings and files; empty when nothing is. */
  name = "";
  isCamera = false;
  /** @type {Answer["model"] | undefined} */
  model;
  #predict;
  #tracker = new Tracker();
  /** @type {Map<Track, {row: HTMLElement, chip: HTMLCanvasElement}>} */
  #rows = new Map();
  #video = /** @type {HTMLVideoElement} */ (byId("live-video"));
  #frame = byId("live-frame");
  #overlay = byId("live-overlay");
  /** @type {Frames | null} */
  #frames = null;
  #abort = new AbortController();
  #sent = 0;
  /** @type {number[]} when the last answers came, milliseconds */
  #times = [];
  #roundTrip = 0;

  /**
   * @param {(frame: Blob, signal: AbortSignal) => Promise<Answer>} predict
   */
  constructor(predict) {
    super();
    this.#predict = predict;
    byId("live-stop").addEventListener("click", () => (this.running ? this.stop() : this.close()));
  }

  get running() {
    return this.#frames !== null;
  }

  get people() {
    return this.#tracker.people;
  }

  /**
   * Watch a camera until it is stopped.
   *
   * @param {MediaStream} stream
   * @param {boolean} mirrored whether to show it as a mirror does
   */
  async startCamera(stream, mirrored) {
    this.#reset("Camera", mirrored);
    this.isCamera = true;
    this.#video.srcObject = stream;
    this.#frames = new CameraFrames(this.#video, stream);
    this.dispatchEvent(new Event("change"));
    await this.#video.play().catch(() => {});
    await this.#run(this.#frames, this.#abort.signal);
  }

  /**
   * Watch a video file to its end.
   *
   * @param {File} file
   */
  async startFile(file) {
    this.#reset(file.name, false);
    this.isCamera = false;
    const { signal } = this.#abort;
    this.dispatchEvent(new Event("change"));
    try {
      const frames = await FileFrames.open(this.#video, file);
      if (signal.aborted) return frames.close();
      this.#frames = frames;
    } catch {
      this.#tell(
        new ServiceError(
          "This video cannot be played here",
          "Browsers play MP4 with H.264 and WebM. The command line reads more: age-gender predict.",
        ),
      );
      return;
    }
    this.dispatchEvent(new Event("change"));
    await this.#run(this.#frames, signal);
  }

  /** Stop sending, and let go of camera or file; the results stay. */
  stop() {
    this.#abort.abort();
    this.#freeze();
    this.#frames?.close();
    this.#frames = null;
    this.#overlay.replaceChildren();
    this.#renderFacts();
    this.dispatchEvent(new Event("change"));
  }

  /** Stop, and forget the results. */
  close() {
    this.stop();
    this.name = "";
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {string} name
   * @param {boolean} mirrored
   */
  #reset(name, mirrored) {
    if (this.running) this.stop();
    this.#abort.abort();
    this.#abort = new AbortController();
    this.name = name;
    this.#tracker = new Tracker();
    this.#rows.clear();
    this.#sent = 0;
    this.#times = [];
    byId("people").replaceChildren();
    byId("live-problem").hidden = true;
    this.#overlay.replaceChildren();
    this.#frame.querySelector("canvas")?.remove();
    this.#frame.classList.toggle("mirrored", mirrored);
    this.#renderFacts();
  }

  /**
   * @param {Frames} frames
   * @param {AbortSignal} signal
   */
  async #run(frames, signal) {
    try {
      while (!signal.aborted) {
        const start = performance.now();
        // A page in the background watches nobody.
        const frame = document.hidden ? undefined : await frames.next(signal);
        if (frame === null) break;
        if (frame) {
          const answer = await this.#ask(frame.canvas, signal);
          if (signal.aborted) return;
          this.#roundTrip = performance.now() - start;
          this.#take(frame.canvas, frame.seconds, answer);
          if (frames.length === null && frame.seconds > LONGEST_CAMERA_SECONDS) break;
        }
        await sleep(Math.max(0, MIN_INTERVAL - (performance.now() - start)), signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#tell(
        error instanceof ServiceError
          ? error
          : new ServiceError("The video broke off", "It cannot be played further."),
      );
    }
    if (!signal.aborted) this.stop();
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {AbortSignal} signal
   */
  async #ask(canvas, signal) {
    const blob = await toJpeg(canvas);
    if (!blob) throw new ServiceError("The video broke off", "Its frames cannot be read.");
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#predict(blob, signal);
      } catch (error) {
        const busy = error instanceof ServiceError && error.status === 429;
        if (!busy || tries === BUSY_TRIES) throw error;
        await sleep(BUSY_MILLISECONDS, signal);
      }
    }
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} seconds
   * @param {Answer} answer
   */
  #take(canvas, seconds, answer) {
    this.#sent += 1;
    this.model = answer.model;
    this.#times = [...this.#times, performance.now()].slice(-RATE_FRAMES);
    this.#frame.style.setProperty("--ratio", String(canvas.width / canvas.height));
    this.#frame.style.setProperty("--natural", String(canvas.width));
    const seen = this.#tracker.add(answer.details, seconds);
    for (const { track, better } of seen) {
      const { chip } = this.#rowOf(track);
      if (better) cutOut(chip, canvas, track.face.box, 1);
    }
    // A file's frame stays until the next answer; a camera shows the present.
    if (this.#frames?.length !== null) this.#show(canvas);
    this.#renderBoxes(
      seen.map(({ track }) => track),
      answer.image_size,
    );
    this.#renderPeople();
    this.#renderFacts();
    const progress = /** @type {HTMLProgressElement} */ (byId("live-progress"));
    const length = this.#frames?.length ?? null;
    progress.hidden = length === null;
    if (length) progress.value = seconds / length;
  }

  /** @param {HTMLCanvasElement} canvas */
  #show(canvas) {
    this.#frame.querySelector("canvas")?.remove();
    this.#frame.prepend(canvas);
  }

  /** Leave the last frame in place of the camera's picture. */
  #freeze() {
    if (!this.#video.videoWidth || this.#frame.querySelector("canvas")) return;
    const canvas = document.createElement("canvas");
    canvas.width = this.#video.videoWidth;
    canvas.height = this.#video.videoHeight;
    canvas.getContext("2d")?.drawImage(this.#video, 0, 0);
    this.#show(canvas);
  }

  /**
   * @param {Track[]} tracks in the frame
   * @param {[number, number]} size
   */
  #renderBoxes(tracks, size) {
    const mirrored = this.#frame.classList.contains("mirrored");
    const screen = this.#overlay.getBoundingClientRect();
    const scale = screen.width / size[0];
    this.#overlay.replaceChildren(
      ...tracks.map((track) => {
        const [x1, y1, x2, y2] = track.face.box;
        /** @type {[number, number, number, number]} */
        const place = mirrored ? [size[0] - x2, y1, size[0] - x1, y2] : [x1, y1, x2, y2];
        const box = make("div", { className: "box" }, label(track.estimate, track.number));
        box.classList.toggle("doubtful", !track.reliable);
        placeOver(box, place, size);
        fitLabel(
          box,
          place.map((pixels) => pixels * scale),
          screen,
        );
        return box;
      }),
    );
  }

  /** @param {Track} track */
  #rowOf(track) {
    const known = this.#rows.get(track);
    if (known) return known;
    const made = { row: make("li", { className: "face" }), chip: makeChip() };
    this.#rows.set(track, made);
    return made;
  }

  #renderPeople() {
    const { people } = this;
    byId("people-count").textContent = String(people.length);
    for (const track of people) {
      const { row, chip } = this.#rowOf(track);
      const face = track.estimate;
      const time = `${clock(track.first)}–${clock(track.last)}`;
      row.replaceChildren(
        chip,
        ...estimate(face, track.number, [time, plural(track.frames, "frame")]),
      );
      row.title = sentence(face);
    }
    byId("people").replaceChildren(...people.map((track) => this.#rowOf(track).row));
  }

  #renderFacts() {
    const [first, last] = [this.#times[0], this.#times.at(-1) ?? 0];
    const rate = last > first ? ((this.#times.length - 1) * 1000) / (last - first) : 0;
    const facts = [plural(this.#sent, "frame")];
    if (this.running && rate) {
      facts.push(`${rate.toFixed(1)} a second`, `${Math.round(this.#roundTrip)} ms each`);
    }
    if (this.model?.attributes) facts.push(`${this.model.attributes} (${this.model.licence})`);
    byId("live-title").textContent = this.name;
    byId("live-facts").textContent = this.#sent ? facts.join(" · ") : "Starting…";
    byId("live-stop").textContent = this.running ? "Stop" : "Close";
    byId("live-progress").hidden ||= !this.running;
  }

  /** @param {ServiceError} error */
  #tell(error) {
    byId("live-problem").hidden = false;
    byId("live-problem-title").textContent = error.title;
    byId("live-problem-detail").textContent = error.message;
    byId("live-facts").textContent = "";
  }
}
