// Runs one TensorFlow.js graph model: node tfjs.mjs NODE_MODULES FOLDER, started by kexp/runtime/tfjs.py.
//
// stdin   requests: uint32 rows, uint32 runs, then rows * size float32. runs 0 asks for outputs, otherwise for the
//         milliseconds of so many predictions of one row, taken in turn.
// stdout  answers: uint32 failed (0 or 1), uint32 bytes, then float32 outputs, float64 milliseconds, or a UTF-8 text.
//         The first answer comes unasked: JSON of what was opened. All numbers are little-endian.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, folder] = process.argv.slice(2);
console.log = console.info = console.warn = console.debug = console.error; // stdout is for answers

// CommonJS packages: they are found in NODE_MODULES, wherever this file lies.
const require = createRequire(join(modules, "kexp.js"));
const tf = require("@tensorflow/tfjs-core");
const { loadGraphModelSync } = require("@tensorflow/tfjs-converter");
require("@tensorflow/tfjs-backend-cpu");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(join(modules, "@tensorflow", "tfjs-backend-wasm", "wasm-out") + "/");

function answer(failed, bytes) {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(failed, 0);
  head.writeUInt32LE(bytes.length, 4);
  process.stdout.write(Buffer.concat([head, bytes]));
}

function bytesOf(array) {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

function artifacts() {
  const json = JSON.parse(readFileSync(join(folder, "model.json"), "utf8"));
  if (json.format !== "graph-model") throw new Error(`model.json is of format ${json.format}, not graph-model`);
  const groups = json.weightsManifest;
  const weightSpecs = groups.flatMap((group) => group.weights);
  const content = Buffer.concat(groups.flatMap((group) => group.paths).map((path) => readFileSync(join(folder, path))));
  const widths = { float32: 4, int32: 4, bool: 1 };
  const wanted = weightSpecs.reduce((sum, w) => sum + w.shape.reduce((a, b) => a * b, 1) * widths[w.dtype], 0);
  if (content.length !== wanted) throw new Error(`the weights are ${content.length} bytes, ${wanted} are expected`);
  const weightData = new Uint8Array(content).buffer;
  return { json, load: { modelTopology: json.modelTopology, signature: json.signature, weightSpecs, weightData } };
}

function predict(model, rows, values, shape) {
  return tf.tidy(() => {
    const found = model.predict(tf.tensor(values, [rows, ...shape], "float32"));
    return (Array.isArray(found) ? found[0] : found).dataSync();
  });
}

// wasm first: 256 digits through a small conv net take 10 ms, the cpu backend takes 57; one takes 0.9 ms and 1.2.
async function open() {
  const { json, load } = artifacts();
  const inputs = Object.values(json.signature.inputs);
  if (inputs.length !== 1) throw new Error(`the model has ${inputs.length} inputs, one is expected`);
  const shape = (inputs[0].tensorShape.dim ?? []).slice(1).map((dim) => Number(dim.size));
  const size = shape.reduce((a, b) => a * b, 1);
  const reasons = [];
  for (const backend of ["wasm", "cpu"]) {
    try {
      if (!(await tf.setBackend(backend))) throw new Error("the backend does not start");
      const model = loadGraphModelSync({ load: () => load });
      predict(model, 1, new Float32Array(size), shape); // an operator that the backend lacks shows when it runs
      return { model, shape, size, backend, texts: json.userDefinedMetadata ?? {} };
    } catch (error) {
      reasons.push(`${backend}: ${error.message}`);
    }
  }
  throw new Error(reasons.join("; "));
}

let opened;
try {
  opened = await open();
  const { shape, backend, texts } = opened;
  answer(0, Buffer.from(JSON.stringify({ shape, backend, texts })));
} catch (error) {
  answer(1, Buffer.from(String(error.message)));
  process.exitCode = 1;
}

function respond(rows, runs, values) {
  const { model, shape, size } = opened;
  if (runs === 0) return bytesOf(predict(model, rows, values, shape));
  const times = new Float64Array(runs);
  for (let run = 0; run < runs; run++) {
    const at = (run % rows) * size;
    const start = performance.now();
    predict(model, 1, values.subarray(at, at + size), shape);
    times[run] = performance.now() - start;
  }
  return bytesOf(times);
}

let pending = [];
let length = 0;
if (opened) {
  process.stdin.on("data", (chunk) => {
    pending.push(chunk);
    length += chunk.length;
    while (length >= 8) {
      if (pending[0].length < 8) pending = [Buffer.concat(pending)];
      const rows = pending[0].readUInt32LE(0);
      const end = 8 + rows * opened.size * 4;
      if (length < end) return;
      const whole = Buffer.concat(pending);
      const values = new Float32Array(new Uint8Array(whole.subarray(8, end)).buffer); // copied: aligned to 4 bytes
      pending = [whole.subarray(end)];
      length -= end;
      try {
        answer(0, respond(rows, whole.readUInt32LE(4), values));
      } catch (error) {
        answer(1, Buffer.from(String(error.message)));
      }
    }
  });
}
