// Keeps the page when the server is gone: every file of one export, cache first.
//
// FILES holds the SHA-256 of each file. A new export therefore makes a new worker, which fetches only what changed, and
// takes over when the page says so. A file that is not what FILES says is not kept, so half an update is none.
//
// Each session of `kexp phone` has an address of its own, hence a worker of its own; the files lie in one cache of the
// origin under their SHA-256, so that the runtime is fetched once and not once for each. Which of them a worker needs
// is written in a second cache, named after its scope: what no such list has is removed, and so are lists of addresses
// that are gone, but for the latest.

const FILES = {} /* filled in */;
const CONTENT = "kexp-content"; // as in offline.js
const LIST = "kexp ";
const OWN = LIST + self.registration.scope;
const [NOW, NEXT] = ["files-now.json", "files-next.json"]; // NEXT is that of a worker which is not in place yet
const OTHERS = 2; // addresses that stay usable without network although they are gone
const WASM = /^litert\/litert_wasm.*_internal\.(js|wasm)$/; // of two variants a browser uses one: the page says which

const place = (digest) => new URL(`/kexp-content/${digest}`, self.location.origin).href;
const key = (url) => place(FILES[url]);

async function keep(cache, url) {
  if (await cache.match(key(url))) return;
  const answer = await fetch(new URL(url, self.registration.scope), { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${url}: status ${answer.status}`);
  const content = await answer.clone().arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== FILES[url]) throw new Error(`${url}: not the file of this export`);
  const headers = { "Content-Type": answer.headers.get("Content-Type") ?? "application/octet-stream" };
  await cache.put(key(url), new Response(content, { headers }));
}

/** The list `which` of the worker whose cache is called `name`: {url: SHA-256}. */
async function listed(name, which) {
  const found = await (await caches.open(name)).match(new URL(which, name.slice(LIST.length)));
  return found ? found.json() : {};
}

async function list(which) {
  await (await caches.open(OWN)).put(new URL(which, self.registration.scope), new Response(JSON.stringify(FILES)));
}

async function install() {
  const before = await listed(OWN, NOW);
  await list(NEXT); // first: what is listed is not removed
  const cache = await caches.open(CONTENT);
  const urls = [];
  for (const url of Object.keys(FILES)) {
    // The variant that the worker before has kept is the one in use: without it the page could not start.
    if (!WASM.test(url) || (before[url] && (await cache.match(place(before[url]))))) urls.push(url);
  }
  await Promise.all(urls.map((url) => keep(cache, url)));
}

async function activate() {
  await list(NOW);
  await (await caches.open(OWN)).delete(new URL(NEXT, self.registration.scope));
  await self.clients.claim();
}

async function tidy() {
  const lists = async () => (await caches.keys()).filter((name) => name.startsWith(LIST)); // in the order they were made
  const others = (await lists()).filter((name) => name !== OWN);
  for (const name of others.slice(0, -OTHERS)) {
    const answer = await fetch(`${name.slice(LIST.length)}sw.js`, { cache: "no-store" }).catch(() => null);
    if (answer?.status === 404) await caches.delete(name);
  }
  const wanted = new Set();
  for (const name of await lists()) {
    for (const which of [NOW, NEXT]) Object.values(await listed(name, which)).forEach((digest) => wanted.add(place(digest)));
  }
  const cache = await caches.open(CONTENT);
  for (const request of await cache.keys()) {
    if (!wanted.has(request.url)) await cache.delete(request);
  }
}

async function answer(request, url) {
  const cache = await caches.open(CONTENT);
  const stored = await cache.match(key(url));
  return stored ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));

self.addEventListener("fetch", (event) => {
  const target = new URL(event.request.url);
  if (event.request.method !== "GET" || !target.href.startsWith(self.registration.scope)) return;
  const path = target.href.slice(self.registration.scope.length).replace(/[?#].*/, "");
  const url = path === "" ? "index.html" : decodeURIComponent(path);
  if (url in FILES) event.respondWith(answer(event.request, url));
});

self.addEventListener("message", (event) => {
  const { take, keep: urls } = event.data;
  if (take) self.skipWaiting();
  if (!urls) return;
  const kept = caches.open(CONTENT).then((cache) =>
    Promise.all(urls.filter((url) => url in FILES).map((url) => keep(cache, url))),
  );
  const told = kept.then(
    () => event.ports[0].postMessage({ kept: true }),
    (error) => event.ports[0].postMessage({ kept: false, why: String(error) }),
  );
  event.waitUntil(told.then(tidy));
});
