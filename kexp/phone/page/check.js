// The card that tells whether this phone answers as the computer did: golden vectors, variant by variant.

import { h, icon } from "./dom.js";
import { send } from "./device.js";
import { load, replay } from "./golden.js";
import { milliseconds, onLanguage, small, t } from "./text.js";

const IDLE = 600; // milliseconds of rest before the next variant is replayed
const NAME = /^\w+ phone (raw gap|gap)$/;

export class Check {
  #about;
  #models;
  #tell;
  #golden = null;
  #found = new Map(); // path -> what replay() answered
  #running = false;
  #error = "";
  #delivery = "";
  #verdict = h("p", { class: "verdict", role: "status" });
  #largest = h("p", { class: "muted" });
  #sent = h("p", { class: "muted" });
  #table = h("tbody");
  #again = h("button", { type: "button", class: "plain", t: "checkAgain", id: "check-again", on: { click: () => this.all() } });

  /** `models` opens variants: open(artifact) -> {model, changed, close()}; `tell` hears of every result. */
  constructor(place, about, models, tell) {
    this.#tell = tell;
    this.#about = about;
    this.#models = models;
    const head = h("tr", {}, ...["columnFile", "columnGap", "columnRaw", "columnTime"].map((key) => h("th", { scope: "col", t: key })));
    const table = h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), this.#table));
    place.append(
      h("h2", { t: "check" }),
      this.#verdict,
      this.#largest,
      h("details", {}, h("summary", { t: "checkDetails" }), table),
      h("div", { class: "foot" }, this.#sent, this.#again),
    );
    onLanguage(() => this.#draw());
  }

  get results() {
    return [...this.#found.values()];
  }

  /** Replay the variant in use, then the others, each after a rest. */
  async begin(selected) {
    const others = this.#about.artifacts.filter((artifact) => artifact.path !== selected.path);
    await this.#each([selected, ...others], true);
  }

  async all() {
    this.#found.clear();
    this.#golden = null;
    await this.#each(this.#about.artifacts, false);
  }

  async #each(artifacts, rest) {
    if (this.#running) return;
    this.#running = true;
    this.#error = "";
    this.#draw();
    try {
      this.#golden ??= await load(this.#about);
      for (const [turn, artifact] of artifacts.entries()) {
        if (rest && turn > 0) await idle();
        const opened = await this.#models.open(artifact);
        try {
          this.#found.set(artifact.path, await replay(this.#about, artifact, opened.model, this.#golden, opened.changed));
        } finally {
          await opened.close();
        }
        this.#draw();
        this.#tell(this.results);
        if (this.#about.results) await this.#deliver();
      }
    } catch (error) {
      this.#error = error.message || String(error);
    } finally {
      this.#running = false;
      this.#draw();
    }
  }

  /** Everything so far, each time: the last one says all, and an early leave has said something. */
  async #deliver() {
    this.#delivery = "sending";
    this.#draw();
    this.#delivery = (await send(this.results)) ? "sent" : "notSent";
    this.#draw();
  }

  #draw() {
    const checks = this.results.flatMap((result) => result.checks);
    const bad = checks.filter((check) => !check.ok);
    const state = this.#error || bad.length ? "failed" : this.#found.size ? "passed" : "waiting";
    const [mark, words] = {
      failed: ["failed", this.#error ? t("checkError", { why: this.#error }) : t("checkFailed")],
      passed: ["passed", t("checkPassed")],
      waiting: ["waiting", this.#running ? t("checkRunning") : t("checkWaiting")],
    }[state];
    this.#verdict.dataset.state = state;
    this.#verdict.dataset.running = this.#running;
    this.#verdict.dataset.count = this.#found.size;
    this.#verdict.replaceChildren(icon(mark), h("span", {}, words));
    const worst = checks.filter((check) => NAME.test(check.name)).sort((a, b) => closeness(b) - closeness(a))[0];
    this.#largest.textContent = worst ? t("largest", { value: small(worst.value), limit: small(worst.limit) }) : "";
    this.#largest.hidden = !worst;
    this.#table.replaceChildren(...this.#about.artifacts.map((artifact) => this.#row(artifact)));
    this.#sent.textContent = this.#delivery ? t(this.#delivery) : "";
    this.#sent.hidden = !this.#delivery;
    this.#again.disabled = this.#running;
  }

  #row(artifact) {
    const result = this.#found.get(artifact.path);
    const cell = (end) => {
      const check = result?.checks.find((each) => each.name === `${artifact.format} phone ${end}`);
      if (!check) return h("td", {}, "·");
      return h("td", { "data-ok": String(check.ok) }, check.ok ? null : icon("failed"), small(check.value));
    };
    return h(
      "tr",
      {},
      h("th", { scope: "row", dir: "ltr" }, artifact.format.replace("tflite_", "")),
      cell("gap"),
      cell("raw gap"),
      h("td", {}, result ? milliseconds(result.p50_ms) : "·"),
    );
  }
}

/** How near to, or how far beyond, its limit a check is. */
const closeness = (check) => (typeof check.value === "number" ? check.value / check.limit : Infinity);

function idle() {
  return new Promise((resolve) => {
    const when = globalThis.requestIdleCallback ?? ((run) => setTimeout(run));
    setTimeout(() => when(resolve, { timeout: 2000 }), IDLE);
  });
}
