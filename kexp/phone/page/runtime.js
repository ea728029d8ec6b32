// LiteRT.js: an exported .tflite, run by WebAssembly on one thread. Its tensors are freed here and nowhere else.

import { loadAndCompile, loadLiteRt, Tensor } from "./litert/index.js";

const MEASURED = 30; // times of a measurement ...
const LONGEST = 800; // ... or as many as these milliseconds allow

let started;

/** Load the WebAssembly, once; after a failure, when asked again. */
export function start() {
  started ??= loadLiteRt(new URL("litert/", import.meta.url).href).catch((error) => {
    started = undefined;
    throw error;
  });
  return started;
}

/** A model of batch 1 from the bytes of a .tflite (Uint8Array); its input is float32. */
export async function open(bytes) {
  await start();
  const compiled = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
  const [input] = compiled.getInputDetails();
  const model = new Model(compiled, Array.from(input.shape));
  await model.run(new Float32Array(input.shape.reduce((a, b) => a * b, 1))); // the first run allocates, and is slow
  return model;
}

class Model {
  #compiled;
  #shape;
  #turn = Promise.resolve(); // one run at a time: the camera and a replay share a model

  constructor(compiled, shape) {
    this.#compiled = compiled;
    this.#shape = shape;
  }

  /** {outputs: Float32Array, ms: time of the model alone} of one raw sample. */
  run(values) {
    const result = this.#turn.then(() => this.#run(values));
    this.#turn = result.catch(() => {});
    return result;
  }

  async #run(values) {
    const input = new Tensor(values, this.#shape);
    let made = [];
    try {
      const begin = performance.now();
      made = await this.#compiled.run(input);
      const ms = performance.now() - begin;
      return { outputs: Float32Array.from(await made[0].data()), ms };
    } finally {
      input.delete();
      for (const tensor of made) tensor.delete();
    }
  }

  async delete() {
    await this.#turn;
    this.#compiled.delete();
  }
}

/**
 * {p50, p95, runs}: milliseconds of a run of the model over `samples` in turn. Browsers round their clock (0.1 ms, some
 * 1 ms), so as many runs are timed together as make that a twentieth or less, and a time is their mean.
 */
export async function latency(model, samples) {
  const enough = 20 * tick();
  let group = 1;
  let runs = 0;
  const times = [];
  const begin = performance.now();
  while (times.length < MEASURED && (times.length < 3 || performance.now() - begin < LONGEST)) {
    let ms = 0;
    for (let i = 0; i < group; i++) ms += (await model.run(samples[(runs + i) % samples.length])).ms;
    const short = ms < enough && group < 4096;
    if (short) {
      group *= 2; // the first times warm up, and say how many runs make a time
      times.length = 0;
      runs = 0;
      continue;
    }
    times.push(ms / group);
    runs += group;
    await new Promise((resolve) => setTimeout(resolve)); // let the page answer touches
  }
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), runs };
}

/** The smallest step of performance.now() that is seen, in milliseconds. */
function tick() {
  let smallest = Infinity;
  for (let i = 0; i < 5; i++) {
    const begin = performance.now();
    let now = begin;
    while (now === begin) now = performance.now();
    smallest = Math.min(smallest, now - begin);
  }
  return smallest;
}

/** Quantile of numbers, linear between neighbours as numpy.percentile is. */
export function quantile(numbers, share) {
  const sorted = Float64Array.from(numbers).sort();
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}
