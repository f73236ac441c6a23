/** Opens the device's camera, for one picture or for live estimates. */

import { byId, tellProblem } from "./dom.js";
import { toJpeg } from "./drawing.js";

/** @type {Record<string, string>} */
const PROBLEMS = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it in the address bar.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

/**
 * Show the camera's button where there is a camera that the browser lets pages use.
 *
 * @param {(picture: Blob) => void} onPicture
 * @param {(stream: MediaStream, mirrored: boolean) => void} onLive takes over the stream
 */
export async function setUpCamera(onPicture, onLive) {
  // Browsers offer the camera only to pages from https or from this machine.
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  if (!devices.some((device) => device.kind === "videoinput")) return;

  const dialog = /** @type {HTMLDialogElement} */ (byId("camera-dialog"));
  const video = /** @type {HTMLVideoElement} */ (byId("camera-view"));
  const shoot = /** @type {HTMLButtonElement} */ (byId("camera-shoot"));
  const live = /** @type {HTMLButtonElement} */ (byId("camera-live"));
  const turn = byId("camera-turn");
  let facing = "user";
  /** @type {MediaStream | null} */
  let stream = null;

  function stop() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
    shoot.disabled = live.disabled = true;
  }

  async function start() {
    stop();
    tellProblem(byId("camera-problem"), "");
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: facing, width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
      if (!dialog.open) return stop();
      video.srcObject = stream;
      // Mirrored, as people know themselves; the picture taken is not.
      video.classList.toggle("mirrored", facing === "user");
      await video.play();
      shoot.disabled = live.disabled = false;
      const all = await navigator.mediaDevices.enumerateDevices();
      turn.hidden = all.filter((device) => device.kind === "videoinput").length < 2;
    } catch (error) {
      if (!dialog.open) return;
      tellProblem(
        byId("camera-problem"),
        PROBLEMS[error instanceof Error ? error.name : ""] ?? "The camera could not be started.",
      );
    }
  }

  byId("camera").addEventListener("click", () => {
    dialog.showModal();
    start();
  });
  byId("camera-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
  turn.addEventListener("click", () => {
    facing = facing === "user" ? "environment" : "user";
    start();
  });
  live.addEventListener("click", () => {
    const taken = stream;
    stream = null; // so that closing the dialogue does not stop it
    dialog.close();
    if (taken) onLive(taken, facing === "user");
  });
  shoot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    dialog.close();
    toJpeg(canvas).then((blob) => blob && onPicture(blob));
  });
  byId("camera").hidden = false;
}
