// Clips: the samples and video files, shown as the frames that the model sees, and the camera: a recording, or live.

import { camera, opposite, refusal, release } from "./camera.js";
import { action, live, notice, opener, turns } from "./controls.js";
import { h, icon } from "./dom.js";
import { film, strip } from "./film.js";
import { frame, paint, tensor } from "./pixels.js";
import { onLanguage, t, whole } from "./text.js";

const SECONDS = 2; // of a clip where the model does not know how fast its frames follow
const PACE = 8; // frames a second that are shown where it does not know either
const COUNTED = 700; // milliseconds of each number before a recording
const PAUSE = 300; // milliseconds from one live answer to the next

export function begin({ spec, samples, input, actions, predict }) {
  const [count, height, width, channels] = spec.shape;
  const size = height * width * channels;
  const every = (1000 * (spec.rate ? count / spec.rate : SECONDS)) / count; // milliseconds from frame to frame
  const video = h("video", { playsinline: true, hidden: true, "aria-hidden": "true" });
  video.muted = true;
  const screen = h("canvas", { width, height, role: "img", label: "seen", class: "frames" });
  const [note, tell] = notice();
  const counter = h("p", { class: "counter", "aria-hidden": "true", hidden: true });
  const caption = h("p", { class: "muted" });
  onLanguage(() => {
    caption.textContent = t("framesOf", { count: whole(count), width: whole(width), height: whole(height) });
  });
  let asked = 0; // the latest clip asked for: an earlier one that is read later is not shown
  let shown = null;
  let stream = null; // of the camera while it is in use
  let using = null; // what its frames are for: record or watch
  let facing = "environment";

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
    paint(screen, shown.subarray(turn * size, (turn + 1) * size), channels);
    turn = (turn + 1) % count;
  }, 1000 / Math.min(15, Math.max(2, spec.rate || PACE)));

  async function open(blob, read, why) {
    halt();
    const mine = asked;
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

  /** Open the camera and hand its frames to `use(mine)`, which ends when something else was asked for. */
  async function filming(use) {
    halt();
    const mine = asked;
    arrows.none();
    using = use;
    let opened;
    try {
      opened = await camera(facing);
      if (mine !== asked) return release(opened);
      stream = opened;
      video.srcObject = stream;
      video.dataset.mirrored = facing === "user";
      await video.play();
      tell("");
      video.hidden = false;
      buttons();
      await use(mine);
    } catch (error) {
      release(opened);
      if (mine === asked) tell(refusal(error));
    } finally {
      if (mine === asked) halt();
    }
    return undefined;
  }

  async function record(mine) {
    for (let left = 3; left && mine === asked; left--) {
      counter.textContent = whole(left);
      counter.hidden = false;
      await wait(COUNTED);
    }
    counter.textContent = "●";
    const frames = [];
    const start = performance.now();
    for (let i = 0; i < count && mine === asked; i++) {
      await wait(start + (i + 0.5) * every - performance.now());
      frames.push(seen());
    }
    if (mine === asked) await show(clip(frames));
  }

  async function watch(mine) {
    const frames = [];
    let answered = 0;
    let due = performance.now();
    while (mine === asked) {
      frames.push(seen());
      if (frames.length > count) frames.shift();
      if (frames.length === count && !document.hidden && performance.now() - answered >= PAUSE) {
        await show(clip(frames));
        answered = performance.now();
      }
      due = Math.max(due + every, performance.now() - every); // frames that an answer took the time of are left out
      await wait(due - performance.now());
    }
  }

  const seen = () => tensor(frame(video, video.videoWidth, video.videoHeight, [height, width, channels]));

  function clip(frames) {
    const values = new Float32Array(count * size);
    frames.forEach((each, i) => values.set(each, i * size));
    return values;
  }

  /** Let the camera go; the last clip that was answered stays. */
  function halt() {
    asked++;
    if (!stream) return;
    release(stream);
    stream = null;
    video.srcObject = null;
    video.hidden = true;
    counter.hidden = true;
    buttons();
  }

  // -- buttons --------------------------------------------------------------------------------------------

  const arrows = turns(samples, (blob) => open(blob, strip, "noSample"), tell);
  const choose = opener("chooseClip", "video/*,.gif", async (picked) => {
    arrows.none();
    await open(picked, film, "noClip");
  });
  const go = action("live", "camera", () => (stream ? halt() : filming(watch)), { class: "action", id: "camera" });
  const take = action("record", "record", () => filming(record), { class: "action main", id: "record" });
  const other = action(
    "turn",
    "turn",
    () => {
      facing = opposite(facing);
      filming(using);
    },
    { label: "turnLabel", id: "turn" },
  );

  function buttons() {
    const key = stream ? "halt" : "live";
    go.replaceChildren(icon(stream ? "stop" : "camera"), h("span", { t: key }));
    other.hidden = !stream;
    choose.hidden = Boolean(stream);
  }

  buttons();
  const stage = h("div", { class: "stage clip" }, screen, video, counter, note);
  stage.style.setProperty("--ratio", `${width} / ${height}`);
  input.append(stage, caption, arrows.node);
  actions.append(choose, ...(live() ? [other, go, take] : []));
  return { first: () => arrows.go(0) };
}

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
