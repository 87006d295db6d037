// The description of an automation: Ctrl or Cmd and Enter submits it, and the seconds that the model takes are counted.
"use strict";

(() => {
  const form = document.querySelector("[data-describe]");
  const button = form.querySelector("button"), progress = form.querySelector("[data-progress]");
  let timer;

  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    form.requestSubmit();
  });

  form.addEventListener("submit", (event) => {
    if (button.disabled) return event.preventDefault();
    const start = performance.now();
    const show = () => { progress.textContent = `Drafting… ${Math.round((performance.now() - start) / 1000)} s, at most one minute`; };
    button.disabled = true;
    progress.hidden = false;
    show();
    timer = window.setInterval(show, 1000);
  });

  // A page that comes back from the browser's cache is ready again.
  window.addEventListener("pageshow", () => {
    window.clearInterval(timer);
    button.disabled = false;
    progress.hidden = true;
  });
})();
