// Buttons that copy the text of an element: shown only where scripts may write to the clipboard.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard;
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied: select the text instead";
  }
  setTimeout(() => { button.textContent = label; }, 2000);
});
