// Use without network: the service worker, what it has kept, and a newer export that waits.

const CONTENT = "kexp-content"; // as in sw.js
const PATIENCE = 4000; // milliseconds; then what an earlier session kept is fetched again

/** Open the page again when another worker takes over, in whichever tab that was wished: it has the files of another export. */
export function follow() {
  let controlled = Boolean(navigator.serviceWorker?.controller);
  navigator.serviceWorker?.addEventListener("controllerchange", () => {
    if (controlled) location.reload();
    controlled = true; // the first worker brings the very files of this page
  });
}

/**
 * Where an earlier session, at another address of this computer, kept the runtime: wait for the worker, which hands it
 * over. Otherwise the browser would fetch 9 MB again for each session.
 */
export async function reuse() {
  if (!globalThis.isSecureContext || !navigator.serviceWorker || navigator.serviceWorker.controller) return;
  try {
    if (!(await caches.has(CONTENT))) return;
    const controlled = new Promise((resolve) => {
      navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
      setTimeout(resolve, PATIENCE);
    });
    await navigator.serviceWorker.register("sw.js", { scope: "./", updateViaCache: "none" });
    await controlled;
  } catch {
    // it is fetched, then; keep() says what is wrong
  }
}

/**
 * Register the worker and let it keep what this page used. tell({state, why}) is called with "preparing", "ready" or
 * "failed"; newer(take) where a newer export waits: take() puts it in place and opens the page again.
 */
export async function keep(tell, newer) {
  if (!globalThis.isSecureContext || !navigator.serviceWorker) return;
  tell({ state: "preparing" });
  try {
    // Registering again would wait, in Chromium for seconds, until it has looked for a newer worker.
    const known = await navigator.serviceWorker.getRegistration("./");
    const registration = known?.active
      ? known
      : await navigator.serviceWorker.register("sw.js", { scope: "./", updateViaCache: "none" });
    watch(registration, newer);
    await active(registration);
    const answer = await ask(registration.active, { keep: used() });
    tell(answer.kept ? { state: "ready" } : { state: "failed", why: answer.why });
    await registration.update().catch(() => {}); // the browser itself looks when it likes; without network not at all
  } catch (error) {
    tell({ state: "failed", why: error.message });
  }
}

/** Wait for a worker that works; one that could not keep every file is given up by the browser. */
async function active(registration) {
  const first = registration.installing;
  if (registration.active || !first) return navigator.serviceWorker.ready;
  await new Promise((resolve, reject) => {
    first.addEventListener("statechange", () => {
      if (first.state === "activated") resolve();
      if (first.state === "redundant") reject(new Error("a file could not be fetched, or is of another export"));
    });
  });
  return registration;
}

/** Relative URLs of what the browser has fetched for this page: of the two WebAssembly variants, the one in use. */
function used() {
  const base = new URL("./", import.meta.url).href;
  const entries = performance.getEntriesByType("resource").map((entry) => entry.name);
  return [...new Set(entries.filter((url) => url.startsWith(base)).map((url) => url.slice(base.length)))];
}

function ask(worker, message) {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = (event) => resolve(event.data);
    worker.postMessage(message, [channel.port2]);
  });
}

function watch(registration, newer) {
  const offer = (worker) => {
    if (!worker || !navigator.serviceWorker.controller) return; // the first worker is no news
    newer(() => worker.postMessage({ take: true })); // then the page is opened again, by follow()
  };
  const follow = (worker) =>
    worker?.addEventListener("statechange", () => {
      if (worker.state === "installed") offer(worker);
    });
  offer(registration.waiting);
  follow(registration.installing); // the browser looks for another worker as soon as the page is opened
  registration.addEventListener("updatefound", () => follow(registration.installing));
}
