// The answer: the likeliest labels with bars, or numbers, and how long the model took.

import { data, h } from "./dom.js";
import { milliseconds, number, onLanguage, percent, t } from "./text.js";
import { quantile } from "./runtime.js";

const TOP = 5; // labels that are shown
const LAST = 100; // runs that the times are of
const SPOKEN = 1500; // milliseconds between two announcements to a screen reader
const COARSE = 1; // milliseconds: what a browser's clock, of 0.1 or 1 ms, tells of one run says little below that

/** [label, probability] of every label, the likeliest first, as kexp run ranks them. */
export function rank(outputs, spec) {
  if (spec.task === "binary") {
    const pairs = [
      [spec.labels[1], outputs[0]],
      [spec.labels[0], 1 - outputs[0]],
    ];
    return pairs[0][1] >= pairs[1][1] ? pairs : pairs.reverse();
  }
  const pairs = spec.labels.map((label, index) => [label, outputs[index]]);
  return pairs.sort((a, b) => b[1] - a[1]); // sort is stable: of equals the first
}

export class Answer {
  #spec;
  #place;
  #spoken = h("p", { class: "unseen", role: "status", "aria-live": "polite", id: "spoken" });
  #headline = h("p", { class: "headline" });
  #list = h("ol", { class: "bars" });
  #speed = h("p", { class: "speed" });
  #wait = h("p", { class: "muted", t: "startingLong" });
  #times = [];
  #path = ""; // of the variant that answers
  #replayed = []; // what the check measured, by runs that are timed together
  #outputs = null;
  #said = "";
  #sayAt = 0;
  #timer = 0;

  constructor(place, spec) {
    this.#place = place;
    this.#spec = spec;
    const title = h("h2", { class: "unseen", t: "answer" });
    place.replaceChildren(title, this.#headline, this.#wait, this.#list, this.#speed, this.#spoken);
    place.dataset.state = "waiting";
    onLanguage(() => this.#draw());
  }

  /** Outputs of the model, and milliseconds that it took. */
  show(outputs, ms) {
    this.#times.push(ms);
    if (this.#times.length > LAST) this.#times.shift();
    this.#outputs = outputs;
    this.#draw();
  }

  /** Another variant, `path`: the times of the one before do not count. */
  restart(path) {
    this.#times = [];
    this.#path = path;
  }

  /** What the check has measured so far: [{artifact, p50_ms, p95_ms}]. */
  replayed(results) {
    this.#replayed = results;
    this.#draw();
  }

  #speeds() {
    const found = this.#replayed.find((result) => result.artifact === this.#path);
    const [p50, p95] = [0.5, 0.95].map((share) => quantile(this.#times, share));
    if (p50 < COARSE && found?.p50_ms !== undefined) return { p50: found.p50_ms, p95: found.p95_ms };
    return { p50, p95 };
  }

  #draw() {
    if (this.#outputs === null) {
      this.#headline.textContent = t("starting");
      return;
    }
    this.#wait.remove();
    this.#place.dataset.state = "shown";
    const said = this.#spec.task === "regression" ? this.#numbers() : this.#labels();
    const { p50, p95 } = this.#speeds();
    this.#speed.textContent = t("speed", { p50: milliseconds(p50), p95: milliseconds(p95) });
    this.#say(said);
  }

  #labels() {
    const ranked = rank(this.#outputs, this.#spec);
    const several = this.#spec.task === "multilabel";
    const chosen = several ? ranked.filter(([, share]) => share >= 0.5) : ranked.slice(0, 1);
    const names = chosen.map(([label]) => label);
    const shown = names.length ? names.join(t("comma")) : t("none");
    this.#headline.replaceChildren(data(shown, { class: "label" }));
    if (!several) this.#headline.append(h("span", { class: "share" }, percent(chosen[0][1])));
    this.#rows(ranked.slice(0, TOP), (row, [label, share], index) => {
      row.dataset.lead = !several && index === 0; // its name and share are the headline
      row.dataset.chosen = several ? share >= 0.5 : index === 0;
      row.parts.name.textContent = label;
      row.parts.value.textContent = percent(share);
      row.parts.bar.style.setProperty("--share", share.toFixed(4));
    });
    return several ? shown : [shown, percent(chosen[0][1])].join(t("comma"));
  }

  #numbers() {
    const { labels, target_mean: means, target_std: stds, horizon } = this.#spec;
    const pairs = labels.map((label, index) => [label, this.#outputs[index], index]);
    const [first] = pairs;
    this.#headline.replaceChildren(
      h("span", { class: "label" }, number(first[1])),
      data(labels.length === 1 ? first[0] : "", { class: "share" }),
    );
    this.#headline.hidden = labels.length > 1;
    if (horizon && labels.length === 1) {
      this.#rows([], () => {});
      return `${first[0]} ${number(first[1])}`;
    }
    this.#rows(pairs, (row, [label, value, index]) => {
      if (horizon) {
        row.dataset.scale = "none"; // what is typical of a forecast is drawn
        row.parts.name.textContent = label;
        row.parts.value.textContent = number(value);
        return;
      }
      // Where the number lies among those of the training rows: three standard deviations to each side.
      const place = Math.min(1, Math.max(0, 0.5 + (value - means[index]) / (6 * (stds[index] || 1))));
      row.dataset.chosen = true;
      row.dataset.scale = labels.length > 1 ? "several" : "single";
      row.parts.name.textContent = labels.length > 1 ? label : t("typical", { mean: number(means[index]) });
      row.parts.value.textContent = labels.length > 1 ? number(value) : "";
      row.parts.bar.style.setProperty("--share", place.toFixed(4));
    });
    return pairs.map(([label, value]) => `${label} ${number(value)}`).join(t("comma"));
  }

  /** Keeps the rows from one answer to the next, so that bars move instead of blinking. */
  #rows(entries, fill) {
    while (this.#list.children.length > entries.length) this.#list.lastChild.remove();
    while (this.#list.children.length < entries.length) {
      const name = data("", { class: "name" });
      const value = h("span", { class: "value" });
      const bar = h("span", { class: "bar", "aria-hidden": "true" });
      const row = h("li", {}, name, value, bar);
      row.parts = { name, value, bar };
      this.#list.append(row);
    }
    entries.forEach((entry, index) => fill(this.#list.children[index], entry, index));
  }

  /** Tell a screen reader what changed, not every frame of a camera. */
  #say(said) {
    clearTimeout(this.#timer);
    if (said === this.#said) return;
    const wait = Math.max(200, this.#sayAt - performance.now());
    this.#timer = setTimeout(() => {
      this.#said = said;
      this.#sayAt = performance.now() + SPOKEN;
      this.#spoken.textContent = said;
    }, wait);
  }
}
