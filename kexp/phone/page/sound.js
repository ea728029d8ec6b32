// Sounds: the samples and files, to be seen and heard, and the microphone.

import { h, icon } from "./dom.js";
import { Plot } from "./plot.js";
import { resample } from "./rate.js";
import { t } from "./text.js";
import { release } from "./camera.js";
import { action, live, notice, opener, turns } from "./controls.js";
import { fit, read } from "./wav.js";

const PAUSE = 250; // milliseconds from one answer to the next
const FIRST = 1; // seconds that are heard before the first answer; silence stands for what is missing of a longer sound
const PLAYABLE = 8000; // Hz: browsers need not play lower rates

export function begin({ spec, samples, input, actions, predict }) {
  const [length] = spec.shape;
  const plot = new Plot([], "seen");
  const level = h("span", { class: "bar level", "aria-hidden": "true", hidden: true });
  const [note, tell] = notice();
  const play = h("button", { type: "button", class: "plain", t: "play", id: "play", on: { click: () => sound() } });
  let asked = 0;
  let shown = null; // the samples that were answered
  let heard = null; // the context of what is played
  let microphone = null;

  async function show(values) {
    shown = values;
    plot.wave(values);
    try {
      await predict(values);
    } catch (error) {
      tell(t("noAnswer", { why: error.message || String(error) }));
    }
  }

  async function open(blob, why) {
    halt();
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

  /** What is shown, to be heard. */
  async function sound() {
    if (!shown) return;
    if (microphone) halt();
    hush();
    const context = new AudioContext();
    heard = context;
    const rate = Math.max(PLAYABLE, Math.round(spec.rate));
    const samples = resample(shown, spec.rate, rate);
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.addEventListener("ended", () => {
      if (heard === context) hush();
    });
    source.start();
  }

  function hush() {
    heard?.close();
    heard = null;
  }

  // -- the microphone -------------------------------------------------------------------------------------

  async function listen() {
    if (microphone) return halt();
    arrows.none();
    halt();
    const mine = asked;
    let opened;
    try {
      // As it is heard: what a browser does to speech was not done to the sounds that the model was trained on.
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      opened = await navigator.mediaDevices.getUserMedia({ audio });
      const found = mine === asked ? await hear(opened) : null;
      if (mine !== asked) {
        found?.context.close();
        return release(opened);
      }
      microphone = found;
    } catch (error) {
      release(opened);
      if (mine === asked) tell(error.name === "NotAllowedError" ? t("deniedMicrophone") : t("noMicrophone", { why: error.message || error.name }));
      return undefined;
    }
    tell("");
    buttons();
    const { context, ring } = microphone;
    const enough = Math.min(ring.length, FIRST * context.sampleRate);
    while (microphone?.ring === ring) {
      const values = ring.values();
      if (values.length >= enough && !document.hidden) await show(fit(resample(values, context.sampleRate, spec.rate), length));
      level.style.setProperty("--share", Math.min(1, ring.loudest()).toFixed(3));
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    return undefined;
  }

  async function hear(stream) {
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("listener.js", import.meta.url));
    const ring = new Ring(Math.ceil((length * context.sampleRate) / spec.rate));
    const node = new AudioWorkletNode(context, "listener");
    node.port.onmessage = ({ data }) => ring.push(data);
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
    return { context, stream, ring };
  }

  function halt() {
    asked++;
    hush(); // nor does the microphone hear what is played
    if (!microphone) return;
    release(microphone.stream);
    microphone.context.close();
    microphone = null;
    buttons();
  }

  const arrows = turns(samples, (blob) => open(blob, "noSample"), tell);
  const choose = opener("chooseSound", "audio/*,.wav,.flac,.ogg,.mp3", async (picked) => {
    arrows.none();
    await open(picked, "noSound");
  });
  const go = live() ? action("microphone", "microphone", () => listen(), { class: "action main", id: "microphone" }) : null;

  function buttons() {
    level.hidden = !microphone;
    go.replaceChildren(icon(microphone ? "stop" : "microphone"), h("span", { t: microphone ? "halt" : "microphone" }));
  }

  arrows.node.append(play);
  input.append(h("div", { class: "drawn" }, plot.node, level, note), arrows.node);
  actions.append(choose, ...(go ? [go] : []));
  return { first: () => arrows.go(0) };
}

/** The last `length` samples that were heard. */
class Ring {
  #values;
  #count = 0; // of all that were heard
  #loudest = 0;

  constructor(length) {
    this.#values = new Float32Array(length);
  }

  get length() {
    return this.#values.length;
  }

  push(heard) {
    for (const value of heard) {
      this.#values[this.#count++ % this.length] = value;
      this.#loudest = Math.max(this.#loudest, Math.abs(value));
    }
  }

  /** The latest last; fewer than `length` where no more were heard. */
  values() {
    if (this.#count < this.length) return this.#values.slice(0, this.#count);
    const at = this.#count % this.length;
    const found = new Float32Array(this.length);
    found.set(this.#values.subarray(at));
    found.set(this.#values.subarray(0, at), this.length - at);
    return found;
  }

  /** The largest value since it was asked for. */
  loudest() {
    const found = this.#loudest;
    this.#loudest = 0;
    return found;
  }
}
