// The playbook editor beyond plain HTML: saves the draft while one types, changes the form without loading the page, and
// keeps the preview in step. The server writes every part of the form; what the author has typed is never written over.
import { PlaybookPreview } from "./playbook-preview.js";

const SAVE_DELAY_MS = 500;
const editor = document.querySelector(".playbook-editor");
const findForm = () => document.getElementById("playbook");

let timer = 0, isDirty = false, isConflict = false;
let queue = Promise.resolve();

// Requests go one after the other: each names the draft that the one before has saved.
const inOrder = (call) => (queue = queue.then(call, call));

async function post(operation) {
  clearTimeout(timer);
  isDirty = false;
  const form = findForm(), body = new URLSearchParams(new FormData(form));
  body.set("do", operation);
  const response = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
  if (response.headers.has("HX-Redirect")) location.assign(response.headers.get("HX-Redirect"));
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { response, next: page.getElementById("playbook") };
}

function fail(text) {
  isDirty = true;
  document.documentElement.setAttribute("data-stale", "");
  document.getElementById("saved").textContent = text;
}

// A part that a menu of has been opened in is left alone.
function refreshLive(next) {
  for (const part of next.querySelectorAll("[data-live]")) {
    const current = document.getElementById(part.id);
    if (current && current.innerHTML !== part.innerHTML && !current.querySelector("details[open]")) {
      current.replaceChildren(...part.childNodes);
    }
  }
}

function adopt(next, isSaved) {
  const form = findForm();
  form.action = next.getAttribute("action");
  Object.assign(form.dataset, next.dataset);
  if (isSaved) for (const name of ["version", "draft"]) form.elements[name].value = next.elements[name].value;
  if (form.dataset.editPath && !location.pathname.endsWith("/edit")) history.replaceState(null, "", form.dataset.editPath);
}

const save = () => inOrder(async () => {
  if (!isDirty || isConflict) return;
  try {
    const { response, next } = await post("save");
    if (!next) return fail("Not saved. Try again.");
    document.documentElement.removeAttribute("data-stale");
    isConflict = response.status === 409;
    adopt(next, response.ok);
    refreshLive(next);
    if (response.ok) preview?.changed();
  } catch {
    fail("Not saved: no connection");
    timer = setTimeout(save, 5000);
  }
});

function schedule() {
  isDirty = true;
  clearTimeout(timer);
  timer = setTimeout(save, SAVE_DELAY_MS);
}

// A button that changes the form: the server answers with the whole form.
const change = (operation) => inOrder(async () => {
  const form = findForm();
  form.inert = true;
  try {
    const { response, next } = await post(operation);
    if (!next) return fail("Not saved. Try again.");
    isConflict = response.status === 409;
    if (!operation.startsWith("add_action")) keepOpen(form, next);
    form.replaceWith(next);
    adopt(next, false);
    prepare();
    focusAfter(operation);
    if (response.ok) preview?.changed();
  } catch {
    fail("Not saved: no connection");
  } finally {
    form.inert = false;
  }
});

// The action that was open stays open.
function keepOpen(form, next) {
  const open = form.querySelector(".step[open]")?.dataset.step;
  for (const step of next.querySelectorAll(".step")) step.open = step.dataset.step === open;
}

function focusAfter(operation) {
  const [verb, name] = operation.split(":");
  const form = findForm();
  const step = verb === "add_action" ? form.querySelector(".step[open]") : form.querySelector(`.step[data-step="${CSS.escape(name || "")}"]`);
  if (verb === "add_condition") form.querySelector(`#label-${name} ~ .value :is(input, select)`)?.focus();
  else if (verb === "add_action") (step?.querySelector(".step-form :is(input:not([type=hidden]), select, textarea)") ?? step?.querySelector("summary"))?.focus();
  else if (step) step.querySelector("summary").focus();
  else form.querySelector(verb === "remove_condition" ? ".add-conditions button" : ".add-action summary")?.focus();
  step?.scrollIntoView({ block: "nearest" });
}

function countCharacters(field) {
  const place = findForm().querySelector(`[data-length-of="${CSS.escape(field.id)}"]`);
  const count = [...field.value].length;
  if (place) place.textContent = `${count} ${count === 1 ? "character" : "characters"}`;
}

// What needs a script, in a form that the server has just written.
function prepare() {
  for (const slider of findForm().querySelectorAll("[data-mirrors]")) slider.hidden = false;
  for (const field of findForm().querySelectorAll("textarea")) countCharacters(field);
  for (const button of findForm().querySelectorAll("[data-pick]")) button.hidden = !preview;
  preview?.drawForm();
  preview?.select();
}

function mirror(field) {
  const { elements } = findForm();
  if (field.dataset.mirrors) elements[field.dataset.mirrors].value = field.value;
  const slider = field.name && findForm().querySelector(`[data-mirrors="${field.name}"]`);
  if (slider) slider.value = field.value;
  if (field.matches("textarea")) countCharacters(field);
  if (field.matches("[data-selector]")) preview?.select();
}

editor.addEventListener("input", (event) => {
  if (event.target.form !== findForm() || event.target.name === "note") return;
  mirror(event.target);
  if (!event.target.matches("select, [type=checkbox]")) schedule();
});
editor.addEventListener("change", (event) => {
  if (event.target.form !== findForm() || !event.target.matches("select, [type=checkbox]")) return;
  isDirty = true;
  if (event.target.matches("[data-reshapes]")) change("save");
  else schedule();
});

editor.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.target !== findForm()) return;
  if (button?.matches("[data-navigates]")) {
    if (button.dataset.ready) return;
    // The draft comes first: the form would be older than one that is being saved, and not every button saves.
    event.preventDefault();
    clearTimeout(timer);
    // In a task of its own: a form does not submit while its event is still handled.
    save().then(() => setTimeout(() => {
      isDirty = false;
      button.dataset.ready = "1";
      findForm().requestSubmit(button);
    }));
    return;
  }
  event.preventDefault();
  if (!button?.value || button.value === "save") {
    isDirty = true;
    save();
  } else change(button.value);
});

editor.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-saves]");
  if (!link || !isDirty || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  await save();
  location.assign(findForm().dataset.editPath ? `${findForm().dataset.editPath}?view=yaml` : link.href);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
  const step = event.target.closest?.(".step");
  if (event.altKey && step && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    change(`${event.key === "ArrowUp" ? "up" : "down"}:${step.dataset.step}`);
  } else if (event.key.toLowerCase() === "a" && !event.altKey && !event.shiftKey && !event.target.closest?.("input, select, textarea")) {
    event.preventDefault();
    const menu = findForm().querySelector(".add-action");
    menu.open = true;
    menu.querySelector(".panel button").focus();
  }
});
document.addEventListener("visibilitychange", () => document.hidden && save());
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-ready]")) delete button.dataset.ready;
});

const panel = document.getElementById("preview");
const preview = panel.querySelector("#preview-url") && new PlaybookPreview(panel, {
  findForm,
  // A new playbook has no draft on the server before it is saved.
  async save() {
    if (!findForm().dataset.previewPath) isDirty = true;
    await save();
    return findForm().dataset.previewPath;
  },
  write(field, value) {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  },
});
prepare();
