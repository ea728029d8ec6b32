// Elements without HTML: text of the data can hold anything, and stays text.

import { t } from "./text.js";

/**
 * An element. Of `properties`, t is a phrase that follows the language, label an aria-label that does, on is
 * {event: listener}, class and other names are attributes; false and null are left out.
 */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "t") phrase(node, value);
    else if (name === "label") label(node, value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Text of the data: shown in its own direction, whatever the page's is. */
export const data = (text, properties = {}) => h("bdi", properties, text);

export function phrase(node, key) {
  node.dataset.t = key;
  node.textContent = t(key);
}

export function label(node, key) {
  node.dataset.label = key;
  node.setAttribute("aria-label", t(key));
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  camera: "M4 8.5A1.5 1.5 0 0 1 5.5 7h2l1.3-2h6.4l1.3 2h2A1.5 1.5 0 0 1 20 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5z M12 16.2a3.4 3.4 0 1 0 0-6.8 3.4 3.4 0 0 0 0 6.8z",
  stop: "M8 6.5v11 M16 6.5v11",
  turn: "M4.5 11a7.6 7.6 0 0 1 13.6-3.6 M18.5 3.5v4.2h-4.2 M19.5 13a7.6 7.6 0 0 1-13.6 3.6 M5.5 20.5v-4.2h4.2",
  choose: "M5.5 4.5h13a1 1 0 0 1 1 1v13a1 1 0 0 1-1 1h-13a1 1 0 0 1-1-1v-13a1 1 0 0 1 1-1z M4.5 16l4.6-4.6 4.4 4.4 2.2-2.2 3.8 3.8 M15 9.2h.01",
  file: "M7.5 4.5h6.5l4 4v10a1 1 0 0 1-1 1h-9.5a1 1 0 0 1-1-1v-13a1 1 0 0 1 1-1z M14 4.5v4h4",
  microphone: "M12 14.5a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3z M6 11a6 6 0 0 0 12 0 M12 17v3.5",
  motion: "M8.5 4.5h7a1 1 0 0 1 1 1v13a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-13a1 1 0 0 1 1-1z M4.5 9v6 M19.5 9v6",
  record: "M12 19.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15z M12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  photo: "M12 19.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15z M12 15.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
  passed: "M5 12.5l4.5 4.5L19 7.5",
  failed: "M6.5 6.5l11 11 M17.5 6.5l-11 11",
  waiting: "M12 7v5l3 2 M12 19.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15z",
  back: "M14.5 6l-6 6 6 6",
  forward: "M9.5 6l6 6-6 6",
  warning: "M12 4.5l8.5 14.5h-17z M12 10v4 M12 16.6v.01",
};

export function icon(name, properties = {}) {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", "0 0 24 24");
  node.setAttribute("aria-hidden", "true");
  node.setAttribute("class", `icon ${properties.class ?? ""}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  node.append(path);
  return node;
}
