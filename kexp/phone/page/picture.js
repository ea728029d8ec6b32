// Pictures: the live camera where the browser gives it, a photo or a file everywhere, and the samples that came along.

import { camera, opposite, refusal, release } from "./camera.js";
import { action, golden, live, notice } from "./controls.js";
import { h, icon } from "./dom.js";
import { frame, paint, read, tensor } from "./pixels.js";
import { onLanguage, t, whole } from "./text.js";

const PAUSE = 120; // milliseconds from one frame to the next: calm to look at, and cool in the hand

/** A digit of 8 x 8 is shown as its pixels, not blurred. */
const sharpen = ({ target }) => (target.dataset.small = target.naturalWidth < 100);

export function begin({ spec, samples, input, actions, predict }) {
  const [height, width, channels] = spec.shape;
  const video = h("video", { playsinline: true, muted: true, hidden: true, "aria-hidden": "true" });
  const still = h("img", {
    alt: "",
    hidden: true,
    on: { load: sharpen },
  });
  const seen = h("canvas", { width, height, role: "img", label: "seen" });
  const size = h("span", { class: "size" });
  const [note, tell] = notice();
  const inset = h("figure", { class: "seen" }, seen, h("figcaption", {}, size));
  const stage = h("div", { class: "stage" }, video, still, inset, note);
  stage.style.setProperty("--ratio", `${width} / ${height}`);
  onLanguage(() => {
    size.textContent = t("seenSize", { width: whole(width), height: whole(height) });
  });

  const last = h("canvas");
  let stream = null; // of the camera while it is live
  let drawn = null; // the stream of which `last` has a frame
  let facing = "environment";
  let asked = 0; // the latest picture asked for: an earlier one that is read later is not shown

  const draw = (picture) => paint(seen, picture.data, channels);

  // -- a picture of a file ----------------------------------------------------------------------------

  async function show(blob) {
    halt();
    const mine = ++asked;
    let picture;
    try {
      picture = await read(blob, spec.shape);
    } catch {
      if (mine === asked) tell(t("noPicture"));
      return;
    }
    if (mine !== asked) return;
    put(URL.createObjectURL(blob));
    tell("");
    draw(picture);
    await ask(tensor(picture));
  }

  /** Show a picture that is not live. */
  function put(url) {
    URL.revokeObjectURL(still.src); // does nothing where it is no blob:
    still.src = url;
    still.hidden = false;
  }

  async function ask(values) {
    try {
      await predict(values);
    } catch (error) {
      tell(t("noAnswer", { why: error.message || String(error) }));
    }
  }

  // -- the camera ---------------------------------------------------------------------------------------

  async function run() {
    const mine = ++asked;
    let opened;
    try {
      opened = await camera(facing);
    } catch (error) {
      if (mine !== asked) return;
      halt();
      tell(refusal(error));
      return;
    }
    if (mine !== asked) {
      release(opened); // something else was asked for meanwhile
      return;
    }
    release(stream);
    stream = opened;
    video.srcObject = stream;
    video.dataset.mirrored = facing === "user";
    await video.play().catch(() => {});
    if (stream !== opened) return; // it was stopped before its first frame
    video.hidden = false;
    still.hidden = true;
    tell("");
    chosen(null);
    buttons();
    watch(stream);
  }

  async function watch(mine) {
    while (stream === mine) {
      if (video.videoWidth && !document.hidden) {
        last.width = video.videoWidth;
        last.height = video.videoHeight;
        last.getContext("2d").drawImage(video, 0, 0); // what stays when the camera is frozen is what was answered
        const picture = frame(last, last.width, last.height, spec.shape);
        drawn = mine;
        draw(picture);
        await ask(tensor(picture));
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  /** Stop the camera; the last frame that was answered stays, or the picture before where there was none yet. */
  function halt() {
    asked++;
    if (!stream) return;
    if (drawn === stream) put(last.toDataURL("image/jpeg"));
    still.hidden = false;
    video.hidden = true;
    release(stream);
    stream = null;
    video.srcObject = null;
    buttons();
  }

  // -- samples --------------------------------------------------------------------------------------------

  const strip = h("div", { class: "strip", role: "group", label: "samples" });
  const thumbnails = samples.map((name, index) => {
    const url = `golden/${encodeURIComponent(name)}`;
    const button = h(
      "button",
      {
        type: "button",
        class: "thumbnail",
        "aria-pressed": "false",
        on: { click: () => sample(index) },
      },
      h("img", { src: url, alt: "", on: { load: sharpen } }),
    );
    onLanguage(() => button.setAttribute("aria-label", t("sample", { number: whole(index + 1) })));
    return button;
  });
  strip.append(...thumbnails);

  async function sample(index) {
    const mine = ++asked;
    let blob;
    try {
      blob = await golden(samples[index]);
    } catch (error) {
      if (mine === asked) tell(t("noSample", { why: error.message || String(error) }));
      return;
    }
    if (mine !== asked) return;
    chosen(thumbnails[index]);
    await show(blob);
  }

  function chosen(button) {
    for (const each of thumbnails) each.setAttribute("aria-pressed", String(each === button));
  }

  // -- buttons --------------------------------------------------------------------------------------------

  function file(key, name, capture) {
    const field = h("input", {
      type: "file",
      accept: "image/*",
      capture,
      class: "unseen",
      label: `${key}Label`,
      id: `file-${key}`,
      on: {
        change: async () => {
          const [picked] = field.files;
          field.value = ""; // the same file may be picked again
          if (!picked) return;
          chosen(null);
          await show(picked);
        },
      },
    });
    return h("label", { class: "action" }, field, icon(name), h("span", { t: key }));
  }

  const go = action("camera", "camera", () => (stream ? halt() : run()), { class: "action main", id: "camera" });
  const turn = action(
    "turn",
    "turn",
    () => {
      facing = opposite(facing);
      release(stream);
      run();
    },
    { label: "turnLabel", id: "turn" },
  );
  const photo = file("photo", "photo", "environment");
  if (!live()) photo.classList.add("main");

  function buttons() {
    const key = stream ? "stop" : "camera";
    go.replaceChildren(icon(key === "stop" ? "stop" : "camera"), h("span", { t: key }));
    turn.hidden = !stream;
    photo.hidden = Boolean(stream);
  }

  actions.append(file("choose", "choose", null), ...(live() ? [go, photo, turn] : [photo]));
  buttons();
  input.append(stage, strip);
  return { first: () => sample(0) };
}
