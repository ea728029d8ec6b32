// How the cells of a table become numbers: kexp/data/columns.py, encode_row, in JavaScript.
//
// A cell is text. A number is itself, a boolean 0 or 1, a date days since 1970-01-01 (UTC), a category its position,
// -1 where it is unknown. NaN is missing, in any column.

const MISSING = new Set(["", "na", "n/a", "nan", "null", "?"]);
const FALSE = ["no", "false", "0", "n", "f"];
const TRUE = ["yes", "true", "1", "y", "t"]; // TRUE[i] is the opposite of FALSE[i]
const UNKNOWN = -1;
const LARGEST = 3.4028234663852886e38; // of float32
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const INFINITE = /^([+-]?)inf(inity)?$/i;
const NOT_A_NUMBER = /^[+-]?nan$/i;
const DAY = 86_400_000; // milliseconds
const MONTHS = [
  "january", "february", "march", "april", "may", "june",
  "july", "august", "september", "october", "november", "december",
]; // prettier-ignore

/** The cell without blanks around it, as Python strips: its set of blanks is not JavaScript's. */
export function text(cell) {
  const blank = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
  return cell.replace(new RegExp(`^${blank}`), "").replace(new RegExp(`${blank}$`), "");
}

const missing = (word) => MISSING.has(word.toLowerCase());

/** Digits of any script as 0 to 9, which Python's float and int read too: they come in runs of ten. */
export function digits(word) {
  return word.replace(/\p{Nd}/gu, (digit) => {
    let code = digit.codePointAt(0);
    if (code < 128) return digit;
    let place = 0;
    while (/\p{Nd}/u.test(String.fromCodePoint(--code))) place++;
    return String(place % 10);
  });
}

/** The number in a cell, NaN where missing, null where it is something else. May be infinite. */
export function number(cell) {
  const word = digits(text(cell));
  if (missing(word) || NOT_A_NUMBER.test(word)) return NaN;
  const infinite = INFINITE.exec(word);
  if (infinite) return infinite[1] === "-" ? -Infinity : Infinity;
  return NUMBER.test(word) ? Number(word) : null;
}

/** Days since 1970-01-01 (UTC), the time of day as a fraction; NaN where missing, null where it is no date. */
export function date(cell, format = "") {
  const word = text(cell);
  if (missing(word)) return NaN;
  return format ? strptime(digits(word), format) : iso(word);
}

/** The number of a cell in `column`; null where the cell is none of its kind, or infinite. */
export function value(cell, column) {
  const word = text(cell);
  if (missing(word)) return NaN;
  if (column.kind === "category") {
    const code = column.choices.lastIndexOf(word);
    return code < 0 ? UNKNOWN : code;
  }
  if (column.kind === "boolean") return boolean(word, column);
  const found = column.kind === "number" ? number(word) : date(word, column.format);
  return found === null || Math.abs(found) > LARGEST ? null : found;
}

/**
 * One sample from a row {column name: cell text}: {values: Float32Array, unusual: [{column, code, ...}]}. Codes:
 * absent (no such cell), unreadable, empty (no value, and every training row had one), unknown (a category that no
 * training row has), outside (the range of the training rows).
 */
export function encodeRow(row, columns) {
  const values = new Float32Array(columns.length).fill(NaN);
  const unusual = [];
  columns.forEach((column, index) => {
    const cell = row.get(column.name);
    if (cell === undefined) {
      unusual.push({ column, code: "absent" });
      return;
    }
    const found = value(cell, column);
    if (found === null) {
      unusual.push({ column, code: "unreadable", cell: text(cell) });
      return;
    }
    values[index] = found;
    const code = strange(values[index], column);
    if (code) unusual.push({ column, code, cell: text(cell) });
  });
  return { values, unusual };
}

function strange(found, column) {
  if (Number.isNaN(found)) return column.missing ? "" : "empty";
  if (column.kind === "category") return found === UNKNOWN ? "unknown" : "";
  return column.kind === "boolean" || (column.minimum <= found && found <= column.maximum) ? "" : "outside";
}

function boolean(word, column) {
  const lower = word.toLowerCase();
  for (const [meaning, words] of [FALSE, TRUE].entries()) {
    const choice = column.choices[meaning].toLowerCase();
    if (lower === choice || (words.includes(lower) && words.includes(choice))) return meaning;
  }
  return null;
}

// -- dates -------------------------------------------------------------------------------------------------------

const ISO_DAY = /^(?:(\d{4})-(\d\d)-(\d\d)|(\d{4})(\d\d)(\d\d)|(\d{4})(-?)W(\d\d)(?:(-?)(\d))?)$/;
const ISO_TIME = /^(\d\d)(?:(:?)(\d\d)(?:(:?)(\d\d)(?:[.,](\d+))?)?)?$/;
const ISO_ZONE = /(?:(Z)|([+-])(\d\d)(?:(:?)(\d\d)(?:(:?)(\d\d)(?:\.(\d+))?)?)?)$/;

/** datetime.fromisoformat (Python 3.11 and later), as days. */
function iso(word) {
  // One letter, whichever, parts day and time; a week without its day is one letter or two shorter.
  for (const length of isoDayLengths(word)) {
    const day = isoDay(word.slice(0, length));
    if (day === null) continue;
    if (word.length === length) return day;
    const rest = Array.from(word.slice(length)).slice(1).join("");
    const time = isoTime(rest);
    return time === null ? null : moment(day, time);
  }
  return null;
}

function isoDayLengths(word) {
  if (/^\d{4}-W/.test(word)) return /^\d{4}-W\d\d-\d/.test(word) ? [10] : [8];
  if (/^\d{4}W/.test(word)) return /^\d{4}W\d{3}/.test(word) ? [8] : [7];
  return /^\d{4}-/.test(word) ? [10] : [8];
}

function isoDay(word) {
  const found = ISO_DAY.exec(word);
  if (!found) return null;
  const [, y1, m1, d1, y2, m2, d2, year, dash, week, dash2, weekday] = found;
  if (week === undefined) return calendar(Number(y1 ?? y2), Number(m1 ?? m2), Number(d1 ?? d2));
  if (weekday !== undefined && dash !== dash2) return null;
  return isoWeek(Number(year), Number(week), Number(weekday ?? 1));
}

function isoWeek(year, week, weekday) {
  if (year < 1 || weekday < 1 || weekday > 7 || week < 1) return null;
  const january4 = calendar(year, 1, 4);
  const monday = january4 - ((((january4 + 3) % 7) + 7) % 7); // 1970-01-01 was a Thursday
  const next = calendar(year + 1, 1, 4);
  const weeks = Math.round((next - ((((next + 3) % 7) + 7) % 7) - monday) / 7);
  return week > weeks ? null : monday + (week - 1) * 7 + weekday - 1;
}

function isoTime(word) {
  let zone = 0;
  const found = ISO_ZONE.exec(word);
  if (found) {
    word = word.slice(0, found.index);
    if (!found[1]) {
      const [, , sign, hours, , minutes = "0", , seconds = "0", fraction = ""] = found;
      if (found[7] !== undefined && found[4] !== found[6]) return null;
      zone = clock(hours, minutes, seconds, fraction);
      if (zone === null) return null;
      zone *= sign === "-" ? -1 : 1;
    }
  }
  const time = ISO_TIME.exec(word);
  if (!time || (time[5] !== undefined && time[2] !== time[4])) return null;
  const at = clock(time[1], time[3] ?? "0", time[5] ?? "0", time[6] ?? "");
  return at === null ? null : at - zone;
}

/** Days of a day and microseconds, rounded once, as Python divides, where the sum is exact. */
function moment(day, microseconds) {
  const whole = day * DAY * 1000 + microseconds;
  return Number.isSafeInteger(whole) ? whole / (DAY * 1000) : day + microseconds / (DAY * 1000);
}

/** Microseconds since midnight, or null; digits beyond the sixth are cut off. */
function clock(hours, minutes, seconds, fraction = "") {
  if (hours > 23 || minutes > 59 || seconds > 59) return null;
  return ((hours * 60 + Number(minutes)) * 60 + Number(seconds)) * 1e6 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}

/** Days since 1970-01-01 of a day that exists, else null. */
function calendar(year, month, day) {
  if (year < 1 || month < 1 || month > 12 || day < 1) return null;
  const found = new Date(0);
  found.setUTCFullYear(year, month - 1, day);
  return found.getUTCMonth() === month - 1 && found.getUTCDate() === day ? found.getTime() / DAY : null;
}

const DIRECTIVES = {
  Y: "(?<Y>\\d{4})",
  y: "(?<y>\\d\\d)",
  m: "(?<m>1[0-2]|0[1-9]|[1-9])",
  d: "(?<d>3[01]|[12]\\d|0[1-9]|[1-9]| [1-9])",
  H: "(?<H>2[0-3]|[01]\\d|\\d)",
  M: "(?<M>[0-5]\\d|\\d)",
  S: "(?<S>6[01]|[0-5]\\d|\\d)",
  b: `(?<b>${MONTHS.map((name) => name.slice(0, 3)).join("|")})`,
  B: `(?<b>${MONTHS.join("|")})`,
};

/** datetime.strptime in the C locale, of the directives that DATE_FORMATS has, as days. */
function strptime(word, format) {
  const pattern = format
    .replace(/[\\.^$*+?()[\]{}|]/g, "\\$&")
    .replace(/\s+/g, "\\s+")
    .replace(/%(\w)/g, (_, name) => DIRECTIVES[name]);
  const found = new RegExp(`^${pattern}$`, "i").exec(word);
  if (!found) return null;
  const { Y, y, m, d = "1", H = "0", M = "0", S = "0", b } = found.groups;
  const year = Y ? Number(Y) : Number(y) + (Number(y) < 69 ? 2000 : 1900);
  const month = b ? MONTHS.findIndex((name) => name.startsWith(b.toLowerCase().slice(0, 3))) + 1 : Number(m);
  const day = calendar(year, month, Number(d));
  const time = clock(H, M, S);
  return day === null || time === null ? null : moment(day, time);
}

const DAYS = ["%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y"];
const NAMED = ["%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y"];
const TIMES = ["", " %H:%M", " %H:%M:%S"];
const FORMATS = ["", "%Y-%m", ...TIMES.flatMap((time) => [...DAYS, ...NAMED].map((day) => day + time))];

/** The format of dates that most of the present cells have, at least `share` of them; null where there is none. */
export function dateFormat(cells, share = 0.95) {
  const present = cells.map(text).filter((word) => !missing(word));
  const words = present.filter((word) => /\p{Nd}/u.test(word));
  const few = [...new Set(words)].slice(0, 20);
  const fitting = (list, format) => list.filter((word) => date(word, format) !== null).length;
  let [best, most] = [null, share * present.length];
  for (const format of FORMATS) {
    if (fitting(few, format) * 2 <= few.length) continue;
    const fits = fitting(words, format);
    if (fits && fits >= most && (best === null || fits > most)) [best, most] = [format, fits];
  }
  return best;
}

// -- files -------------------------------------------------------------------------------------------------------

/** The rows of a comma-separated file, each a Map {column name: cell text}. */
export function parseCsv(content) {
  const [header, ...body] = csvRows(content, ",");
  const names = header.cells.map((name, index) => text(name) || `column_${index + 1}`);
  return body.map(({ cells }) => new Map(names.map((name, index) => [name, cells[index] ?? ""])));
}

/** The rows of a file whose cells `separator` parts, each {cells: texts, line: the one that it ends on}, lazily. */
export function* csvRows(content, separator) {
  const cell = new RegExp(`("(?:[^"]|"")*"|[^${separator}\\r\\n]*)([${separator}]|\\r\\n|\\n|\\r|$)`, "gy");
  content = content.replace(/^\ufeff/, "");
  let cells = [];
  let line = 1;
  while (cell.lastIndex < content.length) {
    const [, raw, end] = cell.exec(content);
    if (raw.startsWith('"')) line += raw.split(/\r\n|\n|\r/).length - 1;
    cells.push(raw);
    if (end === separator && cell.lastIndex === content.length) cells.push("");
    if (end === separator && cell.lastIndex < content.length) continue;
    // An empty line is no row; "" alone on a line is one, whose only cell is empty.
    if (cells.length > 1 || cells[0]) yield { cells: cells.map(unquoted), line };
    cells = [];
    line++;
  }
}

const unquoted = (raw) => (raw.startsWith('"') ? raw.slice(1, -1).replaceAll('""', '"') : raw);
