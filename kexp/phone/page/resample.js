// How kexp brings a picture to the network's size, in the same arithmetic: a port of Pillow's Image.resize with the
// bilinear filter, a box and a reducing gap (src/libImaging/Resample.c and Reduce.c, Pillow 10.3 to 13), bit for bit.
//
// A picture is {width, height, channels, data}: 8-bit, channels interleaved.

const PRECISION = 22; // bits of a coefficient: 32 - 8 - 2, so that a sum of products fits 32 bits
const GAP = 2.0; // kexp.data.pictures.fit: pixels are averaged in whole boxes until this close to the size wanted

/** The picture cut around its centre to the ratio of height and width, and resized to them: across, then down. */
export function fit(picture, height, width) {
  const scale = Math.min(picture.width / width, picture.height / height);
  const left = Math.max(0, (picture.width - width * scale) / 2);
  const top = Math.max(0, (picture.height - height * scale) / 2);
  const bottom = picture.height - top;
  picture = resize(picture, picture.height, width, [left, 0, picture.width - left, picture.height]);
  return resize(picture, height, width, [0, top, width, bottom]);
}

export function resize(picture, height, width, box) {
  const [left, top, right, bottom] = box;
  const whole = left === 0 && top === 0 && right === picture.width && bottom === picture.height;
  if (whole && picture.width === width && picture.height === height) return picture;
  const factorX = Math.trunc((right - left) / width / GAP) || 1;
  const factorY = Math.trunc((bottom - top) / height / GAP) || 1;
  if (factorX > 1 || factorY > 1) {
    const safe = safeBox(picture, height, width, box);
    picture = reduce(picture, factorX, factorY, safe);
    box = [
      (left - safe[0]) / factorX,
      (top - safe[1]) / factorY,
      (right - safe[0]) / factorX,
      (bottom - safe[1]) / factorY,
    ];
  }
  return resample(picture, height, width, box.map(Math.fround));
}

/** Whole pixels around `box` that the filter may reach. */
function safeBox(picture, height, width, [left, top, right, bottom]) {
  const reachX = (0.5 * (right - left)) / width;
  const reachY = (0.5 * (bottom - top)) / height;
  return [
    Math.max(0, Math.trunc(left - reachX)),
    Math.max(0, Math.trunc(top - reachY)),
    Math.min(picture.width, Math.ceil(right + reachX)),
    Math.min(picture.height, Math.ceil(bottom + reachY)),
  ];
}

/** Averages of boxes of factorX x factorY pixels; those at the right and lower edge may be smaller. */
export function reduce(picture, factorX, factorY, [left, top, right, bottom] = [0, 0, picture.width, picture.height]) {
  const { channels, data } = picture;
  const width = Math.ceil((right - left) / factorX);
  const height = Math.ceil((bottom - top) / factorY);
  const out = new Uint8ClampedArray(width * height * channels);
  for (let y = 0; y < height; y++) {
    const top1 = top + y * factorY;
    const bottom1 = Math.min(bottom, top1 + factorY);
    for (let x = 0; x < width; x++) {
      const left1 = left + x * factorX;
      const right1 = Math.min(right, left1 + factorX);
      const count = (right1 - left1) * (bottom1 - top1);
      const multiplier = Math.floor(2 ** 24 / count);
      const half = count >> 1;
      for (let c = 0; c < channels; c++) {
        let sum = half;
        for (let row = top1; row < bottom1; row++) {
          let at = (row * picture.width + left1) * channels + c;
          for (let column = left1; column < right1; column++, at += channels) sum += data[at];
        }
        out[(y * width + x) * channels + c] = Math.floor((sum * multiplier) / 2 ** 24);
      }
    }
  }
  return { width, height, channels, data: out };
}

/** Where each output pixel starts in the input, and the whole-number weights from there on. */
function coefficients(inSize, from, to, outSize) {
  const scale = Math.fround(to - from) / outSize;
  const widened = Math.max(scale, 1); // an antialiasing filter: the more it reduces, the more it averages
  const starts = new Int32Array(outSize);
  const weights = [];
  for (let i = 0; i < outSize; i++) {
    const middle = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - widened + 0.5));
    const count = Math.min(inSize, Math.trunc(middle + widened + 0.5)) - first;
    const row = new Float64Array(count);
    let total = 0;
    for (let x = 0; x < count; x++) {
      const distance = Math.abs((x + first - middle + 0.5) * (1 / widened));
      row[x] = distance < 1 ? 1 - distance : 0;
      total += row[x];
    }
    starts[i] = first;
    weights.push(Int32Array.from(row, (w) => Math.trunc(0.5 + (total ? w / total : w) * 2 ** PRECISION)));
  }
  return { starts, weights };
}

function resample(picture, height, width, [left, top, right, bottom]) {
  if (width !== picture.width || left !== 0 || right !== width) {
    picture = pass(picture, width, coefficients(picture.width, left, right, width), true);
  }
  if (height !== picture.height || top !== 0 || bottom !== height) {
    picture = pass(picture, height, coefficients(picture.height, top, bottom, height), false);
  }
  return picture;
}

/** One pass, along rows or down columns; its result is rounded to 8 bits, as Pillow's is. */
function pass(picture, size, { starts, weights }, horizontal) {
  const { channels, data } = picture;
  const width = horizontal ? size : picture.width;
  const height = horizontal ? picture.height : size;
  const out = new Uint8ClampedArray(width * height * channels);
  const step = horizontal ? channels : picture.width * channels;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = horizontal ? x : y;
      const row = weights[i];
      const origin = horizontal
        ? (y * picture.width + starts[i]) * channels
        : (starts[i] * picture.width + x) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (PRECISION - 1);
        for (let k = 0, at = origin + c; k < row.length; k++, at += step) sum += data[at] * row[k];
        out[(y * width + x) * channels + c] = sum >> PRECISION;
      }
    }
  }
  return { width, height, channels, data: out };
}

/** One grey channel, as Pillow's convert("L") computes it (ITU-R 601-2 luma). */
export function grey(picture) {
  if (picture.channels === 1) return picture;
  const { width, height, data } = picture;
  const out = new Uint8ClampedArray(width * height);
  for (let i = 0, at = 0; i < out.length; i++, at += 3) {
    out[i] = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: out };
}
