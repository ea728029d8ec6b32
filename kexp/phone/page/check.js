// The card that tells whether this phone answers as the computer did: golden vectors, variant by variant.

import { data, h, icon } from "./dom.js";
import { send } from "./device.js";
import { load, replay } from "./golden.js";
import { milliseconds, onLanguage, small, t, whole } from "./text.js";

const IDLE = 600; // milliseconds of rest before the next variant is replayed
const NAME = /^\w+ phone (raw )?gap/;

export class Check {
  #about;
  #models;
  #tell;
  #golden = null;
  #found = new Map(); // path -> what replay() answered
  #running = false;
  #delivery = null; // {key, why} of what is said of it
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
    this.#draw();
    try {
      for (const [turn, artifact] of artifacts.entries()) {
        if (rest && turn > 0) await idle();
        this.#found.set(artifact.path, await this.#replay(artifact));
        this.#draw();
        this.#tell(this.results);
        if (this.#about.results) await this.#deliver();
      }
    } finally {
      this.#running = false;
      this.#draw();
    }
  }

  /** What replay() answers; of a variant that cannot run {artifact, sha256, error}: the others are checked anyway. */
  async #replay(artifact) {
    try {
      this.#golden ??= await load(this.#about);
      const opened = await this.#models.open(artifact);
      try {
        return await replay(this.#about, artifact, opened.model, this.#golden, opened.changed);
      } finally {
        await opened.close();
      }
    } catch (error) {
      return { artifact: artifact.path, sha256: artifact.sha256, error: String(error.message || error).slice(0, 200) };
    }
  }

  /** Everything so far, each time: the last one says all, and an early leave has said something. */
  async #deliver() {
    this.#delivery = { key: "sending" };
    this.#draw();
    const why = await send(this.results);
    this.#delivery = { key: why === "" ? "sent" : why === null ? "notSent" : "refused", why };
    this.#draw();
  }

  #draw() {
    const checks = this.results.flatMap((result) => result.checks ?? []);
    const wrong = checks.some((check) => !check.ok);
    const why = this.results.find((result) => result.error)?.error;
    const progress = { done: whole(this.#found.size), count: whole(this.#about.artifacts.length) };
    const all = this.#found.size === this.#about.artifacts.length;
    const state = wrong || why ? "failed" : all ? "passed" : "waiting";
    const [mark, words] = {
      failed: ["failed", wrong ? t("checkFailed") : t("checkError", { why })],
      passed: ["passed", t("checkPassed")],
      waiting: ["waiting", this.#running ? t("checkRunning", progress) : t("checkWaiting")],
    }[state];
    this.#verdict.dataset.state = state;
    this.#verdict.dataset.running = this.#running;
    this.#verdict.dataset.count = this.#found.size;
    this.#verdict.replaceChildren(icon(mark), h("span", {}, words));
    const worst = checks.filter((check) => NAME.test(check.name)).sort(farthest)[0];
    this.#largest.textContent = worst ? t("largest", { value: small(worst.value), limit: small(worst.limit) }) : "";
    this.#largest.hidden = !worst;
    this.#table.replaceChildren(...this.#about.artifacts.map((artifact) => this.#row(artifact)));
    this.#sent.textContent = this.#delivery ? t(this.#delivery.key, this.#delivery) : "";
    this.#sent.hidden = !this.#delivery;
    this.#again.disabled = this.#running;
  }

  #row(artifact) {
    const result = this.#found.get(artifact.path);
    const cell = (name) => {
      const [check] = (result?.checks ?? []).filter((each) => name.test(each.name)).sort(farthest);
      if (!check) return h("td", {}, result?.error ? icon("failed") : "·");
      return h("td", { "data-ok": String(check.ok) }, check.ok ? null : icon("failed"), small(check.value));
    };
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, data(artifact.format.replace("tflite_", ""))),
      cell(/ phone gap$/),
      cell(/ phone raw gap/),
      h("td", {}, result?.p50_ms === undefined ? "·" : milliseconds(result.p50_ms)),
    );
  }
}

/** How near to, or how far beyond, its limit a check is. */
const closeness = (check) => (typeof check.value === "number" ? check.value / check.limit : Infinity);

const farthest = (a, b) => closeness(b) - closeness(a);

function idle() {
  return new Promise((resolve) => {
    const when = globalThis.requestIdleCallback ?? ((run) => setTimeout(run));
    setTimeout(() => when(resolve, { timeout: 2000 }), IDLE);
  });
}
