// The motion sensors: which of them each channel is, a buffer of the last values, and an answer a few times a second.

import { h, icon } from "./dom.js";
import { number, onLanguage, t } from "./text.js";

const RATE = 50; // values a second where the model does not say
const PAUSE = 250; // milliseconds from one answer to the next
const SILENCE = 2000; // milliseconds without a value after which there is no sensor
const G = 9.80665; // m/s²
const AXES = ["x", "y", "z"];
// What a phone measures: [event's property, its field for x, y and z]. Rotation is told about z, x and y, in that order.
const SOURCES = {
  gravity: ["accelerationIncludingGravity", ["x", "y", "z"]],
  linear: ["acceleration", ["x", "y", "z"]],
  rotation: ["rotationRate", ["beta", "gamma", "alpha"]],
};
const UNITS = {
  gravity: { "m/s²": 1, g: 1 / G },
  linear: { "m/s²": 1, g: 1 / G },
  rotation: { "rad/s": Math.PI / 180, "°/s": 1 },
};
const USUAL = { 3: ["gravity"], 6: ["gravity", "rotation"], 9: ["linear", "rotation", "gravity"] };

/**
 * iPhones tell the acceleration plus gravity, all others minus gravity: flat on a table z is -9.8 there, 9.8 elsewhere
 * (github.com/dorukeker/gyronorm.js/issues/54). Gesture events are WebKit's alone; requestPermission is Chromium's too.
 */
const DOWNWARDS = "GestureEvent" in globalThis;

/**
 * What an event says of a source's axis, in its unit of SOURCES; NaN where it is not told. `downwards`: gravity is added
 * there, not taken off, so that it must be taken off twice.
 */
export function told(event, source, axis, downwards) {
  const of = (name) => {
    const [property, fields] = SOURCES[name];
    return event[property]?.[fields[AXES.indexOf(axis)]] ?? NaN;
  };
  if (source !== "gravity" || !downwards) return of(source);
  const linear = of("linear");
  return 2 * (Number.isNaN(linear) ? 0 : linear) - of("gravity");
}

/** [source, axis] of each channel, guessed from its name, and otherwise from how many there are. */
export function guess(channels) {
  const order = USUAL[channels.length] ?? ["gravity", "rotation", "linear"];
  return channels.map((name, index) => {
    const axis = /(?:^|[^a-z])([xyz])$/i.exec(name)?.[1].toLowerCase() ?? AXES[index % 3];
    const usual = order[Math.floor(index / 3) % order.length];
    if (/gyr|rot|omega/i.test(name)) return ["rotation", axis];
    if (/body|lin|user/i.test(name)) return ["linear", axis];
    if (/acc|grav|total/i.test(name)) return [order.includes("gravity") ? "gravity" : usual, axis];
    return [usual, axis];
  });
}

export class Sensors {
  #spec;
  #show;
  #tell;
  #rows = [];
  #rate;
  #button = null;
  #timer = 0;
  #heard = (event) => this.#take(event);
  #latest = null;
  #downwards = DOWNWARDS;

  constructor(spec, show, tell) {
    this.#spec = spec;
    this.#show = show;
    this.#tell = tell;
    const [steps, count] = spec.shape;
    this.names = spec.channels.length === count ? spec.channels : Array.from({ length: count }, (_, i) => `${i + 1}`);
    this.chosen = guess(this.names);
    this.#rate = spec.rate || RATE;
    this.units = { gravity: "m/s²", linear: "m/s²", rotation: "rad/s" };
    this.settings = this.#settings(steps);
  }

  /** Start, or stop; `button` says which of the two it does. */
  async toggle(button) {
    this.#button = button;
    if (this.#timer) return this.stop();
    try {
      const permission = await globalThis.DeviceMotionEvent?.requestPermission?.();
      if (permission === "denied") throw new Error(t("deniedMotion"));
      if (!globalThis.isSecureContext || !("DeviceMotionEvent" in globalThis)) throw new Error(t("needsSecure"));
    } catch (error) {
      this.#tell(t("noMotion", { why: error.message || error.name }));
      return undefined;
    }
    this.#latest = null;
    addEventListener("devicemotion", this.#heard);
    this.#run();
    this.#label();
    return undefined;
  }

  /** Every value is taken at its time, whenever the phone tells it. */
  #run() {
    clearInterval(this.#timer);
    this.#rows = [];
    const [steps] = this.#spec.shape;
    const every = 1000 / this.#rate;
    const begun = performance.now();
    let due = begun;
    let answered = 0;
    let busy = false;
    this.#timer = setInterval(async () => {
      const now = performance.now();
      if (!this.#latest && now - begun > SILENCE) {
        this.stop();
        this.#tell(t("noMotion", { why: t("noSensor") }));
        return;
      }
      for (; due <= now; due += every) if (this.#latest) this.#rows.push(this.#latest);
      this.#rows = this.#rows.slice(-steps);
      if (busy || this.#rows.length < steps || now - answered < PAUSE) return;
      [busy, answered] = [true, now];
      try {
        await this.#show(Float32Array.from(this.#rows.flat()));
      } finally {
        busy = false;
      }
    }, Math.max(10, every));
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    removeEventListener("devicemotion", this.#heard);
    if (this.#button) this.#label();
  }

  #label() {
    this.#button.replaceChildren(icon(this.#timer ? "stop" : "motion"), h("span", { t: this.#timer ? "halt" : "motion" }));
  }

  #take(event) {
    const row = this.chosen.map(([source, axis]) => told(event, source, axis, this.#downwards) * UNITS[source][this.units[source]]);
    if (row.every(Number.isFinite)) this.#latest = row;
  }

  /** Which sensor feeds which channel, in which unit and how often: the model cannot say all of it. */
  #settings(steps) {
    const rows = this.names.map((name, index) => {
      const options = Object.keys(SOURCES).flatMap((source) =>
        AXES.map((axis) => {
          const option = h("option", { value: `${source} ${axis}` });
          onLanguage(() => {
            option.textContent = `${axis} · ${t(`${source}Short`)}`;
          });
          return option;
        }),
      );
      const select = h("select", {}, ...options);
      select.addEventListener("change", () => {
        this.chosen[index] = select.value.split(" ");
        used();
      });
      select.value = this.chosen[index].join(" ");
      return h("label", { class: "setting" }, h("bdi", {}, name), select);
    });
    const units = Object.entries(UNITS).map(([source, of]) => {
      const options = Object.keys(of).map((unit) => h("option", { value: unit }, unit));
      const select = h("select", { dir: "ltr", on: { change: () => (this.units[source] = select.value) } }, ...options);
      return { source, node: h("label", { class: "setting" }, h("span", { t: source }), select) };
    });
    const turned = h("input", { type: "checkbox", on: { change: () => (this.#downwards = turned.checked) } });
    turned.checked = DOWNWARDS;
    const down = h("label", { class: "setting" }, h("span", { t: "downwards" }), turned);
    const used = () => {
      const sources = new Set(this.chosen.map(([source]) => source));
      for (const { source, node } of units) node.hidden = !sources.has(source);
      down.hidden = !sources.has("gravity");
    };
    used();
    const long = h("p", { class: "muted" });
    const write = () => {
      long.textContent = t("window", { seconds: number(steps / this.#rate, 3) });
    };
    onLanguage(write);
    const rate = h("input", { type: "number", min: "1", max: "500", step: "any", value: String(this.#rate), inputmode: "decimal" });
    rate.addEventListener("change", () => {
      this.#rate = rate.valueAsNumber > 0 ? Math.min(500, rate.valueAsNumber) : this.#rate;
      rate.value = String(this.#rate);
      write();
      if (this.#timer) this.#run();
    });
    const title = h("summary", { t: "sensors" });
    const often = h("label", { class: "setting" }, h("span", { t: "rate" }), rate);
    return h("details", { class: "card settings" }, title, long, ...rows, ...units.map(({ node }) => node), down, often);
  }
}
