"use strict";
// A room of the web chat. The page works without this file; with it, messages come live, and what is typed without a
// line waits here and is sent once, under the id that it got when it was typed.

const main = document.querySelector("main");
const log = document.getElementById("log");
const compose = document.getElementById("compose");
const area = document.getElementById("text");
const lost = document.getElementById("line");
const base = main.dataset.base;
const room = new URL(base, location).pathname;
const STORE = "loa-chat:" + room;
const LARGEST = 10 << 20;
let since = main.dataset.since;
let known = Boolean(main.dataset.known);
let member = Boolean(main.dataset.member);
let source = null;
let missed = false;
let queue = [];
let busy = false;
let timer = 0;

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
const atEnd = () => innerHeight + scrollY > document.documentElement.scrollHeight - 160;
function toEnd() {
  scrollTo(0, document.documentElement.scrollHeight);
  const last = log.lastElementChild;
  // What is longer than the screen is read from its beginning.
  if (last && last.offsetHeight > innerHeight - 260) last.scrollIntoView();
}

// The secret of a card stays out of sight, as on the page that the server makes.
const inSight = (text) => (/^\/start\s+h_/.test(text) ? "Quét thẻ hộ" : text.replace(/^\/start\s[^]*/, "/start"));

const element = (tag, name, text) => Object.assign(document.createElement(tag), { className: name, textContent: text || "" });

// ---- messages on the page

function put({ id, html, gone }) {
  const old = document.getElementById("m" + id);
  if (gone) return old && old.remove();
  const holder = document.createElement("template");
  holder.innerHTML = html; // made and escaped by our own server
  const node = holder.content.firstElementChild;
  if (node.dataset.about) {
    const about = document.getElementById("m" + node.dataset.about);
    if (about) about.querySelector(".notes").replaceChildren(node);
    return;
  }
  const typed = node.dataset.client && document.getElementById("w" + node.dataset.client);
  if (typed) typed.remove();
  if (old) {
    node.querySelector(".notes").replaceChildren(...old.querySelector(".notes").childNodes);
    return old.replaceWith(node);
  }
  const after = [...log.children].find((other) => !other.dataset.id || Number(other.dataset.id) > id);
  log.insertBefore(node, after || null);
  const empty = document.getElementById("empty");
  if (empty) empty.remove();
}

function show(messages) {
  const follow = atEnd();
  messages.forEach(put);
  if (follow) toEnd();
}

// ---- what this page hears

// Without a stream of its own the page cannot know more than the browser does.
function tellLine() {
  lost.hidden = navigator.onLine && (!source || source.readyState === EventSource.OPEN);
}

function listen() {
  if (source) source.close();
  missed = false;
  source = new EventSource(base + "/events?since=" + since);
  source.onopen = () => { tellLine(); flush(); };
  source.onmessage = (event) => {
    // This stream began before the server knew who listens, and would tell our own first words as a stranger's, beside
    // those that still wait for their answer. The stream that follows the answer tells all of this again.
    if (busy && !known) missed = true;
    else { since = event.lastEventId; show(JSON.parse(event.data).messages); }
  };
  source.addEventListener("private", (event) => {
    const badge = document.getElementById("unread");
    badge.textContent = event.data;
    badge.hidden = event.data === "0";
  });
  source.addEventListener("members", (event) => { document.getElementById("members").textContent = event.data; });
  source.onerror = () => {
    tellLine();
    if (source.readyState === EventSource.CLOSED) setTimeout(listenAgain, 8000);
  };
}

function listenAgain() {
  if (source && source.readyState === EventSource.CLOSED) listen();
}

// ---- what this page says: one thing after the other, each until it is answered

function save() {
  const kept = queue.filter((item) => item.path === "/messages" && !item.fields.file);
  try {
    if (kept.length) localStorage.setItem(STORE, JSON.stringify(kept));
    else localStorage.removeItem(STORE);
  } catch { /* a browser that keeps nothing still sends */ }
}

function wait(item) {
  if (document.getElementById("w" + item.id)) return;
  if (item.path === "/press") {
    // Beside an earlier answer; the answer to this press takes the place of both.
    const notes = document.querySelector("#m" + item.fields.message_id + " .notes");
    if (notes) notes.append(Object.assign(element("p", "note", "đang gửi…"), { id: "w" + item.id }));
    return;
  }
  const node = element("li", "m mine wait");
  node.id = "w" + item.id;
  node.append(element("div", "body", inSight(item.fields.text) || "📎 " + item.fields.file.name), element("p", "state", "đang gửi…"));
  log.append(node);
  toEnd();
}

function say(item, words) {
  const place = document.querySelector("#w" + item.id + (item.path === "/press" ? "" : " .state"));
  if (place) place.textContent = words;
}

function push(path, fields) {
  const item = { id: newId(), path, fields };
  queue.push(item);
  save();
  wait(item);
  flush();
}

function later(seconds) {
  clearTimeout(timer);
  timer = setTimeout(flush, seconds * 1000);
}

// An answer that got lost on the way must not hold up what is said next.
function patience(item) {
  return AbortSignal.timeout ? { signal: AbortSignal.timeout(item.fields.file ? 180000 : 10000) } : {};
}

async function flush() {
  if (busy || !queue.length) return;
  busy = true;
  const item = queue[0];
  const form = new FormData();
  form.append("id", item.id);
  for (const [name, value] of Object.entries(item.fields)) form.append(name, value);
  let answer = null;
  let told = {};
  try {
    answer = await fetch(base + item.path, {
      method: "POST",
      body: form,
      headers: { accept: "application/json", "x-loa-token": main.dataset.token },
      ...patience(item),
    });
    told = await answer.json();
  } catch { /* no line, no answer in time, or somebody else answered: it stays in the queue, and its id keeps it one */ }
  busy = false;
  if (missed && !(answer && answer.ok)) listen();
  if (!answer || answer.status >= 500) {
    say(item, "chưa gửi được, sẽ tự gửi khi có mạng…");
    return later(5);
  }
  if (answer.status === 429) {
    say(item, told.error || "đang chờ để gửi tiếp…");
    return later(Number(answer.headers.get("retry-after")) || 5);
  }
  // The cookie behind this page is gone: a new page has a new one, and finds the queue.
  if (answer.status === 403 && !item.fields.file && reloadOnce()) return;
  queue.shift();
  if (answer.ok) done(item, told);
  else refuse(item, told.error || "Không gửi được. Hãy tải lại trang rồi gửi lại.");
  save();
  flush();
}

function reloadOnce() {
  try {
    if (!localStorage.getItem(STORE) || sessionStorage.getItem(STORE)) return false;
    sessionStorage.setItem(STORE, "reloaded");
  } catch {
    return false;
  }
  location.reload();
  return true;
}

function done(item, told) {
  try { sessionStorage.removeItem(STORE); } catch { /* then it was never set */ }
  if (told.message) show([told.message]);
  if (item.path === "/press") {
    say(item, "đã gửi, đang chờ trả lời…");
    // Some presses have no answer of their own.
    const waiting = document.getElementById("w" + item.id);
    if (waiting) setTimeout(() => waiting.remove(), 8000);
  }
  member = true;
  document.querySelectorAll("form.join").forEach((form) => form.remove());
  if (item.path === "/messages" && item.fields.text.startsWith("/start")) startUsed();
  tellLine();
  if (!known || !source || source.readyState === EventSource.CLOSED) {
    known = true;
    listen();
  }
}

function startUsed() {
  document.querySelectorAll("form.start").forEach((form) => form.remove());
  const asked = new URLSearchParams(location.search);
  if (asked.has("start") || asked.has("startgroup")) history.replaceState(null, "", location.pathname);
}

function refuse(item, words) {
  if (item.path === "/messages" && item.fields.text && inSight(item.fields.text) === item.fields.text && !area.value) area.value = item.fields.text;
  const waiting = document.getElementById("w" + item.id);
  if (waiting && item.path === "/press") return say(item, words);
  if (waiting) waiting.remove();
  trouble(words);
}

function trouble(words) {
  const bar = element("p", "bar error", words);
  bar.setAttribute("role", "alert");
  log.after(bar);
  toEnd();
  setTimeout(() => bar.remove(), 15000);
}

// A photo of a phone is several megabytes: made smaller here, which also takes away where it was taken.
async function smaller(file) {
  if (!/^image\/(jpeg|png|webp)$/.test(file.type) || file.size < 300000) return file;
  try {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, 1600 / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = picture.width * scale;
    canvas.height = picture.height * scale;
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const made = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.82));
    return made && made.size < file.size ? new File([made], file.name.replace(/\.\w+$/, "") + ".jpg", { type: made.type }) : file;
  } catch {
    return file;
  }
}

async function send() {
  const chosen = [...compose.elements].find((input) => input.type === "file" && input.files.length);
  const text = area.value.trim();
  if (!text && !chosen) return area.focus();
  const fields = { text, reply_to: compose.elements.reply_to.value };
  const file = chosen && chosen.files[0];
  compose.reset();
  area.value = "";
  answerTo("", "");
  document.getElementById("attach").open = false;
  if (file) fields.file = await smaller(file);
  if (file && fields.file.size > LARGEST) return refuse({ path: "/messages", fields }, "Tệp quá lớn. Mỗi tệp gửi lên tối đa 10 MB.");
  push("/messages", fields);
}

function answerTo(id, words) {
  compose.elements.reply_to.value = id;
  const bar = document.getElementById("answered");
  bar.hidden = !id;
  bar.firstElementChild.textContent = words;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const button = event.submitter;
  if (form === compose) send();
  else if (form.classList.contains("say")) push("/messages", { text: button.value });
  else if (form.classList.contains("press")) push("/press", { message_id: form.elements.message_id.value, token: button.value });
  else return;
  event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a.reply, #answered a, #older");
  if (!link) return;
  event.preventDefault();
  if (link.id === "older") return older(link);
  const message = link.closest(".m");
  if (!message) return answerTo("", "");
  const body = message.querySelector(".body");
  answerTo(message.dataset.id, "Trả lời " + message.querySelector(".who b").textContent + ": " + (body ? body.textContent.slice(0, 80) : ""));
  area.focus();
});

async function older(link) {
  const first = log.querySelector("[data-id]");
  try {
    const answer = await fetch(base + "/history?before=" + first.dataset.id, { headers: { accept: "application/json" } });
    const told = await answer.json();
    const height = document.documentElement.scrollHeight;
    told.messages.forEach(put);
    scrollBy(0, document.documentElement.scrollHeight - height);
    if (!told.more) link.parentElement.remove();
  } catch {
    trouble("Chưa tải được tin cũ. Hãy thử lại khi có mạng.");
  }
}

area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && matchMedia("(pointer: fine)").matches) {
    event.preventDefault();
    send();
  }
});

// ---- a voice recording, where the browser can

const record = document.getElementById("record");
if (window.MediaRecorder && navigator.mediaDevices) {
  let recorder = null;
  record.hidden = false;
  record.addEventListener("click", async () => {
    if (recorder) return recorder.stop();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const type = ["audio/mp4", "audio/ogg", "audio/webm"].find((kind) => MediaRecorder.isTypeSupported(kind));
      const pieces = [];
      recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
      recorder.ondataavailable = (event) => pieces.push(event.data);
      recorder.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        const kind = recorder.mimeType.split(";")[0];
        recorder = null;
        record.textContent = "🎤 Ghi âm";
        push("/messages", { text: "", file: new File(pieces, "ghi-am." + kind.split("/")[1], { type: kind }) });
      };
      recorder.start();
      record.textContent = "⏹ Dừng và gửi";
    } catch {
      record.textContent = "Chưa được phép dùng micro";
    }
  });
}

// ---- what was really on the screen for two seconds

let candidate = 0;
let told = 0;
setInterval(async () => {
  if (!member || document.visibilityState !== "visible") return;
  const bottom = innerHeight - document.querySelector("footer").offsetHeight;
  let last = 0;
  for (const node of log.querySelectorAll("[data-id]")) {
    if (node.getBoundingClientRect().top < bottom - 40) last = Math.max(last, Number(node.dataset.id));
  }
  const steady = Math.min(last, candidate);
  candidate = last;
  if (steady <= told) return;
  const form = new FormData();
  form.append("up_to", steady);
  try {
    const answer = await fetch(base + "/read", {
      method: "POST",
      body: form,
      headers: { accept: "application/json", "x-loa-token": main.dataset.token },
    });
    if (answer.ok) told = steady;
  } catch { /* the next look tells it */ }
}, 2000);

// ---- begin

try {
  queue = JSON.parse(localStorage.getItem(STORE) || "[]");
} catch {
  queue = [];
}
queue.forEach(wait);
addEventListener("online", () => { tellLine(); later(0); listenAgain(); });
addEventListener("offline", tellLine);
tellLine();
if (main.dataset.live) listen();
if (!location.hash && !new URLSearchParams(location.search).has("before")) toEnd();
flush();
