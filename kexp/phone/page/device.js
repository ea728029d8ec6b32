// What the computer is told about this phone.

const TAG = "kexp tag";

/** A name for people: the model where the browser tells it, else what its user agent says. */
export async function name() {
  const agent = navigator.userAgent;
  try {
    const found = await navigator.userAgentData.getHighEntropyValues(["model", "platformVersion"]);
    if (found.model) return `${found.model}, ${found.platform ?? ""} ${found.platformVersion ?? ""}`.trim();
    if (found.platform) return `${found.platform} ${found.platformVersion ?? ""}`.trim();
  } catch {
    // only some browsers have it, and only on secure connections
  }
  const android = /Android [^;)]*(?:; ([^;)]+))?/.exec(agent);
  // Chrome says "Android 10; K" of every phone, wherever it does not tell the model.
  if (android?.[1] && android[1] !== "K") return `${android[1]}, ${android[0].split(";")[0]}`;
  if (android) return `Android phone ${tag()}`.trim();
  const apple = /\((iPhone|iPad|Macintosh)[^)]*?OS (?:X )?([\d_]+)/.exec(agent);
  if (apple) return `${`${apple[1]} ${tag()}`.trim()}, ${apple[2].replaceAll("_", ".")}`;
  return /\(([^)]*)\)/.exec(agent)?.[1] ?? "unknown";
}

/** What tells this phone from others of which the browser says the same, as long as it keeps the page's storage. */
function tag() {
  try {
    let kept = localStorage.getItem(TAG);
    if (!kept) {
      kept = Math.floor(Math.random() * 0x10000).toString(16).padStart(4, "0");
      localStorage.setItem(TAG, kept);
    }
    return kept;
  } catch {
    return ""; // storage is refused in some private windows
  }
}

/** POST what was measured: "" where the server took it, why where it refused, null where it does not answer. */
export async function send(artifacts) {
  try {
    const answer = await fetch("results", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ device: await name(), userAgent: navigator.userAgent, artifacts }),
    });
    if (answer.ok) return "";
    const { error } = await answer.json().catch(() => ({})); // a 404 has no JSON: the address is an old one
    return error ?? `status ${answer.status}`;
  } catch {
    return null;
  }
}
