// The workflow editor beyond plain HTML: saves the draft while one types, changes the form without loading the page, and
// edits the text with CodeMirror. The server writes every part of the form; what the author has typed is never written
// over.
import { createSourceEditor, createTemplateField } from "./vendor/codemirror-6.43.15.min.js";

const SAVE_DELAY_MS = 400;
const editor = document.querySelector(".workflow-editor");
const findForm = () => document.getElementById("workflow");

let timer = 0, dirty = "", isConflict = false;
let queue = Promise.resolve();
let source = null, sourceHolder = null;

// Requests go one after the other: each names the draft that the one before has saved.
const inOrder = (call) => (queue = queue.then(call, call));

// A person may have two definitions checked at once, in all tabs: a third waits here and asks again.
const BUSY = [429, 503], TRIES = 6;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
async function send(url, options) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(url, { method: "POST", headers: { "HX-Request": "true" }, ...options });
    if (!BUSY.includes(response.status) || attempt === TRIES) return response;
    await pause(300 * attempt);
  }
}

async function post(operation) {
  clearTimeout(timer);
  dirty = "";
  const form = findForm(), body = new URLSearchParams(new FormData(form));
  body.set("do", operation);
  const response = await send(form.action, { body });
  if (response.headers.has("HX-Redirect")) location.assign(response.headers.get("HX-Redirect"));
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { response, next: page.getElementById("workflow") };
}

function fail(operation, text) {
  dirty = operation;
  document.documentElement.setAttribute("data-stale", "");
  document.getElementById("saved").textContent = text;
}

// A part that a menu of has been opened in is left alone; the focus stays on the same step.
function refreshLive(next) {
  for (const part of next.querySelectorAll("[data-live]")) {
    const current = document.getElementById(part.id);
    if (!current || current.innerHTML === part.innerHTML || current.querySelector("details[open]")) continue;
    const focused = current.contains(document.activeElement) && document.activeElement.value;
    current.replaceChildren(...part.childNodes);
    if (focused) current.querySelector(`button[value="${CSS.escape(focused)}"]`)?.focus();
  }
}

function adopt(next, isSaved) {
  const form = findForm();
  form.action = next.getAttribute("action");
  Object.assign(form.dataset, next.dataset);
  if (isSaved) for (const name of ["version", "revision"]) form.elements[name].value = next.elements[name].value;
  if (form.dataset.editPath && !location.pathname.endsWith("/edit")) history.replaceState(null, "", form.dataset.editPath);
}

const readProblems = () => JSON.parse(document.getElementById("editor-state").textContent);

// The text that the server has made of the form, with the lines of the open part and of the problems.
function showText(next) {
  const text = next.elements.text.value;
  findForm().elements.text.value = text;
  source?.setText(text);
  const state = readProblems();
  source?.setProblems(state.problems);
  source?.markPart(...(state.lines ?? []));
}

const save = () => inOrder(async () => {
  if (!dirty || isConflict) return;
  const operation = dirty;
  try {
    const { response, next } = await post(operation);
    if (!next) return fail(operation, "Not saved. Try again.");
    document.documentElement.removeAttribute("data-stale");
    isConflict = response.status === 409;
    adopt(next, response.ok);
    refreshLive(next);
    if (operation === "text") replaceControls(next);
    // What was typed meanwhile is newer than the answer.
    if (!dirty) showText(next);
    if (response.ok) refreshWhatHappens();
  } catch {
    fail(operation, "Not saved: no connection");
    timer = setTimeout(save, 5000);
  }
});

function schedule(operation) {
  dirty = operation;
  clearTimeout(timer);
  timer = setTimeout(save, SAVE_DELAY_MS);
}

// After an edit of the text, the controls show it; their own field keeps the focus.
function replaceControls(next) {
  const current = document.getElementById("step-form"), changed = next.querySelector("#step-form");
  if (current.innerHTML === changed.innerHTML || current.contains(document.activeElement)) return;
  current.replaceWith(changed);
  findForm().elements.part.value = next.elements.part.value;
  prepareControls();
}

// A button that changes the form: the server answers with the whole form.
const change = (operation) => inOrder(async () => {
  const form = findForm(), focused = document.activeElement?.name;
  form.inert = true;
  try {
    const { response, next } = await post(operation);
    if (!next) return fail("save", "Not saved. Try again.");
    isConflict = response.status === 409;
    const scroll = document.getElementById("tree").scrollTop;
    next.elements.tab.value = form.elements.tab.value;
    form.replaceWith(next);
    adopt(next, false);
    prepare();
    document.getElementById("tree").scrollTop = scroll;
    focusAfter(operation, focused);
    if (response.ok) refreshWhatHappens();
  } catch {
    fail("save", "Not saved: no connection");
  } finally {
    form.inert = false;
  }
});

function focusAfter(operation, focused) {
  const verb = operation.split(":")[0];
  const form = findForm();
  if (["save", "retype"].includes(verb)) return form.elements[focused]?.focus?.();
  if (verb === "choose") return form.querySelector(".action-choices button")?.focus();
  if (verb === "add" || verb === "goto") return focusForm();
  if (verb.endsWith("_row")) return form.querySelector(".rows-of input")?.focus();
  const selected = form.querySelector(".node.selected .node-button");
  selected?.focus();
  selected?.scrollIntoView({ block: "nearest" });
}

function focusForm() {
  const field = findForm().querySelector("#step-form .controls :is(input:not([type=hidden]), select, textarea:not([hidden]))");
  const holder = findForm().querySelector("#step-form .template-holder");
  if (holder && (!field || holder.compareDocumentPosition(field) & Node.DOCUMENT_POSITION_FOLLOWING)) templates.get(holder)?.focus();
  else field?.focus();
}

const templates = new Map();
let lastTemplate = null;
editor.addEventListener("focusin", (event) => {
  if (event.target.matches?.(".template-holder")) lastTemplate = event.target;
});
const listVariables = () => readProblems().variables ?? [];

// Texts that are templates: their variables are highlighted, and offered after "{{".
function prepareControls() {
  templates.clear();
  for (const field of findForm().querySelectorAll("textarea[data-template]")) {
    const holder = document.createElement("span");
    holder.className = "template-holder";
    field.hidden = true;
    field.after(holder);
    const label = findForm().querySelector(`label[for="${CSS.escape(field.id)}"]`);
    label?.addEventListener("click", () => templates.get(holder).focus());
    templates.set(holder, createTemplateField(holder, field, { label: label?.textContent.trim() ?? "Text", listVariables }));
  }
  for (const field of findForm().querySelectorAll("input, textarea")) count(field);
}

function count(field) {
  const place = field.id && findForm().querySelector(`[data-count="${CSS.escape(field.id)}"]`);
  if (!place) return;
  const length = [...field.value].length;
  place.textContent = `${length} ${length === 1 ? "character" : "characters"}`;
}

// The text's editor moves from form to form: making another takes as long as everything else together.
function prepareSource() {
  const field = findForm().querySelector("[data-yaml]");
  field.hidden = true;
  findForm().querySelector(".yaml-apply").hidden = true;
  if (sourceHolder) return field.after(sourceHolder);
  sourceHolder = document.createElement("span");
  sourceHolder.className = "yaml-holder";
  field.after(sourceHolder);
  source = createSourceEditor(sourceHolder, {
    text: field.value,
    label: "Definition (YAML or JSON)",
    listVariables,
    onInput(text) {
      findForm().elements.text.value = text;
      schedule("text");
    },
  });
}

function prepare() {
  prepareSource();
  prepareControls();
  showText(findForm());
  openTab(findForm().elements.tab.value);
}

function openTab(name) {
  findForm().elements.tab.value = name;
  for (const tab of findForm().querySelectorAll("[data-tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    tab.tabIndex = tab.dataset.tab === name ? 0 : -1;
  }
  for (const pane of findForm().querySelectorAll("[data-pane]")) pane.hidden = pane.dataset.pane !== name;
  if (name === "happens") refreshWhatHappens();
}

// What would happen with the text as it is now; asked for only while its tab is open, and not beside a save: a person may
// have two definitions checked at once, in all tabs.
let happensTimer = 0;
function refreshWhatHappens() {
  clearTimeout(happensTimer);
  if (findForm().elements.tab.value === "happens") happensTimer = setTimeout(() => inOrder(showWhatHappens), 150);
}

async function showWhatHappens() {
  const pane = findForm().querySelector("[data-forecast]");
  if (!pane || pane.hidden) return;
  let text;
  try {
    text = await (await send(pane.dataset.forecast, { body: new URLSearchParams(new FormData(findForm())) })).text();
  } catch {
    // Without a connection the next change asks again.
    return;
  }
  const next = new DOMParser().parseFromString(text, "text/html").querySelector("[data-forecast-answer]");
  if (!next) return;
  const focused = pane.contains(document.activeElement) && document.activeElement.name;
  pane.replaceChildren(...next.childNodes);
  if (focused) pane.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
  showPath(pane);
}

// The tree shows the path: steps that are not taken are faint.
function showPath(pane) {
  const taken = new Set([...pane.querySelectorAll(".forecast-steps [data-of]")].map((item) => item.dataset.of));
  for (const node of findForm().querySelectorAll(".node[data-step-id]")) {
    node.classList.toggle("untaken", taken.size > 0 && !taken.has(node.dataset.stepId));
  }
}

editor.addEventListener("input", (event) => {
  const { target } = event;
  if (target.form !== findForm() || ["note", "turn_on", "text"].includes(target.name)) return;
  count(target);
  if (target.closest("[data-forecast]")) return;
  if (!target.matches("select, [type=checkbox]")) schedule("save");
});
editor.addEventListener("change", (event) => {
  const { target } = event;
  if (target.form === findForm() && target.closest("[data-forecast]")) return refreshWhatHappens();
  if (target.form !== findForm() || !target.matches("select, [type=checkbox]") || target.name === "turn_on") return;
  if (target.dataset.does) change(target.dataset.does);
  else if (target.matches("[data-reshapes]")) change("save");
  else schedule("save");
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
      dirty = "";
      button.dataset.ready = "1";
      findForm().requestSubmit(button);
    }));
    return;
  }
  event.preventDefault();
  if (!button?.value || button.value === "save") {
    dirty = dirty || "save";
    save();
  } else {
    if (dirty === "text") save();
    change(button.value);
  }
});

editor.addEventListener("click", (event) => {
  const tab = event.target.closest("[data-tab]");
  if (tab) openTab(tab.dataset.tab);
  const variable = event.target.closest("[data-insert]");
  // Into the field that was edited last, else into the first text.
  if (variable) (templates.get(lastTemplate) ?? templates.values().next().value)?.insert(`{{ ${variable.dataset.insert} }}`);
});

// Steps move by dragging too; every move has a button and a key.
let dragged = "";
editor.addEventListener("dragstart", (event) => {
  const step = event.target.closest?.(".step-item");
  if (!step) return;
  dragged = step.dataset.step;
  step.classList.add("dragged");
  event.dataTransfer.effectAllowed = "move";
  event.stopPropagation();
});
const findGap = (event) => (dragged ? event.target.closest?.(".gap") : null);
editor.addEventListener("dragover", (event) => {
  for (const gap of editor.querySelectorAll(".gap.drop")) gap.classList.remove("drop");
  const gap = findGap(event);
  if (!gap) return;
  gap.classList.add("drop");
  event.preventDefault();
});
editor.addEventListener("drop", (event) => {
  const gap = findGap(event);
  if (!gap) return;
  event.preventDefault();
  change(`move:${dragged}>${gap.querySelector("button").value.slice("choose:".length)}`);
});
editor.addEventListener("dragend", () => {
  dragged = "";
  for (const item of editor.querySelectorAll(".dragged, .drop")) item.classList.remove("dragged", "drop");
});

const isField = (element) => element.closest?.("input, select, textarea, .template-holder, .yaml-holder, [contenteditable]");
document.addEventListener("keydown", (event) => {
  if (event.key === "." && (event.ctrlKey || event.metaKey)) return fixFirst(event);
  if (event.ctrlKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
  const tabs = event.target.closest?.(".panel-tabs");
  if (tabs && ["ArrowLeft", "ArrowRight"].includes(event.key)) return moveTab(event, tabs);
  if (isField(event.target)) return;
  const { part } = findForm().elements;
  const isStep = part.value.startsWith("steps");
  const node = event.target.closest?.(".node");
  const choices = event.target.closest?.(".action-choices");
  if (choices && ["ArrowUp", "ArrowDown"].includes(event.key)) return moveChoice(event, choices);
  if (event.altKey && isStep && ["ArrowUp", "ArrowDown"].includes(event.key)) act(event, `${event.key === "ArrowUp" ? "up" : "down"}:${part.value}`);
  else if (node && !event.altKey && ["ArrowUp", "ArrowDown"].includes(event.key)) moveSelection(event, node);
  else if (node && event.key === "Enter" && node.classList.contains("selected")) {
    event.preventDefault();
    focusForm();
  } else if (isStep && node && ["Delete", "Backspace"].includes(event.key)) act(event, `remove:${part.value}`);
  else if (event.key.toLowerCase() === "a" && !event.altKey && !event.shiftKey) act(event, `choose:${findNextGap()}`);
});

function act(event, operation) {
  event.preventDefault();
  if (dirty === "text") save();
  change(operation);
}

// The first warning of the open part that can be mended, or of any part.
function fixFirst(event) {
  const button = findForm().querySelector("#step-form [data-fix]") ?? findForm().querySelector("#problem-list [data-fix]");
  if (button) act(event, button.value);
}

// The gap after the open step; the first one for the trigger and the rules.
function findNextGap() {
  const match = /^(.*)\[(\d+)\]$/.exec(findForm().elements.part.value);
  return match && match[1].startsWith("steps") ? `${match[1]}:${Number(match[2]) + 1}` : "steps:0";
}

function moveSelection(event, node) {
  const nodes = [...findForm().querySelectorAll(".node")];
  const next = nodes[nodes.indexOf(node) + (event.key === "ArrowDown" ? 1 : -1)];
  if (next) act(event, next.querySelector("button").value);
}

function moveChoice(event, choices) {
  event.preventDefault();
  const all = [...choices.children];
  all[all.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
}

function moveTab(event, tabs) {
  event.preventDefault();
  const all = [...tabs.querySelectorAll("[data-tab]")];
  const step = event.key === "ArrowRight" ? 1 : all.length - 1;
  const next = all[(all.indexOf(event.target.closest("[data-tab]")) + step) % all.length];
  openTab(next.dataset.tab);
  next.focus();
}

document.addEventListener("visibilitychange", () => document.hidden && save());
window.addEventListener("beforeunload", (event) => {
  if (dirty && !document.querySelector("[data-ready]")) event.preventDefault();
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[data-ready]")) delete button.dataset.ready;
});
prepare();
