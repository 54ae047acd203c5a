"use strict";
// The page of whoever carries notices. It works without this file; with it, texts and pictures are at hand without a
// line, and what is pressed meanwhile is written down here and told once the line is back.

const root = document.getElementById("truong");
const list = document.getElementById("list");
const STORE = "loa-truong:" + root.dataset.who;
const WAITS = "Đã ghi trên máy, chờ có mạng để báo xã";
const GOES = "Đã ghi trên máy, đang báo về xã…";
const EVERY = 60000;
let csrf = root.dataset.csrf;
let unkept = []; // where a browser keeps nothing
let said = {}; // what the server answered, until the list says it itself
let busy = false;
let timer = 0;
let hasLine = true;

// ---- what is written down on this phone

function noted() {
  try {
    return JSON.parse(localStorage.getItem(STORE) || "[]");
  } catch {
    return unkept;
  }
}

function note(items) {
  unkept = items;
  try {
    if (items.length) localStorage.setItem(STORE, JSON.stringify(items));
    else localStorage.removeItem(STORE);
  } catch { /* then it lasts as long as the page is open */ }
}

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

// `back`: this undoes what was pressed before. As long as that has not been on its way, both are simply forgotten.
function press(about, kind, path, fields, back) {
  let items = noted();
  const before = items.find((item) => item.about === about && !item.tries);
  items = items.filter((item) => item !== before);
  if (!before || !back) items.push({ id: newId(), about, kind, path, fields, at: Date.now(), tries: 0 });
  delete said[about];
  note(items);
  paint();
  flush();
}

// ---- telling it

async function flush() {
  if (busy || !navigator.onLine || !noted().length) return;
  busy = true;
  try {
    // Two open pages share what is noted: one of them tells it.
    // An answered press stays in its place on the screen; a refused one, or one taken back, needs the list anew.
    if (await (navigator.locks ? navigator.locks.request(STORE, tellAll) : tellAll())) refresh(root.dataset.mark !== "");
  } finally {
    busy = false;
    paint();
  }
}

// True when all is told.
async function tellAll() {
  for (let renewed = false; ;) {
    const items = noted();
    if (!items.length) return true;
    const [first] = items;
    let batch = [first];
    if (first.kind === "tick") {
      const other = items.findIndex((item) => item.kind !== "tick" || item.path !== first.path);
      batch = items.slice(0, other < 0 ? items.length : other);
      // Taken back in the same breath: what was meant last is told alone, after what came before it.
      const twice = batch.findIndex((item, i) => batch.slice(0, i).some((old) => old.about === item.about));
      if (twice > 0) batch = batch.slice(0, twice);
    }
    batch.forEach((item) => item.tries++);
    note(items);
    paint();
    const { answer, told } = await post(batch);
    if (!answer || answer.status >= 500 || answer.status === 429 || (answer.ok && !told.words)) {
      later(answer && Number(answer.headers.get("retry-after")));
      line(Boolean(answer && answer.status < 500));
      return false;
    }
    line(true);
    if (answer.status === 401) return shut();
    if (told.stale && !renewed && (await refresh(true))) {
      renewed = true;
      continue;
    }
    const ids = batch.map((item) => item.id);
    note(noted().filter((item) => !ids.includes(item.id)));
    for (const item of batch) said[item.about] = { kind: answer.ok ? item.kind : "", words: told.words || "", on: item.on };
    tell(told.words || told.error || "Chưa ghi được. Hãy tải lại trang.", !answer.ok);
    if (!answer.ok || first.kind === "undo") root.dataset.mark = "";
    paint();
  }
}

async function post(batch) {
  const body = new URLSearchParams({ csrf, id: batch[0].id, ago: Math.max(0, Date.now() - batch[0].at) });
  for (const item of batch) for (const [name, value] of item.fields) body.append(name, value);
  try {
    const answer = await fetch(batch[0].path, { method: "POST", body, headers: { accept: "application/json" }, ...patience() });
    return { answer, told: await answer.json().catch(() => ({})) };
  } catch {
    return { answer: null, told: {} }; // no line, or no answer in time: it stays noted, and telling it twice is once
  }
}

const patience = () => (AbortSignal.timeout ? { signal: AbortSignal.timeout(15000) } : {});

function later(seconds) {
  clearTimeout(timer);
  timer = setTimeout(() => (noted().length ? flush() : refresh()), (seconds || 5) * 1000);
}

// ---- saying how things stand

function say(node, words, look) {
  if (!node) return;
  node.className = "state " + (look || "");
  node.textContent = words;
  node.hidden = !words;
}

function tell(words, isBad) {
  const bar = document.getElementById("told");
  bar.className = "note " + (isBad ? "bad" : "ok");
  bar.textContent = words;
  bar.hidden = false;
}

function paint() {
  const items = noted();
  for (const button of list.querySelectorAll("[data-copy]")) button.hidden = false;
  for (const button of list.querySelectorAll("[data-share]")) button.hidden = !navigator.share;
  for (const place of list.querySelectorAll("[data-about]")) {
    const { about } = place.dataset;
    const last = items.filter((item) => item.about === about).pop();
    const answer = said[about];
    say(place.querySelector(".state"), last ? (last.tries && hasLine && busy ? GOES : WAITS) : answer ? answer.words : "", last ? "" : "ok");
    const [done, undo] = ["done", "undo"].map((kind) => place.querySelector(`form[data-kind=${kind}]`));
    const now = last ? last.kind : (answer && answer.kind) || (place.dataset.state === "done" ? "done" : "undo");
    if (done) done.hidden = now === "done";
    if (undo) undo.hidden = now !== "done";
    const box = place.querySelector("input[type=checkbox]");
    if (box) box.checked = last ? last.on : answer && answer.kind ? answer.on : box.defaultChecked;
    if (place.dataset.kind === "count" && last && document.activeElement !== place.elements.count) place.elements.count.value = last.fields[0][1];
  }
  line(hasLine);
}

function line(isThere) {
  hasLine = isThere && navigator.onLine;
  const fresh = document.getElementById("fresh");
  const waits = noted().length;
  const words = "Cập nhật lúc " + fresh.dataset.at + ".";
  fresh.className = hasLine ? "soft" : "off";
  fresh.textContent = (hasLine ? words : "Chưa có mạng. Bấm nút vẫn được ghi trên máy. " + words) + (waits && !hasLine ? ` Còn ${waits} việc chờ báo xã.` : "");
}

function shut() {
  tell("Máy này đã đăng xuất. ", true);
  const link = Object.assign(document.createElement("a"), { href: "/truong", textContent: "Đăng nhập lại", className: "tap" });
  document.getElementById("told").append(link);
  return false;
}

// ---- keeping fresh

// `quietly`: the copy for times without a line is renewed, what is on the screen stays where it is.
async function refresh(quietly) {
  let made, answer;
  try {
    answer = await fetch(location.pathname, { headers: quietly ? {} : { "x-loa-mark": root.dataset.mark }, ...patience() });
    if (!answer.headers.has("x-loa-at")) throw new Error("not ours");
    if (answer.status !== 204) made = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("truong");
  } catch {
    line(false);
    if (document.visibilityState === "visible") later(10);
    return false;
  }
  if (answer.status === 200 && !made) return shut();
  if (answer.status > 204) return false;
  if (made && made.dataset.who !== root.dataset.who) return location.reload();
  document.getElementById("fresh").dataset.at = answer.headers.get("x-loa-at");
  if (made) csrf = made.dataset.csrf;
  line(true);
  if (made && !quietly && made.dataset.mark !== root.dataset.mark && !inUse()) {
    list.replaceChildren(...made.querySelector("#list").childNodes);
    root.dataset.mark = made.dataset.mark;
    said = {};
    paint();
  }
  ready();
  return true;
}

// Somebody listens, reads out of a selection, or types.
function inUse() {
  const listens = [...list.querySelectorAll("audio")].some((audio) => !audio.paused);
  return listens || String(getSelection()).length > 0 || document.activeElement.id === "count";
}

// ---- files that are at hand without a line

const files = new Map();
const coming = new Map();

async function fetchFile(address) {
  try {
    const answer = await fetch(address);
    if (answer.ok && !answer.redirected) {
      // In memory: a blob straight from the cache is read from there later, when it may be gone.
      const blob = new Blob([await answer.arrayBuffer()], { type: answer.headers.get("content-type") });
      files.set(address, { blob, href: URL.createObjectURL(blob) });
    }
  } catch { /* the next look tries again */ }
  coming.delete(address);
}

function fileAt(address) {
  if (!coming.has(address)) coming.set(address, fetchFile(address));
  return coming.get(address);
}

async function ready() {
  const links = [...list.querySelectorAll("a[data-file]")];
  links.forEach(atHand);
  for (const link of links) {
    if (!files.has(link.dataset.file)) await fileAt(link.dataset.file); // one after the other: the line is thin
    atHand(link);
  }
}

function atHand(link) {
  link.dataset.file ||= link.getAttribute("href");
  const file = files.get(link.dataset.file);
  if (!file) return;
  link.href = file.href;
  const shown = link.previousElementSibling;
  if (shown.tagName === "AUDIO" ? shown.paused && shown.src !== file.href : shown.complete && !shown.naturalWidth) shown.src = file.href;
}

async function keepCopy() {
  // A copy outlives a console sign-out, so only a linked phone keeps one.
  if (!("phone" in root.dataset) || !("serviceWorker" in navigator) || !window.isSecureContext) return;
  try {
    await navigator.serviceWorker.register("/truong/sw.js", { scope: "/truong" });
    const { active } = await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller) {
      await new Promise((done) => {
        navigator.serviceWorker.addEventListener("controllerchange", done, { once: true });
        active.postMessage("claim"); // it began while this page was on its way
        setTimeout(done, 5000);
      });
    }
    const own = [...document.querySelectorAll("link[rel=stylesheet], script[src]")].map((node) => node.href || node.src);
    for (const address of [location.pathname, ...own]) if (!(await caches.match(address))) await fetch(address);
  } catch { /* then the page needs a line to open */ }
}

// ---- buttons

const textsOf = (kit) => [...kit.querySelectorAll(".carry")].map((node) => node.textContent);

async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* an old browser, or a page without https */ }
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (!isDone && node) getSelection().selectAllChildren(node);
  return isDone;
}

function answered(button, words) {
  button.dataset.label ||= button.textContent;
  button.textContent = words;
  setTimeout(() => { button.textContent = button.dataset.label; }, 5000);
}

async function share(button) {
  const kit = button.closest(".kit");
  const text = textsOf(kit).join("\n\n");
  const picture = kit.querySelector("a[data-file][download$='.png']");
  const file = picture && files.get(picture.dataset.file);
  const data = { text };
  if (file && navigator.canShare) {
    const withFile = { text, files: [new File([file.blob], picture.download, { type: file.blob.type })] };
    if (navigator.canShare(withFile)) data.files = withFile.files;
  }
  // Some apps take the picture and drop the words: then they are there to be pasted.
  copy(text).catch(() => {});
  try {
    await navigator.share(data);
    answered(button, "Chữ cũng đã chép sẵn, dán nếu nhóm chưa thấy chữ");
  } catch (error) {
    if (error.name !== "AbortError") answered(button, "Máy này không chia sẻ được. Hãy dùng Sao chép");
  }
}

list.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy) {
    const node = document.getElementById(button.dataset.copy);
    answered(button, (await copy(node.textContent, node)) ? "Đã chép ✓ Mở Zalo rồi dán" : "Chữ đã chọn sẵn: giữ ngón tay lên rồi bấm Sao chép");
  } else if ("share" in button.dataset) share(button);
});

list.addEventListener("submit", (event) => {
  const form = event.target;
  const { kind } = form.dataset;
  if (!kind) return;
  event.preventDefault();
  const path = new URL(form.action).pathname;
  if (kind === "roll") return flush(); // each box was noted when it was ticked
  if (kind === "count") return press(form.dataset.about, kind, path, [["count", form.elements.count.value.trim()]], false);
  press(form.closest("[data-about]").dataset.about, kind, path, [], true);
});

list.addEventListener("change", (event) => {
  const box = event.target;
  if (box.name !== "told") return;
  const path = new URL(box.form.action).pathname;
  const about = box.closest("[data-about]").dataset.about;
  const on = box.checked;
  const items = noted().map((item) => (item.about === about && !item.tries ? null : item)).filter(Boolean);
  const isKnown = !items.some((item) => item.about === about) && on === (said[about] && said[about].kind ? said[about].on : box.defaultChecked);
  if (!isKnown) items.push({ id: newId(), about, kind: "tick", path, fields: [[on ? "told" : "was", box.value]], on, at: Date.now(), tries: 0 });
  note(items);
  if (!isKnown) delete said[about];
  paint();
  clearTimeout(timer);
  timer = setTimeout(flush, 700); // several boxes go together
});

const out = document.getElementById("out");
if (out) {
  out.addEventListener("submit", (event) => {
    const waits = noted().length;
    if (!navigator.onLine) {
      event.preventDefault();
      tell("Chưa có mạng nên chưa đăng xuất được.", true);
    } else if (waits && !confirm(`Còn ${waits} việc chưa báo được về xã. Đăng xuất thì mất. Vẫn đăng xuất?`)) event.preventDefault();
    else note([]);
  });
}

// ---- begin

addEventListener("online", () => { refresh(); flush(); });
addEventListener("offline", () => line(false));
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") { refresh(); flush(); }
});
setInterval(() => {
  if (document.visibilityState === "visible") { refresh(); flush(); }
}, EVERY);
document.querySelectorAll(".plain").forEach((node) => { node.hidden = true; });
paint();
line(navigator.onLine);
flush();
// Shown from the copy, or very slow to arrive: what it says may be old.
if (Date.now() - Number(root.dataset.now) > 20000) refresh();
keepCopy().then(ready);
