// Clips as kexp.data.clips reads them: the frames in the middle of as many equal spans, each brought to size as a
// picture is.

import { h } from "./dom.js";
import { decode, frame, tensor } from "./pixels.js";
import { t } from "./text.js";

const PATIENCE = 15_000; // milliseconds that a browser may take to find a frame
const NUDGE = 0.0006; // seconds: where a span's middle is where a frame begins, that frame is meant; files round its time to 1 ms
const DRAWN = 150; // milliseconds after which a frame that was sought is taken to be there

/** A picture (Blob) of all frames, one below the other, as golden vectors have them. */
export async function strip(blob, spec) {
  const [count, height, width, channels] = spec.shape;
  const bitmap = await decode(blob);
  try {
    return tensor(frame(bitmap, bitmap.width, bitmap.height, [count * height, width, channels]));
  } finally {
    bitmap.close();
  }
}

/** A video file, or an animation (Blob), as Float32Array. Throws Error for what the browser cannot read. */
export async function film(blob, spec) {
  const [head] = new Uint8Array(await blob.slice(0, 1).arrayBuffer());
  const animation = head === "G".charCodeAt(0); // no video format begins so
  if (animation && !("ImageDecoder" in globalThis)) throw new Error(t("noAnimation"));
  return animation ? animated(blob, spec) : filmed(blob, spec);
}

async function animated(blob, { shape: [count, ...shape] }) {
  const decoder = new ImageDecoder({ data: await blob.arrayBuffer(), type: "image/gif", colorSpaceConversion: "none" });
  try {
    await Promise.all([decoder.completed, decoder.tracks.ready]); // all of them counted
    const { frameCount } = decoder.tracks.selectedTrack;
    const take = async (i) => {
      const frameIndex = Math.min(frameCount - 1, Math.floor(((i + 0.5) * frameCount) / count));
      const { image } = await decoder.decode({ frameIndex });
      const seen = tensor(frame(image, image.displayWidth, image.displayHeight, shape));
      image.close();
      return seen;
    };
    return await joined(count, take);
  } finally {
    decoder.close();
  }
}

async function filmed(blob, { shape: [count, ...shape] }) {
  const video = h("video", { playsinline: true, preload: "auto" });
  video.muted = true; // what has sound may not play unasked
  const url = URL.createObjectURL(blob);
  try {
    await told(video, "loadeddata", () => {
      video.src = url;
      video.play().then(() => video.pause(), () => {}); // iPhones load no frame before
    });
    if (!Number.isFinite(video.duration)) await told(video, "durationchange", () => (video.currentTime = 1e9)); // of a recording
    video.pause();
    const take = async (i) => {
      const drawn = video.requestVideoFrameCallback ? new Promise((resolve) => video.requestVideoFrameCallback(resolve)) : null;
      await told(video, "seeked", () => (video.currentTime = ((i + 0.5) * video.duration) / count + NUDGE));
      await Promise.race([drawn, new Promise((resolve) => setTimeout(resolve, DRAWN))]);
      return tensor(frame(video, video.videoWidth, video.videoHeight, shape));
    };
    return await joined(count, take);
  } finally {
    video.removeAttribute("src");
    video.load(); // lets go of the file
    URL.revokeObjectURL(url);
  }
}

/** What `take(i)` answers for each frame, one behind the other. */
async function joined(count, take) {
  const first = await take(0);
  const values = new Float32Array(count * first.length);
  values.set(first);
  for (let i = 1; i < count; i++) values.set(await take(i), i * first.length);
  return values;
}

/** Wait for an event that `start` brings about. Throws Error where the video fails, or takes too long. */
function told(video, name, start) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error(t("noFrames"))); // what the browser says of it is for its makers
    const late = setTimeout(fail, PATIENCE);
    const done = () => {
      clearTimeout(late);
      video.removeEventListener("error", fail);
      resolve();
    };
    video.addEventListener(name, done, { once: true });
    video.addEventListener("error", fail, { once: true });
    start();
  });
}
