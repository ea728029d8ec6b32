// What a compressed sound says of itself: a browser decodes to whatever rate it is asked for, resampling as it likes,
// so it is asked for the file's own.

const VERSIONS = { 3: 1, 2: 2, 0: 4 }; // of MPEG: by what its rates are divided
const RATES = [44_100, 48_000, 32_000];
const OPUS = 48_000; // whatever was recorded

/**
 * {rate, length} of the bytes of a FLAC, Ogg or MP3 file, or of a WAV whose samples are compressed, as telephones record
 * them in mu-law or A-law: Hz, and samples; each undefined where they do not tell.
 */
export function declared(buffer) {
  const bytes = new Uint8Array(buffer);
  const start = mark(bytes, 0, "ID3") ? 10 + bytes.subarray(6, 10).reduce((sum, byte) => sum * 128 + byte, 0) : 0;
  if (mark(bytes, start, "fLaC")) return { rate: flac(bytes.subarray(start + 8)) };
  if (mark(bytes, 0, "OggS")) return ogg(buffer, bytes);
  for (const { name, at } of chunks(buffer)) {
    if (name === "fmt " && at + 16 <= bytes.length) return { rate: new DataView(buffer).getUint32(at + 12, true) || undefined };
  }
  return { rate: mp3(bytes.subarray(start)) };
}

const mark = (bytes, at, text) => Array.from(text).every((letter, i) => bytes[at + i] === letter.charCodeAt(0));

/** 20 bits behind four numbers of 16, 16, 24 and 24: https://www.rfc-editor.org/rfc/rfc9639#section-8.2 */
function flac(block) {
  return (block[10] << 12) | (block[11] << 4) | (block[12] >> 4) || undefined;
}

/** {name, at, size} of each part of the bytes of a WAV file: its 8 bytes of name and size are `at`. None of another. */
export function* chunks(buffer) {
  const [bytes, view] = [new Uint8Array(buffer), new DataView(buffer)];
  if (!mark(bytes, 0, "RIFF") || !mark(bytes, 8, "WAVE")) return;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    yield { name: String.fromCharCode(...bytes.subarray(at, at + 4)), at, size };
    at += 8 + size + (size % 2);
  }
}

function ogg(buffer, bytes) {
  const view = new DataView(buffer);
  const packet = 27 + bytes[26]; // behind the first page's header and the lengths of its segments
  if (mark(bytes, packet, "OpusHead")) return { rate: OPUS };
  if (!mark(bytes, packet, "\x01vorbis")) return {};
  // The last page counts the samples up to its end; browsers leave out some of those.
  let last = bytes.length - 27;
  while (!mark(bytes, last, "OggS")) last--;
  return { rate: view.getUint32(packet + 12, true), length: Number(view.getBigInt64(last + 6, true)) };
}

function mp3(bytes) {
  if (bytes[0] !== 0xff || (bytes[1] & 0xe0) !== 0xe0 || !(bytes[1] & 6)) return undefined; // layer 0 is AAC's
  return RATES[(bytes[2] >> 2) & 3] / VERSIONS[(bytes[1] >> 3) & 3] || undefined;
}
