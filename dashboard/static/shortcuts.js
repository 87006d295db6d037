// Keyboard shortcuts of all pages, as the sheet of shortcuts lists them. None fires while a field has the focus or a
// dialog is open.
"use strict";

(() => {
  const sheet = document.getElementById("shortcuts");
  const SEQUENCE_MS = 1500;
  let goUntil = 0, paused = false;

  const isTyping = (target) =>
    target.closest("input:not([type=checkbox], [type=radio], [type=button], [type=submit]), select, textarea, [contenteditable], dialog");

  const focusSearch = () => {
    const box = [...document.querySelectorAll("main input[type=search]")].find((field) => field.checkVisibility());
    if (!box) return document.querySelector("[data-palette]")?.click();
    box.focus();
    box.select();
  };

  // The rows of a list: the first link of each.
  const moveRow = (step) => {
    const rows = [...document.querySelectorAll("main .rows > li, main .cards > *, main [data-row]")].filter((row) => row.checkVisibility());
    const links = rows.map((row) => row.querySelector("a[href]")).filter(Boolean);
    const at = links.findIndex((link) => link.closest("li, .cards > *, [data-row]").contains(document.activeElement));
    const link = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step];
    link?.focus();
    link?.scrollIntoView({ block: "nearest" });
  };

  // A page with a stream of its own has its own button; everywhere else the polling stops.
  const togglePause = () => {
    const button = document.querySelector("main [data-pause]");
    if (button) return button.click();
    paused = !paused;
    document.getElementById("updates-paused").hidden = !paused;
  };
  document.addEventListener("htmx:before:request", (event) => {
    if (paused && event.target.getAttribute?.("hx-trigger")?.startsWith("every")) event.preventDefault();
  });

  const openSheet = () => sheet?.showModal();
  sheet?.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });

  const actions = { "/": focusSearch, "?": openSheet, j: () => moveRow(1), k: () => moveRow(-1), p: togglePause };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const isGo = performance.now() < goUntil;
    goUntil = 0;
    if (isGo) {
      const link = [...(sheet?.querySelectorAll("[data-key]") ?? [])].find((place) => place.dataset.key === event.key);
      if (!link) return;
      event.preventDefault();
      window.location.assign(link.href);
    } else if (event.key === "g") {
      goUntil = performance.now() + SEQUENCE_MS;
    } else if (actions[event.key]) {
      event.preventDefault();
      actions[event.key]();
    }
  });
})();
