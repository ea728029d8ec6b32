// Keeps the page when the server is gone: every file of one export, cache first.
//
// FILES holds the SHA-256 of each file, and a file is stored under it. A new export therefore makes a new worker, which
// fetches only what changed, and takes over when the page says so. A file that is not what FILES says is not kept, so
// half an update is none.

const FILES = {} /* filled in */;
const CACHE = `kexp ${self.registration.scope}`;
const WASM = /^litert\/litert_wasm.*_internal\.(js|wasm)$/; // of two variants a browser uses one: the page says which

const key = (url) => new URL(`${url}?sha256=${FILES[url]}`, self.registration.scope).href;

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

async function install() {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.keys(FILES).filter((url) => !WASM.test(url)).map((url) => keep(cache, url)));
}

async function activate() {
  const cache = await caches.open(CACHE);
  const wanted = new Set(Object.keys(FILES).map(key));
  for (const request of await cache.keys()) {
    if (!wanted.has(request.url)) await cache.delete(request);
  }
  await self.clients.claim();
}

async function answer(request, url) {
  const cache = await caches.open(CACHE);
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
  const kept = caches.open(CACHE).then((cache) =>
    Promise.all(urls.filter((url) => url in FILES).map((url) => keep(cache, url))),
  );
  event.waitUntil(
    kept.then(
      () => event.ports[0].postMessage({ kept: true }),
      (error) => event.ports[0].postMessage({ kept: false, why: String(error) }),
    ),
  );
});
