// A series from a CSV, as kexp.data.samples reads one: a row for each step, a column for each channel.

const MISSING = new Set(["", "na", "n/a", "nan", "null", "?"]);

/** Float32Array (steps * channels) of the text of a CSV. Throws Error, with the line, for what is no such series. */
export function read(text, spec) {
  const [steps, count] = spec.shape;
  let lines = text.replace(/^\ufeff/, "").split(/\r?\n/).filter((line) => line.trim());
  const separator = [",", ";", "\t"].find((each) => lines[0]?.includes(each)) ?? ",";
  const cells = (line) => line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
  const head = cells(lines[0] ?? "");
  let places = head.map((_, index) => index);
  const counts = (from) => head.every((cell, index) => cell === String(index + from)); // columns that are only numbered
  if (head.some((cell) => Number.isNaN(number(cell))) || counts(0) || counts(1)) {
    lines = lines.slice(1);
    const named = spec.channels.map((name) => head.indexOf(name));
    if (named.length && !named.includes(-1)) places = named;
  }
  if (places.length !== count) throw new Error(`${head.length} columns, ${count} are expected: ${spec.channels.join(", ")}`);
  const rows = lines.map((line, index) => {
    const all = cells(line);
    return places.map((place) => {
      const cell = all[place] ?? "";
      const value = MISSING.has(cell.toLowerCase()) ? NaN : number(cell);
      if (Number.isNaN(value) && !MISSING.has(cell.toLowerCase())) throw new Error(`row ${index + 1}: ${cell}`);
      return value;
    });
  });
  if (spec.horizon > 0) carry(rows, count);
  fill(rows, count);
  return fit(rows, steps, spec.horizon > 0).reduce((flat, row, step) => {
    flat.set(row, step * count);
    return flat;
  }, new Float32Array(steps * count));
}

function number(cell) {
  return cell === "" ? NaN : Number(cell);
}

/** `steps` of the rows: of a forecast the last ones, otherwise those around the middle; the last repeated where few. */
export function fit(rows, steps, last) {
  if (last && rows.length < steps) throw new Error(`${rows.length} rows, ${steps} are expected`);
  const start = last ? rows.length - steps : Math.max(0, Math.floor((rows.length - steps) / 2));
  const found = rows.slice(start, start + steps);
  while (found.length < steps) found.push(found.at(-1));
  return found;
}

/** Of a forecast, a missing value is the one before, in place: one drawn between neighbours would tell what comes next. */
function carry(rows, channels) {
  for (let i = 1; i < rows.length; i++)
    for (let c = 0; c < channels; c++) if (Number.isNaN(rows[i][c])) rows[i][c] = rows[i - 1][c];
}

/** Missing values are drawn straight between their neighbours, in place. */
function fill(rows, channels) {
  for (let c = 0; c < channels; c++) {
    const known = rows.flatMap((row, index) => (Number.isNaN(row[c]) ? [] : [index]));
    if (!known.length) throw new Error(`column ${c + 1} has no value`);
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
