// What the pages do beyond HTML and htmx: "/" finds, a filter applies when it is chosen, and a page that could not
// refresh says so. Nothing here is needed to use a page.
"use strict";

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.querySelector("input[type=search]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("form.filters select")) event.target.form.requestSubmit();
});

// An empty field is no filter: it stays out of the address.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.filters")) return;
  for (const field of event.target.querySelectorAll("input, select")) {
    if (!field.value) field.disabled = true;
  }
});
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form.filters :disabled")) field.disabled = false;
});

// An open menu closes by Escape and by a press beside it.
const closeMenus = (besides) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== besides) menu.open = false;
};
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A file that is too large is refused before it is sent.
document.addEventListener("change", (event) => {
  const field = event.target;
  if (!field.matches("input[type=file][data-most-bytes]")) return;
  const tooLarge = [...field.files].some((file) => file.size > Number(field.dataset.mostBytes));
  field.setCustomValidity(tooLarge ? field.dataset.tooLarge : "");
  field.reportValidity();
});

const stale = () => document.documentElement.setAttribute("data-stale", "");
document.addEventListener("htmx:error", stale);
document.addEventListener("htmx:response:error", stale);
document.addEventListener("htmx:after:swap", () => document.documentElement.removeAttribute("data-stale"));
