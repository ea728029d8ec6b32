// Lines over time, as SVG: a series with its channels, a sound with its loudness.

import { data, h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [400, 180];

/** A place for lines; draw(values, channels, more) replaces them: values (steps * channels), `more` what follows. */
export class Plot {
  constructor(names, key) {
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    const several = names.length > 1;
    const legend = h("ul", { class: "legend" }, ...names.map((name, c) => h("li", { "data-line": c % 9 }, data(name))));
    this.node = h("figure", { class: "plot", role: "img", label: key }, this.svg, several ? legend : null);
  }

  /** `more`: [{channel, values}], drawn behind the last step. */
  draw(values, channels, more = []) {
    const steps = values.length / channels;
    const after = more.reduce((most, { values: next }) => Math.max(most, next.length), 0);
    let [low, high] = [Infinity, -Infinity];
    for (const each of [values, ...more.map(({ values: next }) => next)]) {
      for (const value of each) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    const span = high - low || 1;
    const x = (step) => (WIDTH * step) / Math.max(1, steps + after - 1);
    const y = (value) => 6 + (HEIGHT - 12) * (1 - (value - low) / span);
    const lines = [];
    const step = Math.max(1, Math.floor(steps / 2000)); // more points than pixels take time and show nothing
    for (let c = 0; c < channels; c++) {
      const points = [];
      for (let i = 0; i < steps; i += step) points.push(`${x(i).toFixed(1)},${y(values[i * channels + c]).toFixed(1)}`);
      lines.push(line(points, c));
    }
    for (const { channel, values: next } of more) {
      const from = `${x(steps - 1)},${y(values[(steps - 1) * channels + channel])}`;
      lines.push(line([from, ...Array.from(next, (value, i) => `${x(steps + i)},${y(value)}`)], channel, true));
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

function line(points, channel, next = false) {
  const node = document.createElementNS(SVG, "polyline");
  node.setAttribute("points", points.join(" "));
  node.setAttribute("data-line", channel % 9);
  if (next) node.setAttribute("class", "next");
  return node;
}
