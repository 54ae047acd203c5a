"use strict";
// A cheap phone kills this page while its owner is in another app. Without a line it then opens as it was last seen:
// the page, its pictures and recordings, its own style and script. Nothing else is kept, no form is kept, and all of it
// is forgotten when the phone is signed in or out, the console on it is signed out of, or the page turns out to be
// somebody else's, or one of the console's sign-ins, of which nothing is kept.

const CACHE = "truong-1";
const PATIENCE = 6000; // milliseconds for a weak line before the last page is shown
const PAGE = /^\/truong(\/diem-danh\/.*)?$/;
const FILE = /^\/truong\/\d+\/(anh\.png|tep\/\d+)$/;
const DOOR = /^\/truong\/(vao|ra)$/;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("message", (event) => event.waitUntil(event.data === "forget" ? forget() : clients.claim()));

addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname, search } = new URL(request.url);
  if (origin !== location.origin) return;
  if (request.method === "POST" && DOOR.test(pathname)) event.respondWith(forgetting(request));
  if (request.method !== "GET") return;
  if (FILE.test(pathname) && !request.headers.has("range")) event.respondWith(once(request));
  else if (pathname.startsWith("/static/") && search) event.respondWith(once(request));
  else if (PAGE.test(pathname)) opened(event, request, pathname);
});

let forgotten = 0; // what was asked for before is not kept after

function forget() {
  forgotten++;
  return caches.delete(CACHE);
}

async function forgetting(request) {
  const answer = await fetch(request);
  await forget();
  return answer;
}

// What lies at such an address never changes.
async function once(request) {
  const kept = await caches.match(request);
  if (kept) return kept;
  const before = forgotten;
  const answer = await fetch(request);
  const mayKeep = !(answer.headers.get("cache-control") || "").includes("no-store");
  if (answer.status === 200 && !answer.redirected && mayKeep && before === forgotten) {
    const cache = await caches.open(CACHE);
    await cache.delete(request, { ignoreSearch: true }); // the same file, before it was changed
    await cache.put(request, answer.clone());
  }
  return answer;
}

function opened(event, request, path) {
  const before = forgotten;
  const asked = fetch(request).then(async (answer) => {
    if (before === forgotten) await remember(path, answer.clone());
    return answer;
  });
  if (request.mode !== "navigate") return event.respondWith(asked); // the page knows what it shows already
  event.waitUntil(asked.catch(() => {}));
  event.respondWith(newest(asked, path));
}

async function newest(asked, path) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  const answer = await Promise.race([asked.catch(() => null), late]);
  if (answer && answer.status < 500) return answer;
  const kept = await caches.open(CACHE).then((cache) => cache.match(path));
  return kept || answer || asked;
}

async function remember(path, answer) {
  // Only our own server says when a page was true; what a network puts in its place says nothing about us.
  if (answer.status !== 200 || answer.redirected || !answer.headers.has("x-loa-at")) return;
  const who = answer.headers.get("x-loa-who");
  if (!who) return void (await forget()); // the door, or somebody at the console: no phone is linked any more
  const before = await caches.open(CACHE).then((cache) => cache.match("/truong"));
  if (before && before.headers.get("x-loa-who") !== who) await forget();
  const cache = await caches.open(CACHE);
  const html = await answer.clone().text();
  await cache.put(path, answer);
  if (path !== "/truong") return;
  for (const request of await cache.keys()) {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/truong/") && !html.includes(pathname)) await cache.delete(request);
  }
}
