// Another sample rate, as scipy.signal.resample_poly makes it with its defaults: a windowed sinc of 10 zero crossings to
// each side, Kaiser's window of beta 5, zeros beyond the ends.

const CROSSINGS = 10;
const BETA = 5;

const filters = new Map(); // by up/down: a microphone asks for the same again and again

/** (n,) at `rate` as (ceil(n * wanted / rate),) at `wanted` Hz. */
export function resample(samples, rate, wanted) {
  const [from, to] = [Math.round(rate), Math.round(wanted)];
  if (from === to) return samples;
  const common = divisor(from, to);
  const [up, down] = [to / common, from / common];
  const half = CROSSINGS * Math.max(up, down);
  const filter = filters.get(`${up}/${down}`) ?? lowpass(half, Math.max(up, down), up);
  filters.set(`${up}/${down}`, filter);
  const found = new Float32Array(Math.ceil((samples.length * up) / down));
  for (let i = 0; i < found.length; i++) {
    const centre = i * down; // in steps of the rate that both divide
    const first = Math.max(0, Math.ceil((centre - half) / up));
    const last = Math.min(samples.length - 1, Math.floor((centre + half) / up));
    let sum = 0;
    for (let k = first; k <= last; k++) sum += samples[k] * filter[centre - k * up + half];
    found[i] = sum;
  }
  return found;
}

function divisor(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}

/** 2 * half + 1 numbers of sum `gain`: what lies above 1 / `cut` of the highest frequency is held back. */
function lowpass(half, cut, gain) {
  const filter = new Float64Array(2 * half + 1);
  let sum = 0;
  for (let i = 0; i <= 2 * half; i++) {
    const x = (i - half) / cut;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
    const edge = (i - half) / half;
    filter[i] = sinc * bessel(BETA * Math.sqrt(Math.max(0, 1 - edge * edge)));
    sum += filter[i];
  }
  return filter.map((value) => (value * gain) / sum);
}

/** The modified Bessel function of the first kind and order 0; a constant factor of the window does not matter. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
