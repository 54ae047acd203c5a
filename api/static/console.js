// What the console does beyond plain pages. Every page works without it.

// Live figures: the server says when they changed, the page then asks for its table again.
const live = document.querySelector("[data-live]");
if (live && window.EventSource) {
  const state = document.querySelector("[data-live-state]");
  const say = (text) => { if (state) state.textContent = text; };
  const source = new EventSource(live.dataset.live);
  source.addEventListener("change", async () => {
    const answer = await fetch(live.dataset.table, { headers: { "x-part": "table" } });
    if (!answer.ok || answer.redirected) return;
    const open = new Set([...live.querySelectorAll("details[open]")].map((part) => part.id));
    live.innerHTML = await answer.text();
    for (const part of live.querySelectorAll("details")) part.open = open.has(part.id);
    say("Số liệu tự cập nhật.");
  });
  source.addEventListener("open", () => say("Số liệu tự cập nhật."));
  source.addEventListener("error", () => say("Mất kết nối, số liệu đang dừng. Đang nối lại, hoặc tải lại trang."));
}

// How many characters are written.
for (const box of document.querySelectorAll("[data-count]")) {
  const shown = document.getElementById(box.dataset.count);
  const count = () => { shown.textContent = `${[...box.value].length.toLocaleString("vi-VN")} chữ cái ·`; };
  box.addEventListener("input", count);
  count();
}

// Ticking a village means "choose villages".
for (const tick of document.querySelectorAll("[data-some]")) {
  tick.addEventListener("change", () => { document.getElementById(tick.dataset.some).checked = true; });
}

// What a linked phone's page kept on this machine for times without a line goes with the sign-out.
navigator.serviceWorker?.getRegistration("/truong").then((keeper) => {
  const out = document.querySelector('form[action="/console/logout"]');
  out?.addEventListener("submit", () => keeper?.active?.postMessage("forget"));
});

// A second press while the first is on its way sends nothing.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form")) delete form.dataset.sent;
});
