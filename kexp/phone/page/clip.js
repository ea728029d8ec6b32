// Clips: the samples and video files, shown as the frames that the model sees, and a short recording of the camera.

import { h, icon } from "./dom.js";
import { decode, frame, tensor } from "./pixels.js";
import { onLanguage, t, whole } from "./text.js";
import { action, golden, live, opener, turns } from "./controls.js";

const SECONDS = 2; // of a recording where the model does not know how fast its frames follow
const PACE = 8; // frames a second that are shown where it does not know either

export function begin({ spec, samples, input, actions, predict }) {
  const [count, height, width, channels] = spec.shape;
  const size = height * width * channels;
  const video = h("video", { playsinline: true, muted: true, hidden: true, "aria-hidden": "true" });
  const screen = h("canvas", { width, height, role: "img", label: "seen", class: "frames" });
  const note = h("p", { class: "note", role: "alert", hidden: true });
  const counter = h("p", { class: "counter", "aria-hidden": "true", hidden: true });
  const caption = h("p", { class: "muted" });
  onLanguage(() => {
    caption.textContent = t("framesOf", { count: whole(count), width: whole(width), height: whole(height) });
  });
  let asked = 0;
  let shown = null;

  function tell(text) {
    note.hidden = !text;
    note.textContent = text;
  }

  async function show(values) {
    shown = values;
    try {
      await predict(values);
    } catch (error) {
      tell(t("noAnswer", { why: error.message || String(error) }));
    }
  }

  let turn = 0;
  setInterval(() => {
    if (!shown || document.hidden) return;
    draw(shown.subarray(turn * size, (turn + 1) * size));
    turn = (turn + 1) % count;
  }, 1000 / Math.min(15, Math.max(2, spec.rate || PACE)));

  function draw(values) {
    const pixels = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = values[channels * i + (channels === 1 ? 0 : c)];
      pixels.data[4 * i + 3] = 255;
    }
    screen.getContext("2d").putImageData(pixels, 0, 0);
  }

  async function open(blob, read, why) {
    const mine = ++asked;
    try {
      const values = await read(blob, spec);
      if (mine !== asked) return;
      tell("");
      await show(values);
    } catch (error) {
      if (mine === asked) tell(t(why, { why: error.message || String(error) }));
    }
  }

  // -- the camera -----------------------------------------------------------------------------------------

  async function record() {
    const mine = ++asked;
    arrows.none();
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: "environment" } } });
    } catch (error) {
      tell(error.name === "NotAllowedError" ? t("denied") : t("noCamera", { why: error.message || error.name }));
      return;
    }
    tell("");
    video.srcObject = stream;
    video.hidden = false;
    counter.hidden = false;
    go.disabled = true;
    try {
      await video.play();
      for (let left = 3; left && mine === asked; left--) {
        counter.textContent = whole(left);
        await wait(600);
      }
      counter.textContent = "●";
      const values = new Float32Array(count * size);
      const every = (1000 * (spec.rate ? count / spec.rate : SECONDS)) / count;
      const start = performance.now();
      for (let i = 0; i < count && mine === asked; i++) {
        await wait(start + (i + 0.5) * every - performance.now());
        values.set(tensor(frame(video, video.videoWidth, video.videoHeight, [height, width, channels])), i * size);
      }
      if (mine === asked) await show(values);
    } catch (error) {
      tell(t("noCamera", { why: error.message || error.name }));
    } finally {
      for (const track of stream.getTracks()) track.stop();
      video.srcObject = null;
      video.hidden = true;
      counter.hidden = true;
      go.disabled = false;
    }
  }

  const arrows = turns(samples.length, async (index) => {
    try {
      await open(await golden(samples[index]), strip, "noSample");
    } catch (error) {
      tell(t("noSample", { why: error.message || String(error) }));
    }
  });
  const choose = opener("chooseClip", "video/*", async (picked) => {
    arrows.none();
    await open(picked, film, "noClip");
  });
  const go = live() ? action("record", "record", () => record(), { class: "action main", id: "record" }) : null;
  const stage = h("div", { class: "stage clip" }, screen, video, counter, note);
  stage.style.setProperty("--ratio", `${width} / ${height}`);
  input.append(stage, caption, arrows.node);
  actions.append(choose, ...(go ? [go] : []));
  return { first: () => arrows.go(0) };
}

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));

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

/** A video file (Blob): the frames in the middle of as many equal spans. */
export async function film(blob, spec) {
  const [count, height, width, channels] = spec.shape;
  const size = height * width * channels;
  const video = h("video", { playsinline: true, muted: true, preload: "auto" });
  const url = URL.createObjectURL(blob);
  try {
    await event(video, "loadeddata", () => (video.src = url));
    if (!Number.isFinite(video.duration)) await event(video, "durationchange", () => (video.currentTime = 1e9)); // of a recording
    const values = new Float32Array(count * size);
    for (let i = 0; i < count; i++) {
      await event(video, "seeked", () => (video.currentTime = ((i + 0.5) * video.duration) / count));
      values.set(tensor(frame(video, video.videoWidth, video.videoHeight, [height, width, channels])), i * size);
    }
    return values;
  } finally {
    video.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}

function event(video, name, start) {
  return new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(new Error(video.error?.message || "no video")), { once: true });
    start();
  });
}
