// What the kinds share: arrows through the samples that came along, buttons, and whether there is a camera to ask for.

import { h, icon } from "./dom.js";
import { onLanguage, t, whole } from "./text.js";

/** Whether the browser gives camera and microphone to this page. */
export const live = () => globalThis.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);

/** A place for what went wrong, and tell(text), which fills and shows it, or hides it where there is nothing to say. */
export function notice() {
  const node = h("p", { class: "note", role: "alert", hidden: true });
  function tell(text) {
    node.hidden = !text;
    node.textContent = text;
  }
  return [node, tell];
}

/** {node, go(step), none()}: of each golden sample, by its name, `open(blob)` is called and awaited; `tell` says why not. */
export function turns(names, open, tell) {
  const count = names.length;
  let at = 0;
  let shown = false;
  const place = h("span", { class: "place" });
  const write = () => {
    place.textContent = shown ? t("sampleOf", { number: whole(at + 1), count: whole(count) }) : t("samples");
  };
  onLanguage(write);
  async function go(step) {
    at = (at + step + count) % count;
    shown = true;
    write();
    try {
      await open(await golden(names[at]));
    } catch (error) {
      tell(t("noSample", { why: error.message || String(error) }));
    }
  }
  const arrow = (name, key, step) =>
    h("button", { type: "button", class: "plain arrow", label: key, id: key, on: { click: () => go(step) } }, icon(name));
  function none() {
    shown = false;
    write();
  }
  return { node: h("div", { class: "turns" }, arrow("back", "previous", -1), place, arrow("forward", "next", 1)), go, none };
}

/** A button of the row of actions. */
export function action(key, name, listener, properties = {}) {
  return h("button", { type: "button", class: "action", ...properties, on: { click: listener } }, icon(name), h("span", { t: key }));
}

/** A button that opens a file, given to `take`. */
export function opener(key, accept, take) {
  const field = h("input", {
    type: "file",
    accept,
    class: "unseen",
    label: `${key}Label`,
    id: "file-choose",
    on: {
      change: async () => {
        const [picked] = field.files;
        field.value = ""; // the same file may be picked again
        if (picked) await take(picked);
      },
    },
  });
  return h("label", { class: "action" }, field, icon("file"), h("span", { t: "choose" }));
}

/** A file of the golden vectors. */
export async function golden(name) {
  const answer = await fetch(`golden/${encodeURIComponent(name)}`);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.blob();
}
