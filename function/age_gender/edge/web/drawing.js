/** Draws boxes, numbers and labels into a picture, for what is downloaded and for small copies. */

import { reasons, short } from "./words.js";

/** @typedef {import("./service.js").Face} Face */

const INK = "#ffffff";
const DOUBT = "#ffb35c";
const SHADE = "rgb(12 12 14 / 84%)";
/** Safari makes no larger canvas, in pixels. */
const MAX_PIXELS = 16_700_000;
const SMALLEST_FONT = 11;
const JPEG_QUALITY = 0.92;

/**
 * @param {string} url
 * @throws {DOMException} if the browser cannot show it
 */
export async function decoded(url) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  return picture;
}

/**
 * The picture as a JPEG, without any of the metadata of its file.
 *
 * @param {HTMLImageElement} picture decoded
 * @param {[number, number]} size of the picture that the boxes refer to
 * @param {{face: Face, number: number}[]} faces to draw
 * @returns {Promise<Blob | null>} null when the browser cannot make it
 */
export function drawnCopy(picture, size, faces) {
  const { context, width, height } = canvasFor(picture);
  if (!context) return Promise.resolve(null);
  context.drawImage(picture, 0, 0, width, height);
  drawFaces(context, size, faces);
  return toJpeg(context.canvas);
}

/**
 * The picture, turned clockwise by a quarter.
 *
 * @param {HTMLImageElement} picture decoded
 * @returns {Promise<Blob | null>} null when the browser cannot make it
 */
export function turnedCopy(picture) {
  const { context, width, height } = canvasFor(picture);
  if (!context) return Promise.resolve(null);
  Object.assign(context.canvas, { width: height, height: width });
  context.translate(height, 0);
  context.rotate(Math.PI / 2);
  context.drawImage(picture, 0, 0, width, height);
  return toJpeg(context.canvas);
}

/** @param {HTMLImageElement} picture */
function canvasFor({ naturalWidth, naturalHeight }) {
  const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / (naturalWidth * naturalHeight)));
  const width = Math.max(1, Math.floor(naturalWidth * shrink));
  const height = Math.max(1, Math.floor(naturalHeight * shrink));
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return { context: canvas.getContext("2d"), width, height };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<Blob | null>}
 */
export function toJpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {[number, number]} size of the picture that the boxes refer to
 * @param {{face: Face, number: number}[]} faces
 * @param {number} [smallest] font, pixels
 */
export function drawFaces(context, size, faces, smallest = SMALLEST_FONT) {
  const scale = context.canvas.width / size[0];
  const shorter = Math.min(context.canvas.width, context.canvas.height);
  for (const { face, number } of faces) {
    const [x1, y1, x2, y2] = face.box.map((pixels) => pixels * scale);
    const colour = face.reliable === false ? DOUBT : INK;
    const line = Math.max(smallest / 7, Math.min(shorter / 250, (x2 - x1) / 12));
    outline(context, [x1, y1, x2 - x1, y2 - y1], line, colour, face.reliable === false);
    const font = Math.max(Math.min(shorter / 42, (x2 - x1) / 3), smallest);
    const room = x2 - x1 >= 2.5 * font;
    const text = room
      ? [`${number} · ${short(face)}`, ...reasons(face).slice(0, 1)]
      : [`${number}`];
    label(context, text, { x: x1, y: y1, bottom: y2 }, font, colour);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {[number, number, number, number]} box left, top, width, height
 * @param {number} line
 * @param {string} colour
 * @param {boolean} dashed
 */
function outline(context, box, line, colour, dashed) {
  context.setLineDash([]);
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.lineWidth = line * 2;
  context.strokeRect(...box);
  context.setLineDash(dashed ? [line * 4, line * 3] : []);
  context.strokeStyle = colour;
  context.lineWidth = line;
  context.strokeRect(...box);
}

/**
 * Above the box, or below it or at the picture's edge where there is no room.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string[]} lines
 * @param {{x: number, y: number, bottom: number}} at
 * @param {number} font
 * @param {string} colour
 */
function label(context, lines, at, font, colour) {
  context.font = `600 ${font}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const { width, height } = context.canvas;
  const wide = Math.max(...lines.map((text) => context.measureText(text).width)) + font * 0.8;
  const tall = lines.length * font * 1.3 + font * 0.2;
  const left = Math.max(0, Math.min(at.x, width - wide));
  const above = at.y - tall;
  const below = at.bottom + tall <= height ? at.bottom : Math.min(at.y, height - tall);
  const top = above >= 0 ? above : Math.max(0, below);
  context.fillStyle = SHADE;
  context.fillRect(left, top, wide, tall);
  context.fillStyle = colour;
  lines.forEach((text, index) => {
    context.fillText(text, left + font * 0.4, top + font * (0.75 + index * 1.3));
  });
}
