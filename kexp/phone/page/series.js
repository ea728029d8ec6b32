// Series: the samples and CSV files, drawn as lines, and the motion sensors of the phone.

import { h } from "./dom.js";
import { Plot } from "./plot.js";
import { open as opened } from "./recording.js";
import { Sensors } from "./sensors.js";
import { t, whole } from "./text.js";
import { action, notice, opener, turns } from "./controls.js";

export function begin({ spec, samples, input, actions, predict }) {
  const channels = spec.shape[1];
  const names = spec.channels.length === channels ? spec.channels : Array.from({ length: channels }, (_, c) => `${c + 1}`);
  const plot = new Plot(names, "seen", spec.std);
  const [note, tell] = notice();
  const done = h("p", { class: "muted", role: "status" }); // to the file that is shown
  let asked = 0; // the latest series asked for: an earlier one that is read later is not shown

  async function show(values) {
    plot.draw(values, channels);
    try {
      const outputs = await predict(values);
      if (spec.horizon && outputs) plot.draw(values, channels, continued(outputs));
    } catch (error) {
      tell(t("noAnswer", { why: error.message || String(error) }));
    }
  }

  /** What was done to a file's rows so that the model takes them. */
  function changed({ rows, missing, others }) {
    const [steps] = spec.shape;
    const key = spec.horizon || rows === steps ? null : rows > steps ? "seriesCut" : "seriesRepeated";
    const said = [];
    if (others) said.push(t("seriesOthers", { count: whole(others + 1) }));
    if (key) said.push(t(key, { found: whole(rows), count: whole(steps) }));
    if (missing) said.push(t(spec.horizon ? "seriesCarried" : "seriesFilled"));
    return said.join(" ");
  }

  /** A forecast's outputs, for each channel in turn its next values. */
  function continued(outputs) {
    const values = Array.from(outputs);
    return spec.forecast.map((channel, i) => ({ channel, values: values.slice(i * spec.horizon, (i + 1) * spec.horizon) }));
  }

  async function open(blob, why) {
    sensors?.stop();
    const mine = ++asked;
    try {
      const found = opened(await blob.text(), spec);
      if (mine !== asked) return;
      tell("");
      done.textContent = changed(found);
      await show(found.values);
    } catch (error) {
      if (mine === asked) tell(t(why, { why: error.message || String(error) }));
    }
  }

  const arrows = turns(samples, (blob) => open(blob, "noSample"), tell);
  const choose = opener("chooseSeries", ".csv,.tsv,.txt,text/csv", async (picked) => {
    arrows.none();
    await open(picked, "noSeries");
  });
  const sensors = spec.horizon ? null : new Sensors(spec, show, tell);
  const go = sensors && action("motion", "motion", () => listen(), { class: "action main", id: "motion" });

  async function listen() {
    asked++;
    arrows.none();
    done.textContent = "";
    await sensors.toggle(go);
  }

  const stage = h("div", { class: "drawn" }, plot.node, done, note);
  input.append(stage, arrows.node, ...(sensors ? [sensors.settings] : []));
  actions.append(choose, ...(go ? [go] : []));
  return { first: () => arrows.go(0) };
}
