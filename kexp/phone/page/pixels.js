// From a file or a frame of the camera to the numbers that the network takes, as kexp.data.pictures.decode does it.
//
// The browser decodes; the rest is ours: laid on white where transparent, a JPEG averaged down by 2, 4 or 8 as Pillow's
// draft mode decodes it, then resample.js. Lossless pictures give the same pixels as in Python, JPEGs nearly.

import { fit, grey, reduce } from "./resample.js";

const LARGEST = 16_000_000; // pixels of a canvas that every phone gives; a larger photo is reduced by the browser first

/** The pixels of an image file (Blob) as shape = [height, width, channels]; throws Error for what is no picture. */
export async function read(blob, shape) {
  const bitmap = await decode(blob);
  try {
    let picture = pixels(bitmap, bitmap.width, bitmap.height);
    if (await isJpeg(blob)) picture = draft(picture, shape);
    return bring(picture, shape);
  } finally {
    bitmap.close();
  }
}

/** The pixels of what a <video> or a canvas shows now. */
export function frame(source, width, height, shape) {
  return bring(pixels(source, width, height), shape);
}

/** {width, height, channels, data} -> Float32Array of raw values 0 to 255, channels last. */
export function tensor(picture) {
  return Float32Array.from(picture.data);
}

/** Show raw values 0 to 255 of `channels` (1 or 3) on a canvas of just as many pixels. */
export function paint(canvas, values, channels) {
  const pixels = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = values[channels * i + (channels === 1 ? 0 : c)];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

export async function decode(blob) {
  // As stored: no colour profile is applied, because Pillow applies none; upright, because kexp turns pictures so.
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };
  const bitmap = await createImageBitmap(blob, options);
  if (bitmap.width * bitmap.height <= LARGEST) return bitmap;
  const scale = Math.sqrt(LARGEST / (bitmap.width * bitmap.height));
  const resizeWidth = Math.floor(bitmap.width * scale);
  const resizeHeight = Math.floor(bitmap.height * scale);
  const smaller = await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "high" });
  bitmap.close();
  return smaller;
}

function bring(picture, [height, width, channels]) {
  const fitted = fit(picture, height, width);
  return channels === 1 ? grey(fitted) : fitted;
}

let canvas; // one for all: a camera would make eight a second

/** RGB of a drawable, on white where it is transparent. */
function pixels(source, width, height) {
  canvas ??= document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Error(`a canvas of ${width} x ${height} pixels is more than this browser gives`);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  canvas.width = canvas.height = 0; // 16 million pixels are 64 MB
  const data = new Uint8ClampedArray(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { width, height, channels: 3, data };
}

async function isJpeg(blob) {
  const found = new Uint8Array(await blob.slice(0, 3).arrayBuffer());
  return [0xff, 0xd8, 0xff].every((mark, index) => found[index] === mark);
}

/** Averaged down to no less than twice the size wanted: libjpeg's reduced decoding averages 2, 4 or 8 pixels a side. */
function draft(picture, [height, width]) {
  const scale = Math.min(picture.width / width, picture.height / height);
  const asked = [Math.trunc((2 * picture.width) / scale), Math.trunc((2 * picture.height) / scale)];
  const most = Math.min(Math.floor(picture.width / asked[0]), Math.floor(picture.height / asked[1]));
  const factor = [8, 4, 2, 1].find((each) => most >= each) ?? 1;
  return factor === 1 ? picture : reduce(picture, factor, factor);
}
