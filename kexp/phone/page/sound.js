// Sounds: the samples and files, to be seen and heard, and the microphone.

import { h, icon } from "./dom.js";
import { Plot } from "./plot.js";
import { resample } from "./rate.js";
import { t } from "./text.js";
import { action, golden, live, opener, turns } from "./controls.js";
import { read } from "./wav.js";

const PAUSE = 250; // milliseconds from one answer to the next

export function begin({ spec, samples, input, actions, predict }) {
  const [length] = spec.shape;
  const plot = new Plot([], "seen");
  const level = h("span", { class: "bar level", "aria-hidden": "true", hidden: true });
  const note = h("p", { class: "note", role: "alert", hidden: true });
  const play = h("button", { type: "button", class: "plain", t: "play", id: "play", on: { click: () => sound() } });
  let asked = 0;
  let shown = null; // the samples that were answered
  let microphone = null;

  function tell(text) {
    note.hidden = !text;
    note.textContent = text;
  }

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
    const context = new AudioContext();
    const buffer = context.createBuffer(1, length, spec.rate);
    buffer.copyToChannel(shown, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.addEventListener("ended", () => context.close());
    source.start();
  }

  // -- the microphone -------------------------------------------------------------------------------------

  async function listen() {
    if (microphone) return halt();
    arrows.none();
    const mine = ++asked;
    let opened;
    try {
      // As it is heard: what a browser does to speech was not done to the sounds that the model was trained on.
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      opened = await navigator.mediaDevices.getUserMedia({ audio });
      if (mine !== asked) throw new Error("");
      microphone = await hear(opened);
    } catch (error) {
      for (const track of opened?.getTracks() ?? []) track.stop();
      if (mine === asked) tell(error.name === "NotAllowedError" ? t("deniedMicrophone") : t("noMicrophone", { why: error.message || error.name }));
      return undefined;
    }
    tell("");
    buttons();
    const { context, ring } = microphone;
    while (microphone?.ring === ring) {
      if (ring.full && !document.hidden) await show(resample(ring.values(), context.sampleRate, spec.rate).slice(0, length));
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
    if (!microphone) return;
    for (const track of microphone.stream.getTracks()) track.stop();
    microphone.context.close();
    microphone = null;
    buttons();
  }

  const arrows = turns(samples.length, async (index) => {
    try {
      await open(await golden(samples[index]), "noSample");
    } catch (error) {
      tell(t("noSample", { why: error.message || String(error) }));
    }
  });
  const choose = opener("chooseSound", "audio/*,.wav,.flac,.ogg,.mp3", async (picked) => {
    arrows.none();
    await open(picked, "noSound");
  });
  const go = live() ? action("microphone", "microphone", () => listen(), { class: "action main", id: "microphone" }) : null;

  function buttons() {
    level.hidden = !microphone;
    go.replaceChildren(icon(microphone ? "stop" : "microphone"), h("span", { t: microphone ? "stop" : "microphone" }));
  }

  arrows.node.append(play);
  input.append(h("div", { class: "drawn" }, plot.node, level, note), arrows.node);
  actions.append(choose, ...(go ? [go] : []));
  return { first: () => arrows.go(0) };
}

/** The last `length` samples that were heard. */
class Ring {
  #values;
  #at = 0;
  #loudest = 0;
  full = false;

  constructor(length) {
    this.#values = new Float32Array(length);
  }

  push(heard) {
    for (const value of heard) {
      this.#values[this.#at] = value;
      this.#loudest = Math.max(this.#loudest, Math.abs(value));
      this.#at = (this.#at + 1) % this.#values.length;
      if (this.#at === 0) this.full = true;
    }
  }

  values() {
    const found = new Float32Array(this.#values.length);
    found.set(this.#values.subarray(this.#at));
    found.set(this.#values.subarray(0, this.#at), this.#values.length - this.#at);
    return found;
  }

  /** The largest value since it was asked for. */
  loudest() {
    const found = this.#loudest;
    this.#loudest = 0;
    return found;
  }
}
