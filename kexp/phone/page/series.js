// Series: the samples and CSV files, drawn as lines, and the motion sensors of the phone.

import { h } from "./dom.js";
import { Plot } from "./plot.js";
import { read } from "./recording.js";
import { Sensors } from "./sensors.js";
import { t } from "./text.js";
import { action, golden, opener, turns } from "./controls.js";

export function begin({ spec, samples, input, actions, predict }) {
  const channels = spec.shape[1];
  const plot = new Plot(spec.channels, "seen");
  const note = h("p", { class: "note", role: "alert", hidden: true });
  let asked = 0; // the latest series asked for: an earlier one that is read later is not shown

  function tell(text) {
    note.hidden = !text;
    note.textContent = text;
  }

  async function show(values) {
    plot.draw(values, channels);
    try {
      const outputs = await predict(values);
      if (spec.horizon && outputs) plot.draw(values, channels, continued(outputs));
    } catch (error) {
      tell(t("noAnswer", { why: error.message || String(error) }));
    }
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
      const values = read(await blob.text(), spec);
      if (mine !== asked) return;
      tell("");
      await show(values);
    } catch (error) {
      if (mine === asked) tell(t(why, { why: error.message || String(error) }));
    }
  }

  const arrows = turns(samples.length, async (index) => {
    try {
      await open(await golden(samples[index]), "noSample");
    } catch (error) {
      tell(t("noSample", { why: error.message || String(error) }));
    }
  });
  const choose = opener("chooseSeries", ".csv,.tsv,.txt,text/csv", async (picked) => {
    arrows.none();
    await open(picked, "noSeries");
  });
  const sensors = spec.horizon ? null : new Sensors(spec, show, tell);
  const go = sensors && action("motion", "motion", () => listen(), { class: "action main", id: "motion" });

  async function listen() {
    asked++;
    arrows.none();
    await sensors.toggle(go);
  }

  const stage = h("div", { class: "drawn" }, plot.node, note);
  input.append(stage, arrows.node, ...(sensors ? [sensors.settings] : []));
  actions.append(choose, ...(go ? [go] : []));
  return { first: () => arrows.go(0) };
}
