// Lines over time, as SVG: a series with its channels, a sound with its loudness.

import { data, h } from "./dom.js";
import { number, onLanguage } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [400, 180];

const APART = 20; // times that one channel may vary more than another on one scale: more would flatten it

/**
 * A place for lines; draw(values, channels, more) replaces them: values (steps * channels), `more` what follows.
 *
 * `names` are the channels', `spread` how much each varies in the training rows: where that differs much each is drawn
 * from its own lowest to its own highest value.
 */
export class Plot {
  #apart;
  #range = null;
  #high = h("span");
  #low = h("span");

  constructor(names, key, spread = []) {
    const varying = spread.filter((each) => each > 0);
    this.#apart = Math.max(...varying) > APART * Math.min(...varying);
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    const legend = h("ul", { class: "legend" }, ...names.map((name, c) => h("li", { "data-line": c % 9 }, data(name))));
    const scale = h("div", { class: "scale", "aria-hidden": "true" }, this.#high, this.#low);
    const note = this.#apart ? h("figcaption", { class: "muted", t: "ownScales" }) : null;
    const picture = h("div", { class: "drawing" }, names.length && !this.#apart ? scale : null, this.svg);
    this.node = h("figure", { class: "plot", role: "img", label: key }, picture, names.length > 1 ? legend : null, note);
    onLanguage(() => this.#label());
  }

  #label() {
    if (!this.#range) return;
    [this.#low.textContent, this.#high.textContent] = this.#range.map((value) => number(value, 3));
  }

  /** `more`: [{channel, values}], drawn behind the last step. */
  draw(values, channels, more = []) {
    const steps = values.length / channels;
    const after = more.reduce((most, { values: next }) => Math.max(most, next.length), 0);
    const ranges = Array.from({ length: channels }, () => [Infinity, -Infinity]);
    const widen = (c, value) => (ranges[c] = [Math.min(ranges[c][0], value), Math.max(ranges[c][1], value)]);
    values.forEach((value, index) => widen(index % channels, value));
    for (const { channel, values: next } of more) for (const value of next) widen(channel, value);
    this.#range = [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))];
    this.#label();
    const x = (step) => (WIDTH * step) / Math.max(1, steps + after - 1);
    const y = (value, c) => {
      const [low, high] = this.#apart ? ranges[c] : this.#range;
      return 6 + (HEIGHT - 12) * (1 - (value - low) / (high - low || 1));
    };
    const lines = after ? [line([`${x(steps - 1)},0`, `${x(steps - 1)},${HEIGHT}`], 0, "now")] : [];
    const step = Math.max(1, Math.floor(steps / 2000)); // more points than pixels take time and show nothing
    for (let c = 0; c < channels; c++) {
      const points = [];
      for (let i = 0; i < steps; i += step) points.push(`${x(i).toFixed(1)},${y(values[i * channels + c], c).toFixed(1)}`);
      lines.push(line(points, c));
    }
    for (const { channel, values: next } of more) {
      const from = `${x(steps - 1)},${y(values[(steps - 1) * channels + channel], channel)}`;
      lines.push(line([from, ...Array.from(next, (value, i) => `${x(steps + i)},${y(value, channel)}`)], channel, "next"));
    }
    this.svg.replaceChildren(...lines);
  }

  /** The loudness of a sound: the largest and smallest of the samples behind each point, to the loudest. */
  wave(samples) {
    const loudest = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
    const points = [];
    for (const side of [Math.max, Math.min]) {
      const edge = Array.from({ length: WIDTH }, (_, i) => {
        const part = samples.subarray(Math.floor((samples.length * i) / WIDTH), Math.ceil((samples.length * (i + 1)) / WIDTH));
        const found = part.reduce((a, b) => side(a, b), 0);
        return `${i},${(HEIGHT / 2) * (1 - found / loudest)}`;
      });
      points.push(...(side === Math.max ? edge : edge.reverse()));
    }
    const shape = document.createElementNS(SVG, "polygon");
    shape.setAttribute("points", points.join(" "));
    shape.setAttribute("class", "wave");
    this.svg.replaceChildren(shape);
  }
}

function line(points, channel, name = "") {
  const node = document.createElementNS(SVG, "polyline");
  node.setAttribute("points", points.join(" "));
  node.setAttribute("data-line", channel % 9);
  node.setAttribute("class", name);
  return node;
}
