/** Single frames of a camera or a video file, for the service. */

/** Larger frames are made smaller before they are sent, pixels of the longer side. */
const LONGEST_SIDE = 1280;
/** Frames for each second of a video file: enough for boxes of one person to overlap. */
const FILE_RATE = 4;
const SEEK_MILLISECONDS = 10_000;

/**
 * @typedef {object} Frames
 * @property {(signal: AbortSignal) => Promise<{canvas: HTMLCanvasElement, seconds: number} | null>} next
 *   null at the end
 * @property {number | null} length seconds, if there is an end
 * @property {() => void} close
 */

/**
 * Whatever the camera sees when a frame is wanted.
 *
 * @implements {Frames}
 */
export class CameraFrames {
  length = null;
  #video;
  #stream;
  #start = performance.now();

  /**
   * @param {HTMLVideoElement} video that plays the stream
   * @param {MediaStream} stream
   */
  constructor(video, stream) {
    this.#video = video;
    this.#stream = stream;
  }

  async next() {
    if (!this.#stream.active) return null;
    return { canvas: draw(this.#video), seconds: (performance.now() - this.#start) / 1000 };
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#video.srcObject = null;
  }
}

/**
 * A video file's frames at equal distances. The video waits for the service, so that a slow one
 * misses nothing.
 *
 * @implements {Frames}
 */
export class FileFrames {
  #video;
  #url;
  #at = 0;

  /**
   * @param {HTMLVideoElement} video
   * @param {string} url of the file
   */
  constructor(video, url) {
    this.#video = video;
    this.#url = url;
  }

  /**
   * Open a file.
   *
   * @param {HTMLVideoElement} video
   * @param {File} file
   * @throws {Error} if the browser cannot play it
   */
  static async open(video, file) {
    const url = URL.createObjectURL(file);
    video.src = url;
    try {
      await once(video, "loadeddata", SEEK_MILLISECONDS);
      if (!video.videoWidth) throw new Error("there are no pictures in it");
      return new FileFrames(video, url);
    } catch (error) {
      URL.revokeObjectURL(url);
      video.removeAttribute("src");
      throw error;
    }
  }

  /** Recordings of browsers do not say how long they are. */
  get length() {
    return Number.isFinite(this.#video.duration) ? this.#video.duration : null;
  }

  /** @param {AbortSignal} signal */
  async next(signal) {
    const seconds = this.#at / FILE_RATE;
    if (this.length !== null && seconds >= this.length) return null;
    if (seconds > 0) {
      const arrived = once(this.#video, "seeked", SEEK_MILLISECONDS, signal);
      this.#video.currentTime = seconds;
      await arrived;
      // Behind the end, the video stays at its last frame.
      if (this.#video.currentTime < seconds - 0.5 / FILE_RATE) return null;
    }
    this.#at += 1;
    return { canvas: draw(this.#video), seconds };
  }

  close() {
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#url);
  }
}

/** @param {HTMLVideoElement} video */
function draw(video) {
  const { videoWidth: width, videoHeight: height } = video;
  const shrink = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * shrink));
  canvas.height = Math.max(1, Math.round(height * shrink));
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * Wait for an event of a video.
 *
 * @param {HTMLVideoElement} video
 * @param {string} name
 * @param {number} milliseconds to wait at most
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function once(video, name, milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const all = new AbortController();
    /** @param {() => void} settle */
    const end = (settle) => () => {
      clearTimeout(timer);
      all.abort();
      settle();
    };
    const fail = () => reject(new Error("the browser cannot play it"));
    const timer = setTimeout(end(fail), milliseconds);
    video.addEventListener(name, end(resolve), { signal: all.signal });
    video.addEventListener("error", end(fail), { signal: all.signal });
    signal?.addEventListener(
      "abort",
      end(() => reject(signal.reason)),
      { signal: all.signal },
    );
  });
}
