// What the computer is told about this phone.

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
  if (android) return [android[1], android[0].split(";")[0]].filter(Boolean).join(", ");
  const apple = /\((iPhone|iPad|Macintosh)[^)]*?OS (?:X )?([\d_]+)/.exec(agent);
  if (apple) return `${apple[1]}, ${apple[2].replaceAll("_", ".")}`;
  return /\(([^)]*)\)/.exec(agent)?.[1] ?? "unknown";
}

/** POST what was measured; whether the server took it. */
export async function send(artifacts) {
  try {
    const answer = await fetch("results", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ device: await name(), userAgent: navigator.userAgent, artifacts }),
    });
    return answer.ok;
  } catch {
    return false;
  }
}
