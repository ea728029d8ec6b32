// A series from a CSV, as kexp.data.samples reads one: a row for each step, a column for each channel.

import { csvRows, date, dateFormat, digits, number, text } from "./cells.js";
import { t, whole } from "./text.js";

const SEPARATORS = [",", ";", "\t", "|"];
const LOOKED_AT = 50; // rows that tell the separator
const FEWEST = 4; // steps of a channel whose columns they are
// Names of columns that may only tell when a step is; kexp.data.recordings, is_time.
const TIME =
  /^\s*(?:t|time|timestamps?|date|datetime|column_1|unnamed: 0|s|secs?|seconds?|ms|millis(?:econds)?|(?:time|t)[ _]?[[(]?(?:s|sec|seconds|ms|millis(?:econds)?)[\])]?|(?:index|idx|step|sample|frame|row)s?)\s*$/i;

/** Float32Array (steps * channels) of the text of a CSV. Throws Error, with the line, for what is no such series. */
export const read = (content, spec) => open(content, spec).values;

/**
 * {values: as `read`, rows: how many the file has, missing: how many cells were filled in, others: series that the file
 * has besides, where each row is one}. Throws Error as `read`.
 */
export function open(content, spec) {
  const [steps, count] = spec.shape;
  const { names, rows } = table(content);
  const { series, others, name } = aside(names, rows, spec) ?? below(names, rows, spec);
  if (spec.horizon > 0 && series.length < steps) {
    throw new Error(t("seriesFew", { found: whole(series.length), count: whole(steps) }));
  }
  const looked = spec.horizon > 0 ? series.slice(-steps) : series;
  const missing = looked.flat().filter(Number.isNaN).length;
  if (spec.horizon > 0) carry(series);
  fill(looked, name);
  const values = new Float32Array(steps * count);
  fit(looked, steps).forEach((row, step) => values.set(row, step * count));
  return { values, rows: series.length, missing, others };
}

/** A row for each step: the columns of the channels, or all but those of times. Of a forecast the oldest row first. */
function below(names, rows, spec) {
  const count = spec.shape[1];
  const named = spec.channels.map((name) => names.indexOf(name));
  const tells = (place) => TIME.test(names[place]) && rises(rows.map(({ cells }) => cells[place])); // the time
  let places = names.map((_, index) => index);
  if (named.length === count && !named.includes(-1)) places = named;
  else if (places.length > count) {
    const others = places.filter((place) => !tells(place));
    if (others.length === count) places = others;
  }
  if (places.length !== count) {
    throw new Error(t("seriesColumns", { found: whole(names.length), count: whole(count), names: spec.channels.join(", ") }));
  }
  if (places !== named && (named.some((place) => place >= 0) || places.some(tells))) {
    // Some names are those of channels, or one is of times: in their order columns would be taken for others.
    const absent = spec.channels.filter((_, c) => named[c] < 0);
    throw new Error(t("seriesAbsent", { absent: absent.join(", "), names: spec.channels.join(", ") }));
  }
  const ordered = spec.horizon > 0 ? oldestFirst(rows) : rows;
  const series = ordered.map(({ cells, line }) => places.map((place) => measured(cells[place], line)));
  return { series, others: 0, name: (c) => names[places[c]] };
}

/** The first row, where the columns are the steps of the channels, x0, y0, x1, y1; null where they are not. */
function aside(names, rows, spec) {
  if (spec.channels.every((name) => names.includes(name))) return null;
  const found = new Map(); // channel -> {number: place}
  for (const [place, name] of names.entries()) {
    if (!/\p{Nd}$/u.test(name)) continue;
    const [, channel, number] = /^(.*?)[_.\- ]?(\d+)$/s.exec(digits(name));
    const steps = found.get(channel) ?? found.set(channel, new Map()).get(channel);
    if (steps.has(Number(number))) return null;
    steps.set(Number(number), place);
  }
  const channels = Array.from(found.values(), (steps) => Array.from(steps).sort(([a], [b]) => a - b));
  const same = Array.from(found.keys(), (channel) => channel || "x").join("\n") === spec.channels.join("\n");
  const [first] = channels;
  if (!same || first.length < FEWEST) return null;
  const counted = (steps) => steps.length === first.length && steps.every(([number], i) => number === first[0][0] + i);
  if (!channels.every(counted)) return null;
  const { cells, line } = rows[0];
  const series = first.map((_, step) => channels.map((steps) => measured(cells[steps[step][1]], line)));
  return { series, others: rows.length - 1, name: (c) => spec.channels[c] };
}

function rises(cells) {
  const plain = cells.map(number);
  const format = plain.includes(null) ? dateFormat(cells, 1) : null;
  const times = format === null ? plain : cells.map((cell) => date(cell, format));
  return times.length > 1 && times.every((time, i) => time !== null && !Number.isNaN(time) && (i === 0 || time > times[i - 1]));
}

/** The rows by the first column of dates, where there is one. */
function oldestFirst(rows) {
  for (let c = 0; c < rows[0].cells.length; c++) {
    const format = dateFormat(rows.map(({ cells }) => cells[c]));
    if (format === null) continue;
    const dated = rows.map((row) => ({ row, moment: date(row.cells[c], format) }));
    const none = dated.find(({ moment }) => moment === null || Number.isNaN(moment));
    if (none) throw new Error(t("seriesDate", { line: whole(none.row.line), cell: text(none.row.cells[c]) }));
    return dated.sort((a, b) => a.moment - b.moment).map(({ row }) => row);
  }
  return rows;
}

/** {names, rows: [{cells, line}]}, rows all as wide as the header; one without a header has numbered columns. */
function table(content) {
  const all = Array.from(csvRows(content, separator(content)));
  if (!all.length) throw new Error(t("seriesEmpty"));
  let names = all[0].cells.map(text);
  const numbers = names.map(number);
  const counts = (from) => names.every((name, index) => name === String(index + from)); // columns that are only numbered
  const counted = names.length > 1 && (counts(0) || counts(1));
  const headless = !counted && !numbers.includes(null) && !numbers.every(Number.isNaN);
  if (headless) names = names.map((_, index) => `x${index + 1}`);
  else all.shift();
  names = names.map((name, index) => name || `column_${index + 1}`);
  if (!all.length) throw new Error(t("seriesEmpty"));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice) throw new Error(t("seriesTwice", { name: twice }));
  const uneven = all.find(({ cells }) => cells.length !== names.length);
  if (uneven) {
    const [found, count] = [uneven.cells.length, names.length].map(whole);
    throw new Error(t("seriesWidth", { line: whole(uneven.line), found, count }));
  }
  return { names, rows: all };
}

/** The separator that gives most of the first rows the width of the header, and the widest such. */
function separator(content) {
  let [best, agreed, widest] = [",", false, 1];
  for (const each of SEPARATORS) {
    const widths = [];
    for (const { cells } of csvRows(content, each)) if (widths.push(cells.length) === LOOKED_AT) break;
    const agree = widths.filter((width) => width === widths[0]).length >= widths.length / 2;
    if (!(widths[0] > 1) || (agreed && !agree)) continue;
    if ((agree && !agreed) || widths[0] > widest) [best, agreed, widest] = [each, agree, widths[0]];
  }
  return best;
}

/** The number in a cell, NaN where missing. Throws Error for one that is none, or more than float32 holds. */
function measured(cell, line) {
  const value = number(cell);
  if (value === null || (!Number.isNaN(value) && !Number.isFinite(Math.fround(value)))) {
    throw new Error(t("seriesCell", { line: whole(line), cell: text(cell) }));
  }
  return value;
}

/** `steps` of the rows around the middle, or the last repeated where there are fewer. */
export function fit(rows, steps) {
  const start = Math.max(0, Math.floor((rows.length - steps) / 2));
  const found = rows.slice(start, start + steps);
  while (found.length < steps) found.push(found.at(-1));
  return found;
}

/** Of a forecast, a missing value is the one before, in place: one drawn between neighbours would tell what comes next. */
function carry(rows) {
  for (let i = 1; i < rows.length; i++) {
    rows[i].forEach((value, c) => {
      if (Number.isNaN(value)) rows[i][c] = rows[i - 1][c];
    });
  }
}

/** Missing values are drawn straight between their neighbours, in place. */
function fill(rows, name) {
  for (let c = 0; c < rows[0].length; c++) {
    const known = rows.flatMap((row, index) => (Number.isNaN(row[c]) ? [] : [index]));
    if (!known.length) throw new Error(t("seriesGone", { name: name(c) }));
    for (let i = 0, next = 0; i < rows.length; i++) {
      while (next < known.length && known[next] < i) next++;
      const [left, right] = [known[next - 1], known[next]];
      if (right === i) continue;
      if (left === undefined) rows[i][c] = rows[right][c];
      else if (right === undefined) rows[i][c] = rows[left][c];
      else rows[i][c] = rows[left][c] + ((rows[right][c] - rows[left][c]) * (i - left)) / (right - left);
    }
  }
}
