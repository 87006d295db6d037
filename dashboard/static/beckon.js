// Optional behaviour of all pages beyond HTML and htmx: filters apply on change, and a page that could not refresh says
// so. The keyboard is in shortcuts.js.
"use strict";

document.addEventListener("change", (event) => {
  if (event.target.matches("form.filters select")) event.target.form.requestSubmit();
});

// Empty fields are left out of the URL, also of a list that is filtered while one types.
document.addEventListener("htmx:config:request", (event) => {
  const { request, sourceElement } = event.detail.ctx;
  if (!sourceElement?.matches?.("form.filters input")) return;
  for (const [name, value] of [...request.body]) if (!value) request.body.delete(name);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.filters")) return;
  for (const field of event.target.querySelectorAll("input, select")) {
    if (!field.value) field.disabled = true;
  }
});
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form.filters :disabled")) field.disabled = false;
});

// An update of a list that was searched anew meanwhile is dropped: it has what the earlier search asked for.
document.addEventListener("htmx:before:response", (event) => {
  const { request, sourceElement } = event.detail.ctx;
  const path = sourceElement?.getAttribute?.("hx-trigger")?.startsWith("every") && sourceElement.getAttribute("hx-get");
  const readQuery = (url) => new URL(url, document.baseURI).searchParams.toString();
  if (path && readQuery(request.action) !== readQuery(path)) event.preventDefault();
});

// Escape or a click outside closes an open menu.
const closeMenus = (except) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
};
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A file that is too large is rejected before the upload.
document.addEventListener("change", (event) => {
  const field = event.target;
  if (!field.matches("input[type=file][data-max-bytes]")) return;
  const tooLarge = [...field.files].some((file) => file.size > Number(field.dataset.maxBytes));
  field.setCustomValidity(tooLarge ? field.dataset.tooLarge : "");
  field.reportValidity();
});

const markStale = () => document.documentElement.setAttribute("data-stale", "");
document.addEventListener("htmx:error", markStale);
document.addEventListener("htmx:response:error", markStale);
document.addEventListener("htmx:after:swap", () => document.documentElement.removeAttribute("data-stale"));
