/** Calls `POST /predict`, and turns errors into words. */

/**
 * @typedef {object} Face
 * @property {[number, number, number, number]} box
 * @property {number} confidence
 * @property {number} [age]
 * @property {[number, number]} [age_interval]
 * @property {"M" | "F"} [gender]
 * @property {number} [gender_probability]
 * @property {{size: number, sharpness: number}} [quality]
 * @property {boolean} [reliable]
 * @property {string[]} [reasons]
 *
 * @typedef {object} Answer
 * @property {Face[]} details
 * @property {number} [confidence] threshold
 * @property {[number, number]} image_size
 * @property {number} inference_time
 * @property {string[]} [warnings] what is wrong with the picture though it was read
 * @property {{detector: string, attributes: string | null, licence: string | null}} model
 * @property {number} [smallest_face] that was looked for, pixels
 * @property {(number | string)[][]} [faces] one row per face
 * @property {string} [image] base64 JPEG
 *
 * @typedef {{file: Blob, name: string} | {url: string, name: string}} Source
 *
 * @typedef {object} Options
 * @property {string} [authorization]
 * @property {AbortSignal} signal
 * @property {(seconds: number) => void} onWait called before a wait that the service asked for
 */

/** Larger files are refused by the service; saying so before sending them saves the wait. */
export const MOST_BYTES = 20 * 1024 * 1024;

const LONGEST_WAIT_SECONDS = 60;

/** @type {Record<number, string>} */
const TITLES = {
  400: "This cannot be read",
  401: "Please sign in",
  408: "The upload was too slow",
  413: "This picture is too large",
  415: "This is not a picture that can be read",
  422: "A setting is out of range",
  424: "The picture could not be fetched",
  429: "The service is busy",
  500: "Something went wrong in the service",
  503: "The service is not ready",
  504: "The picture's server is too slow",
};

/** @type {Record<string, string>} */
const TITLES_BY_CODE = {
  "url-not-allowed": "This address cannot be used",
};

/** The only errors that the same request may not meet again; 0 is a lost connection. */
const PASSING = [0, 408, 424, 429];

/** An error in words that a person can act on. */
export class ServiceError extends Error {
  /**
   * @param {string} title
   * @param {string} detail
   * @param {{status?: number, requestId?: string, retryAfter?: number}} [more]
   */
  constructor(title, detail, { status = 0, requestId = "", retryAfter = 0 } = {}) {
    super(detail);
    this.title = title;
    this.status = status;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }

  /** Whether trying the same again can help. */
  get passing() {
    return PASSING.includes(this.status) || this.status >= 500;
  }
}

/**
 * Send one picture. When the service is busy and says for how long, wait and ask once more.
 *
 * @param {Source} source
 * @param {Record<string, string | number | boolean>} fields
 * @param {Options} options
 * @returns {Promise<Answer>}
 * @throws {ServiceError} or an AbortError
 */
export async function predict(source, fields, options) {
  if ("file" in source && source.file.size > MOST_BYTES) {
    const size = (source.file.size / 1024 / 1024).toFixed(1);
    throw new ServiceError(
      TITLES[413],
      `The file has ${size} MB; at most 20 MB are accepted. It was not sent.`,
      { status: 413 },
    );
  }
  try {
    return await send(source, fields, options);
  } catch (error) {
    if (!(error instanceof ServiceError) || error.status !== 429 || !error.retryAfter) throw error;
    options.onWait(error.retryAfter);
    await sleep(error.retryAfter * 1000, options.signal);
    return send(source, fields, options);
  }
}

/**
 * @param {string} username
 * @param {string} password
 */
export function basicAuthorization(username, password) {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/**
 * The picture in an answer.
 *
 * @param {Answer} answer
 */
export function pictureOf(answer) {
  const bytes = Uint8Array.from(atob(answer.image ?? ""), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/jpeg" });
}

/**
 * @param {Source} source
 * @param {Record<string, string | number | boolean>} fields
 * @param {Options} options
 * @returns {Promise<Answer>}
 */
async function send(source, fields, { authorization, signal }) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.set(name, String(value));
  if ("file" in source) body.set("image", source.file, source.name);
  else body.set("url", source.url);
  let response;
  try {
    response = await fetch(new URL("predict", document.baseURI), {
      method: "POST",
      body,
      signal,
      headers: authorization ? { Authorization: authorization } : {},
      // Without this, the browser would answer a 401 with a dialogue of its own.
      credentials: "omit",
    });
  } catch (error) {
    if (signal.aborted) throw error;
    const cause = navigator.onLine
      ? "It may be down or restarting, or the file can no longer be read."
      : "This device is offline.";
    throw new ServiceError("The service cannot be reached", `${cause} Try again.`);
  }
  if (!response.ok) throw await failure(response);
  try {
    return await response.json();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ServiceError("The answer broke off", "The connection was lost. Try again.");
  }
}

/** @param {Response} response */
async function failure(response) {
  const problem = await response.json().catch(() => ({}));
  const { status } = response;
  const seconds = Number(response.headers.get("Retry-After")) || 0;
  const detail = problem.detail ?? `It answered with status ${status}.`;
  return new ServiceError(
    TITLES_BY_CODE[problem.code] ?? TITLES[status] ?? problem.title ?? "The service refused",
    // The service's own message is for programs.
    status === 401 ? "This service needs a user name and a password." : advice(status, detail),
    {
      status,
      requestId: response.headers.get("X-Request-Id") ?? "",
      retryAfter: Math.min(seconds, LONGEST_WAIT_SECONDS),
    },
  );
}

/**
 * What the service says, without what the title has said already.
 *
 * @param {number} status
 * @param {string} detail
 */
function advice(status, detail) {
  const [, kind, way] = /^(an? [^:]+) cannot be read: (.*)$/s.exec(detail) ?? [];
  if (status !== 415 || !kind) return sentence(detail);
  return `It is ${kind}. ${capitalised(sentence(way.replace(/^send /, "choose ")))}`;
}

/** @param {string} text */
function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * The service's words as a sentence; names of fields stay as they are written.
 *
 * @param {string} text
 */
function sentence(text) {
  const capital = text.replace(/^[a-z](?=[a-z]*[ ,])/, (letter) => letter.toUpperCase());
  return capital + (/[.!?]$/.test(text) ? "" : ".");
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal ends the wait with its reason
 */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve(undefined);
    }, milliseconds);
  });
}
