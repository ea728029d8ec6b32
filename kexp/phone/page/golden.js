// The golden vectors, replayed on this phone: the same samples, and how far its answers are from Python's.
//
// Twice for each file: with the very tensors that Python fed, which tells whether LiteRT.js computes the same; and
// from the raw samples (pictures, cells) through this page's own decoding, which tells whether the page feeds it right.

import { encodeRow, parseCsv } from "./cells.js";
import { strip } from "./film.js";
import { read, tensor } from "./pixels.js";
import { read as recording } from "./recording.js";
import { latency } from "./runtime.js";
import { read as sound } from "./wav.js";

/** The samples as the page makes them of the raw data, Float32Arrays, by the kind of data. */
const RAW = {
  async image(names, spec) {
    const found = [];
    for (const name of names) found.push(tensor(await read(await (await fetched(name)).blob(), spec.shape)));
    return found;
  },
  async series(names, spec) {
    const found = [];
    for (const name of names) found.push(recording(await (await fetched(name)).text(), spec));
    return found;
  },
  async sound(names, spec) {
    const found = [];
    for (const name of names) found.push(await sound(await (await fetched(name)).blob(), spec));
    return found;
  },
  async clip(names, spec) {
    const found = [];
    for (const name of names) found.push(await strip(await (await fetched(name)).blob(), spec));
    return found;
  },
  async table(names, spec) {
    const rows = parseCsv(await (await fetched("rows.csv")).text());
    return rows.map((row) => encodeRow(row, spec.columns).values);
  },
};

const RUNTIME = "This phone's runtime computes something else: use another variant, and report phone and browser.";
const DECODER = "This browser decodes the samples to other numbers: try another browser, and report it.";

/** The checks by name: of which samples each is (of: whether of one that is lossy or not), and what to do. */
const CHECKS = {
  "phone gap": { samples: "exact", of: () => true, advice: RUNTIME },
  "phone raw gap": { samples: "raw", of: (lossy) => !lossy, advice: DECODER },
  "phone raw gap lossy": { samples: "raw", of: (lossy) => lossy, advice: DECODER },
};

/** Everything that a replay compares with: {outputs by format, exact and raw (Float32Arrays), lossy (booleans)}. */
export async function load(about) {
  const spec = about.spec;
  const expected = await (await fetched("expected.json")).json();
  const flat = new Float32Array(await (await fetched("inputs.bin")).arrayBuffer());
  const size = spec.shape.reduce((a, b) => a * b, 1);
  const names = expected.samples;
  if (flat.length !== names.length * size) throw new Error(`inputs.bin holds ${flat.length} numbers`);
  const exact = names.map((_, i) => flat.subarray(i * size, (i + 1) * size));
  const lossy = names.map((name) => about.lossy.includes(name));
  return { outputs: expected.outputs, exact, raw: await RAW[about.kind](names, spec), lossy };
}

async function fetched(name) {
  const answer = await fetch(new URL(`golden/${encodeURIComponent(name)}`, import.meta.url));
  if (!answer.ok) throw new Error(`golden/${name}: status ${answer.status}`);
  return answer;
}

/**
 * Replay `golden` through an opened model. `artifact` is an entry of about.json, `changed` whether its bytes differ from
 * it (null: not known). Answers {artifact, sha256, runtime, threads, p50_ms, p95_ms, runs, checks}.
 */
export async function replay(about, artifact, model, golden, changed) {
  const { format } = artifact;
  const limits = about.limits[format];
  const deviations = about.task === "regression" ? about.spec.target_std.map((std) => std || 1) : [1];
  const found = { exact: await answers(model, golden.exact), raw: await answers(model, golden.raw) };
  const expected = golden.outputs[format];
  const checks = Object.entries(limits).map(([name, limit]) => {
    const { samples, of, advice } = CHECKS[name];
    const own = (list) => list?.filter((_, index) => of(golden.lossy[index] ?? false));
    return check(`${format} ${name}`, gap(own(found[samples]), own(expected), deviations), limit, advice);
  });
  if (changed !== null) {
    const advice = "The file on this phone is not the one that was exported: open the page again, or export again.";
    const value = changed ? "another file" : "as exported";
    checks.push({
      name: `${format} phone sha256`,
      value,
      limit: "as exported",
      ok: !changed,
      advice: changed ? advice : "",
    });
  }
  const { p50, p95, runs } = await latency(model, golden.exact);
  return {
    artifact: artifact.path,
    sha256: artifact.sha256,
    runtime: about.runtime,
    threads: 1,
    p50_ms: p50,
    p95_ms: p95,
    runs,
    checks,
  };
}

async function answers(model, samples) {
  const found = [];
  for (const sample of samples) found.push((await model.run(sample)).outputs);
  return found;
}

/** The largest difference; NaN where the two are not of one shape, or an answer is no number. */
export function gap(found, expected, deviations) {
  if (!Array.isArray(expected) || found.length !== expected.length || !found.length) return NaN;
  let largest = 0;
  for (let i = 0; i < found.length; i++) {
    if (found[i].length !== expected[i].length) return NaN;
    for (let j = 0; j < found[i].length; j++) {
      const difference = Math.abs(found[i][j] - expected[i][j]) / deviations[j % deviations.length];
      if (!(difference <= largest)) largest = difference; // so that NaN stays
      if (Number.isNaN(largest)) return NaN;
    }
  }
  return largest;
}

/** As kexp's records.at_most: NaN fails. NaN has no JSON form, so its value is text. */
function check(name, value, limit, advice) {
  const ok = value <= limit;
  return { name, value: Number.isFinite(value) ? value : "not a number", limit, ok, advice: ok ? "" : advice };
}
