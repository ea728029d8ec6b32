// The page: reads what the model is, starts LiteRT.js, and puts the parts together.

import { Answer } from "./answer.js";
import { Check } from "./check.js";
import { data, h, icon } from "./dom.js";
import { KINDS } from "./kinds.js";
import { follow, keep, reuse } from "./offline.js";
import * as runtime from "./runtime.js";
import * as words from "./text.js";
import { t } from "./text.js";

const $ = (id) => document.getElementById(id);

main().catch((error) => fail(error));

async function main() {
  follow();
  words.begin();
  words.onLanguage(() => {
    $("language").lang = t("otherLanguage");
  });
  $("language").addEventListener("click", words.change);
  const about = await (await fetched("model/about.json")).json();
  const models = new Models(about);
  heading(about);
  const answer = new Answer($("answer"), about.spec);
  let selected = about.artifacts.find((artifact) => artifact.format === "tflite_int8") ?? about.artifacts[0];
  let latest = null; // the sample that is shown: another variant answers it at once
  let current = null; // the opened variant that answers, or a promise of it
  let turn = 0;

  async function predict(values) {
    latest = values;
    const opened = await current;
    const { outputs, ms } = await opened.model.run(values);
    answer.show(outputs, ms);
    return outputs;
  }

  /** Let another variant answer; whether it does. Throws Error, and all stays as it was, where it cannot be opened. */
  async function select(artifact) {
    const mine = ++turn;
    let opened;
    try {
      opened = await models.open(artifact);
      if (opened.changed) throw new Error(t("changed")); // not the one that about.json describes
    } catch (error) {
      await opened?.close();
      if (mine !== turn) return false;
      throw error;
    }
    if (mine !== turn) {
      await opened.close(); // another was chosen meanwhile
      return false;
    }
    const before = current;
    selected = artifact;
    current = opened;
    answer.restart(artifact.path);
    await (await before).close();
    if (latest) await predict(latest);
    return true;
  }

  const variants = modelCard($("model"), about, selected, select);
  const expected = await (await fetched("golden/expected.json")).json();
  const page = { spec: about.spec, samples: expected.samples, input: $("input"), actions: $("actions"), predict };
  answer.restart(selected.path);
  await reuse();
  current = models.open(selected);
  const kind = await KINDS[about.kind].begin(page);
  const device = deviceCard($("device"), about, expected.samples.length);
  const check = new Check($("check"), about, models, (results) => {
    variants.times(results);
    answer.replayed(results);
  });
  document.body.dataset.state = "shown";
  await runtime.start();
  await current;
  await kind.first();
  document.body.dataset.ready = true;
  await Promise.all([check.begin(selected), keep(device.offline, device.newer)]);
}

/** Opened variants, each once however many use it: two copies of a large model are more than some phones hold. */
class Models {
  #about;
  #opened = new Map();

  constructor(about) {
    this.#about = about;
  }

  async open(artifact) {
    const entry = this.#opened.get(artifact.path) ?? { users: 0, opening: this.#load(artifact) };
    this.#opened.set(artifact.path, entry);
    entry.users++;
    const close = async () => {
      if (--entry.users) return;
      this.#opened.delete(artifact.path);
      await (await entry.opening).model.delete();
    };
    try {
      return { ...(await entry.opening), close };
    } catch (error) {
      this.#opened.delete(artifact.path);
      throw error;
    }
  }

  async #load(artifact) {
    const bytes = new Uint8Array(await (await fetched(`model/${artifact.path}`)).arrayBuffer());
    const [model, changed] = await Promise.all([runtime.open(bytes), differs(bytes, artifact.sha256)]);
    return { model, changed };
  }
}

/** Whether the bytes have another SHA-256; null where the browser cannot tell, as on plain http. */
async function differs(bytes, sha256) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") !== sha256;
}

async function fetched(url) {
  const answer = await fetch(new URL(url, import.meta.url));
  if (!answer.ok) throw new Error(`${url}: status ${answer.status}`);
  return answer;
}

function heading(about) {
  document.title = about.name;
  $("name").replaceChildren(data(about.name));
  words.onLanguage(() => {
    const task = about.spec.horizon ? "taskForecast" : `task${about.task[0].toUpperCase()}${about.task.slice(1)}`;
    const kind = `kind${about.kind[0].toUpperCase()}${about.kind.slice(1)}`;
    $("task").textContent = `${t(task, { count: words.whole(about.spec.labels.length) })} ${t(kind)}`;
  });
}

/** The variants to choose from, and facts of the model. */
function modelCard(place, about, selected, select) {
  const rows = about.artifacts.map((artifact) => {
    const short = artifact.format.replace("tflite_", "");
    const field = h("input", {
      type: "radio",
      name: "variant",
      value: artifact.path,
      checked: artifact === selected,
      on: { change: () => choose(artifact) },
    });
    const size = h("span", { class: "size" });
    const time = h("span", { class: "time" });
    const what = words.has(short) ? h("span", { class: "muted", t: short }) : null;
    const node = h(
      "label",
      { class: "variant" },
      field,
      h("span", { class: "what" }, h("span", { class: "title", dir: "ltr" }, short), what),
      h("span", { class: "facts" }, size, time),
    );
    return { artifact, field, size, time, node };
  });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  let chosen = selected;
  async function choose(artifact) {
    problem.hidden = true;
    try {
      if (await select(artifact)) chosen = artifact;
    } catch (error) {
      for (const row of rows) row.field.checked = row.artifact === chosen;
      problem.textContent = t("notOpened", { why: error.message || String(error) });
      problem.hidden = false;
    }
  }
  const facts = h("dl", { class: "facts" });
  place.append(
    h("h2", { t: "model" }),
    h("fieldset", { class: "variants" }, h("legend", { class: "unseen", t: "variants" }), ...rows.map((row) => row.node)),
    problem,
    facts,
  );
  let results = [];
  const fact = (key, value) => [h("dt", { t: key }), h("dd", {}, value)];
  function draw() {
    for (const row of rows) {
      row.size.textContent = words.bytes(row.artifact.bytes);
      const found = results.find((result) => result.artifact === row.artifact.path);
      row.time.textContent = found?.p50_ms === undefined ? "" : words.milliseconds(found.p50_ms);
    }
    const made = new Date(about.created);
    facts.replaceChildren(
      ...fact("quality", quality(about.evaluation)),
      ...(Number.isNaN(made.getTime()) ? [] : fact("made", `${words.day(made)}, kexp ${about.kexp}`)),
      ...fact("runtime", `${about.runtime} (Apache-2.0)`),
    );
  }
  words.onLanguage(draw);
  return {
    times(found) {
      results = found;
      draw();
    },
  };
}

function quality(found) {
  if (!found) return t("notEvaluated");
  const share = /accuracy/.test(found.metric);
  const [value, low, high] = [found.value, found.low, found.high].map(share ? words.percent : (each) => words.number(each));
  const metric = words.has(found.metric) ? t(found.metric) : found.metric.replaceAll("_", " ");
  return t("qualityOf", { metric, value, low, high, rows: words.whole(found.rows) });
}

/** What a secure connection gives besides, by kind of data: the fact that says so, and what to say where it is missing. */
const SENSORS = { image: "liveCamera", clip: "liveCamera", sound: "liveMicrophone", series: "liveMotion" };
const INSECURE = { image: "insecure", table: "insecureTable", clip: "insecureClip", sound: "insecureSound", series: "insecureSeries" };

/** Whether the connection is secure, what follows from that, and what to do where it is not. */
function deviceCard(place, { kind, results }, samples) {
  const secure = globalThis.isSecureContext;
  const media = secure && Boolean(navigator.mediaDevices?.getUserMedia);
  const sensor = SENSORS[kind];
  const offline = h("dd", {}, h("span", { t: "no" }));
  const fact = (key, value) => [h("dt", { t: key }), h("dd", {}, h("span", { t: value ? "yes" : "no" }))];
  place.append(
    h("h2", { t: "device" }),
    h("dl", { class: "facts" }, ...fact("secure", secure), ...(sensor ? fact(sensor, kind === "series" ? secure && "DeviceMotionEvent" in globalThis : media) : []), h("dt", { t: "offline" }), offline),
  );
  if (!secure) {
    const ways = [
      ["kexp phone --https", "wayHttps"],
      ["kexp phone --adb", "wayAdb"],
      ["kexp export --phone", "wayExport"],
    ];
    const list = ways.map(([command, key]) => h("li", {}, h("code", { dir: "ltr" }, command), " ", h("span", { t: key })));
    place.append(h("p", { t: INSECURE[kind] }), h("ul", { class: "ways" }, ...list));
  }
  place.append(h("p", { class: "muted", t: "private" }));
  if (!results) {
    // No computer of the user's serves this page: it lies where others may open it.
    const shared = h("p", { class: "muted" });
    words.onLanguage(() => {
      shared.textContent = t("shared", { count: words.whole(samples) });
    });
    place.append(shared);
  }

  let state = null;
  words.onLanguage(() => {
    if (!state) return;
    const key = { preparing: "preparing", ready: "ready", failed: "notKept" }[state.state];
    offline.dataset.state = state.state;
    offline.textContent = t(key, { why: state.why });
  });
  return {
    offline(found) {
      state = found;
      const key = { preparing: "preparing", ready: "ready", failed: "notKept" }[found.state];
      offline.dataset.state = found.state;
      offline.textContent = t(key, { why: found.why });
    },
    newer(take) {
      const bar = $("newer");
      bar.replaceChildren(h("span", { t: "newer" }), h("button", { type: "button", class: "plain", t: "take", on: { click: take } }));
      bar.hidden = false;
    },
  };
}

function fail(error) {
  console.error(error);
  const place = $("answer");
  place.dataset.state = "failed";
  document.body.dataset.state = "failed";
  const again = h("button", { type: "button", class: "plain", t: "again", on: { click: () => location.reload() } });
  place.replaceChildren(h("p", { class: "verdict", "data-state": "failed", role: "alert" }, icon("failed"), h("span", { t: "failed" })), h("p", { class: "muted", dir: "auto" }, error.message || String(error)), again);
}
