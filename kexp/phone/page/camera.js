// The camera: asked for, let go, and why it is not there.

import { t } from "./text.js";

const IDEAL = { width: { ideal: 640 }, height: { ideal: 480 } }; // models see less

/** A stream of the camera that faces "environment" or "user". Throws what the browser says where there is none. */
export function camera(facing) {
  return navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: facing }, ...IDEAL } });
}

/** Let go of a stream; null is none. */
export function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** What to say of an error of `camera`. */
export const refusal = (error) => (error.name === "NotAllowedError" ? t("denied") : t("noCamera", { why: error.message || error.name }));

export const opposite = (facing) => (facing === "user" ? "environment" : "user");
