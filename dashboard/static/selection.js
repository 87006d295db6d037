// Selection of rows beyond HTML: all rows of the page at once, and how many are selected. Without it the boxes and the
// buttons still work.
"use strict";

const listBoxes = (form) => [...form.querySelectorAll('input[name="ids"]')];

const showSelection = () => {
  for (const form of document.querySelectorAll("form.selection")) {
    const boxes = listBoxes(form);
    const selected = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("[data-select-all]");
    if (all) {
      all.checked = selected > 0 && selected === boxes.length;
      all.indeterminate = selected > 0 && selected < boxes.length;
    }
    const count = form.querySelector("[data-selected]");
    if (count) count.textContent = String(selected);
  }
};

document.documentElement.setAttribute("data-selects", "");
document.addEventListener("change", (event) => {
  const form = event.target.closest("form.selection");
  if (!form) return;
  if (event.target.matches("[data-select-all]")) {
    for (const box of listBoxes(form)) box.checked = event.target.checked;
  }
  showSelection();
});
document.addEventListener("htmx:after:swap", showSelection);
window.addEventListener("pageshow", showSelection);
