// Sounds as kexp.data.sounds reads them: WAV files by ourselves, to the last bit; anything else the browser decodes.

import { chunks, declared } from "./declared.js";
import { resample } from "./rate.js";
import { t } from "./text.js";

/** The samples of a sound file (Blob) as the model takes them: spec.shape[0] of them at spec.rate. Throws Error. */
export async function read(blob, spec) {
  const buffer = await blob.arrayBuffer();
  const { samples, rate } = parse(buffer) ?? (await decode(buffer));
  if (!samples.every(Number.isFinite)) throw new Error(t("noNumbers")); // nor does Python take them
  return fit(resample(samples, rate, spec.rate), spec.shape[0]);
}

/** Cut around the middle, or zeros at the end. */
export function fit(samples, length) {
  const start = Math.max(0, Math.floor((samples.length - length) / 2));
  const fitted = new Float32Array(length);
  fitted.set(samples.subarray(start, start + length));
  return fitted;
}

const USUAL = 48_000; // Hz of what phones record

async function decode(buffer) {
  const { rate = USUAL, length = 0 } = declared(buffer);
  const audio = await context(rate).decodeAudioData(buffer);
  const channels = Array.from({ length: audio.numberOfChannels }, (_, index) => audio.getChannelData(index));
  return { samples: padded(mixed(channels), audio.sampleRate === rate ? length : 0), rate: audio.sampleRate };
}

/** Something that decodes to `rate` Hz, or to a usual one where the browser does not know that. */
function context(rate) {
  try {
    return new OfflineAudioContext(1, 1, rate);
  } catch {
    return new OfflineAudioContext(1, 1, USUAL);
  }
}

/** Zeros at the end, where a browser left out the last samples: the middle must stay where it is. */
function padded(samples, length) {
  if (!(samples.length < length && length < samples.length + USUAL)) return samples;
  const all = new Float32Array(length);
  all.set(samples);
  return all;
}

function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return Float32Array.from(channels[0], (_, i) => channels.reduce((sum, each) => sum + each[i], 0) / channels.length);
}

const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];

/** {samples: mono Float32Array in -1..1, rate} of the bytes of a WAV file; null where it is none, or compressed. */
export function parse(buffer) {
  if (buffer.byteLength < 44) return null;
  const view = new DataView(buffer);
  let format = null;
  for (const { name, at, size } of chunks(buffer)) {
    if (name === "fmt ") {
      const kind = view.getUint16(at + 8, true);
      format = {
        kind: kind === EXTENSIBLE && size >= 26 ? view.getUint16(at + 32, true) : kind,
        channels: view.getUint16(at + 10, true),
        rate: view.getUint32(at + 12, true),
        bits: view.getUint16(at + 22, true),
      };
    }
    if (name === "data" && format) return values(view, at + 8, Math.min(size, buffer.byteLength - at - 8), format);
  }
  return null;
}

function values(view, start, size, { kind, channels, rate, bits }) {
  const one = reader(view, kind, bits);
  if (!one || !channels || !rate) return null;
  const width = bits / 8;
  const count = Math.floor(size / (width * channels));
  if (!count) return null;
  const samples = new Float32Array(count);
  for (let i = 0, at = start; i < count; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++, at += width) sum += one(at);
    samples[i] = sum / channels;
  }
  return { samples, rate };
}

function reader(view, kind, bits) {
  if (kind === FLOAT && bits === 32) return (at) => view.getFloat32(at, true);
  if (kind === FLOAT && bits === 64) return (at) => view.getFloat64(at, true);
  if (kind !== PCM) return null;
  if (bits === 8) return (at) => (view.getUint8(at) - 128) / 128;
  if (bits === 16) return (at) => view.getInt16(at, true) / 32_768;
  if (bits === 24) return (at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 8_388_608;
  if (bits === 32) return (at) => view.getInt32(at, true) / 2_147_483_648;
  return null;
}
