// Tables: a form made of the columns, with the ranges and choices of the training rows, and an answer at every touch.

import { date, digits, encodeRow, parseCsv, text, value } from "./cells.js";
import { data, h, icon } from "./dom.js";
import { dayNumber, number, onLanguage, t, whole } from "./text.js";

const DAY = 86_400_000;
const STEPS = 1000; // of a slider
const OTHER = "\u0000other"; // no cell holds it

export async function begin({ spec, input, actions, predict }) {
  const rows = parseCsv(await (await fetch("golden/rows.csv")).text());
  const fields = spec.columns.map((column) => makeField(column, () => update()));
  const form = h(
    "form",
    { class: "form", autocomplete: "off", on: { submit: (event) => event.preventDefault() } },
    h("h2", { class: "unseen", t: "values" }),
    ...fields.map((field) => field.node),
  );
  input.append(form);

  let wanted = null;
  let busy = false;

  /** Encode the form and ask the model; of several touches in one run only the last counts. */
  async function update() {
    const cells = new Map(fields.map((field) => [field.column.name, field.cell()]));
    const columns = fields.map((field) => field.column);
    const { values, unusual } = encodeRow(cells, columns);
    for (const field of fields) field.warn(unusual.find((each) => each.column === field.column)?.code ?? "");
    wanted = values;
    if (busy) return;
    busy = true;
    try {
      while (wanted) {
        const mine = wanted;
        wanted = null;
        await predict(mine);
      }
    } finally {
      busy = false;
    }
  }

  let at = 0;
  const place = h("span", { class: "place" });
  function go(step) {
    at = (at + step + rows.length) % rows.length;
    for (const field of fields) field.set(rows[at].get(field.source.name) ?? "");
    place.textContent = t("sampleOf", { number: whole(at + 1), count: whole(rows.length) });
    return update();
  }
  onLanguage(() => {
    place.textContent = t("sampleOf", { number: whole(at + 1), count: whole(rows.length) });
    for (const field of fields) field.translate();
  });
  const arrow = (name, key, step) =>
    h("button", { type: "button", class: "action arrow", label: key, on: { click: () => go(step) } }, icon(name));
  actions.append(arrow("back", "previous", -1), place, arrow("forward", "next", 1));
  return { first: () => go(0) };
}

/**
 * {node, column, source, cell(): text, set(text), warn(code), translate()}. `source` is the column as the data have
 * it, `column` as the form writes it: dates in ISO form, as the browser's own field does.
 */
function makeField(source, changed) {
  const column = source.kind === "date" ? { ...source, format: "" } : source;
  const id = `field-${Math.random().toString(36).slice(2)}`;
  const hint = h("p", { class: "hint", id: `${id}-hint` });
  const made = MAKERS[column.kind]({ column, source, id, changed });
  const title = data(column.name, { class: "title" });
  const head = made.group
    ? h("legend", {}, title)
    : h("label", { for: id }, title);
  const node = h(made.group ? "fieldset" : "div", { class: `field ${column.kind}` }, head, ...made.nodes, hint);
  for (const each of made.described) each.setAttribute("aria-describedby", hint.id);
  let code = "";

  function translate() {
    const [low, high] = [column.minimum, column.maximum].map((end) => shown(end, column));
    const range = column.kind === "number" || column.kind === "date" ? t("between", { low, high }) : "";
    const warning = {
      "": "",
      empty: t("empty"),
      absent: t("empty"),
      outside: t("outside", { low, high }),
      unknown: t("unseen"),
      unreadable: t("unreadable"),
    }[code];
    node.dataset.warning = Boolean(warning);
    hint.replaceChildren(...(warning ? [icon("warning"), h("span", {}, warning)] : [range]));
    hint.hidden = !warning && !range;
    made.translate?.();
  }

  return {
    node,
    column,
    source,
    cell: made.cell,
    set: made.set,
    translate,
    warn(found) {
      if (found === code) return;
      code = found;
      translate();
    },
  };
}

const shown = (end, column) => (column.kind === "date" ? dayNumber(end) : number(end, 6));

const MAKERS = {
  number({ column, id, changed }) {
    const negative = column.minimum < 0; // the decimal keypad of iOS has no minus sign
    const field = h("input", {
      id,
      type: "text",
      inputmode: negative ? "text" : "decimal",
      dir: "ltr",
      enterkeyhint: "done",
      on: {
        input: () => {
          follow();
          changed();
        },
      },
    });
    const scale = scaleOf(column);
    const slider = h("input", {
      type: "range",
      min: 0,
      max: STEPS,
      step: 1,
      on: {
        input: () => {
          field.value = scale.value(Number(slider.value) / STEPS);
          slider.dataset.unknown = false;
          say();
          changed();
        },
      },
    });
    function follow() {
      const found = value(plain(field.value), column);
      slider.dataset.unknown = found === null || Number.isNaN(found);
      slider.value = Math.round(STEPS * (slider.dataset.unknown === "true" ? 0.5 : scale.place(found)));
      slider.style.setProperty("--share", slider.value / STEPS);
      say();
    }
    const say = () => slider.setAttribute("aria-valuetext", field.value || t("unknown"));
    slider.addEventListener("input", () => slider.style.setProperty("--share", slider.value / STEPS));
    const usable = column.maximum > column.minimum;
    return {
      nodes: usable ? [field, slider] : [field],
      described: [field],
      cell: () => plain(field.value),
      set(cell) {
        const found = value(cell, column);
        field.value = found === null ? cell : Number.isNaN(found) ? "" : text(cell);
        follow();
      },
      translate() {
        field.placeholder = t("unknown");
        slider.setAttribute("aria-label", t("sliderOf", { name: column.name }));
        say();
      },
    };
  },

  date({ column, source, id, changed }) {
    const timed = /%H/.test(source.format) || [column.minimum, column.maximum].some((end) => end % 1 !== 0);
    const field = h("input", { id, type: timed ? "datetime-local" : "date", on: { input: changed } });
    return {
      nodes: [field],
      described: [field],
      cell: () => field.value,
      set(cell) {
        const days = date(cell, source.format);
        const known = days !== null && !Number.isNaN(days);
        field.value = known ? new Date(Math.round(days * DAY)).toISOString().slice(0, timed ? 16 : 10) : "";
      },
    };
  },

  boolean({ column, id, changed }) {
    const options = [column.choices[0], column.choices[1], ""].map((choice, index) => {
      const field = h("input", { type: "radio", name: id, value: String(index), on: { change: changed } });
      const name = choice ? data(choice) : h("span", { t: "unknown" });
      return { choice, field, node: h("label", { class: "segment" }, field, name) };
    });
    return {
      group: true,
      nodes: [h("div", { class: "segments" }, ...options.map((option) => option.node))],
      described: options.map((option) => option.field),
      cell: () => options.find((option) => option.field.checked)?.choice ?? "",
      set(cell) {
        const found = value(cell, column);
        options[found === 0 || found === 1 ? found : 2].field.checked = true;
      },
    };
  },

  category({ column, id, changed }) {
    const unknown = h("option", { value: "", t: "unknown" });
    const other = h("option", { value: OTHER, t: "otherChoice" });
    const known = column.choices.map((choice) => h("option", { value: choice }, choice || "—"));
    const field = h("select", { id, on: { change: changed } }, ...known, other, unknown);
    let word = OTHER;
    return {
      nodes: [h("span", { class: "select" }, field)],
      described: [field],
      cell: () => (field.value === OTHER ? word : field.value),
      set(cell) {
        const found = value(cell, column);
        word = found === -1 ? cell : OTHER;
        field.value = Number.isNaN(found) ? "" : found === -1 ? OTHER : column.choices[found];
      },
    };
  },
};

/**
 * What a person types, as a cell: a comma of the keypad is a decimal point, Arabic marks are Latin ones. 5,000 is left as
 * it is, which is unreadable: five thousand to some, five to others.
 */
export function plain(typed) {
  const word = typed.replaceAll("٬", "").replace("٫", ".").replace("−", "-");
  if (/^[+-]?[1-9]\d{0,2}(,\d{3})+$/.test(digits(text(word)))) return word;
  return /^[^.,]*,[^.,]*$/.test(word) ? word.replace(",", ".") : word;
}

/**
 * The slider's scale, in quantiles of the training rows where they are known: half of the way is half of the rows, so a
 * long tail takes no room. place(value) and value(place), 0 to 1; values are text with the digits that matter.
 */
export function scaleOf(column) {
  const edges = column.edges.length > 2 ? column.edges : [column.minimum, column.maximum];
  const integers = [...edges, column.minimum, column.maximum].every(Number.isInteger);
  const span = column.maximum - column.minimum || 1;
  const digits = integers ? 0 : Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(span))));
  const last = edges.length - 1;
  return {
    place(found) {
      if (found <= edges[0]) return 0;
      if (found >= edges[last]) return 1;
      const bin = edges.findIndex((edge) => found < edge) - 1;
      return (bin + (found - edges[bin]) / (edges[bin + 1] - edges[bin])) / last;
    },
    value(place) {
      const bin = Math.min(last - 1, Math.floor(place * last));
      const inside = edges[bin] + (place * last - bin) * (edges[bin + 1] - edges[bin]);
      const rounded = Number(inside.toFixed(digits));
      if (Math.fround(rounded) >= column.maximum) return shortest(column.maximum);
      return Math.fround(rounded) <= column.minimum ? shortest(column.minimum) : String(rounded);
    },
  };
}

/** The fewest digits that are the same float32, which is what the ends of a range are. */
function shortest(found) {
  for (let digits = 1; digits < 17; digits++) {
    const word = found.toPrecision(digits);
    if (Math.fround(Number(word)) === found) return String(Number(word));
  }
  return String(found);
}
