// The preview panel of the playbook editor: opens the operator's own page in a tab or a frame, and talks to the preview
// script there. Messages count only from that window, its origin and with the nonce of its token. The page is not
// trusted: what it says is shown as text, and its selector is written into a field.
const HELLO_MS = 8000, RENEW_AFTER_MS = 480_000, MAX_UNANSWERED = 4, DESKTOP_WIDTH = 1280, PHONE_WIDTH = 390, MARGIN = 24;
const LABELS = {
  url: "URL", device: "Device", returning: "Returning", utm: "UTM", scrollDepth: "Scroll depth",
  timeOnPageMs: "Time on page", exitIntent: "Exit intent", event: "Event",
};
const isText = (value, length = 500) => typeof value === "string" && value.length <= length;
const isCount = (value) => Number.isInteger(value) && value >= 0;
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : word.endsWith("ch") ? "es" : "s"}`;
const formatMs = (ms) => `${ms < 1 ? "<1" : Math.round(ms)} ms`;

export class PlaybookPreview {
  constructor(panel, editor) {
    this.panel = panel;
    this.editor = editor;
    this.peer = null;
    this.isConnected = false;
    this.pickedFor = "";
    this.report = null;
    this.size = "desktop";
    this.url = panel.querySelector("#preview-url");
    this.storageKey = `beckon-preview-url:${panel.dataset.key}`;
    this.idleText = panel.querySelector("#preview-idle p").textContent;
    this.restoreUrl();
    for (const part of panel.querySelectorAll("[data-scripted]")) part.hidden = false;
    panel.querySelector("[data-open]").addEventListener("click", () => this.openTab());
    panel.querySelector("[data-show]").addEventListener("click", () => this.openFrame());
    for (const button of panel.querySelectorAll("[data-size]")) button.addEventListener("click", () => this.resize(button.dataset.size));
    for (const button of panel.querySelectorAll("[data-after]")) {
      button.addEventListener("click", () => this.send("after", { value: button.dataset.after === "true" }));
    }
    window.addEventListener("message", (event) => this.receive(event));
    new ResizeObserver(() => this.fit()).observe(panel.querySelector("#preview-frame"));
    document.addEventListener("toggle", (event) => this.stepToggled(event), true);
    document.addEventListener("click", (event) => this.pickPressed(event));
    document.addEventListener("keydown", (event) => this.keyPressed(event), true);
    setInterval(() => this.tick(), 1000);
  }

  // The address last used for this playbook in this browser.
  restoreUrl() {
    try {
      this.url.value = localStorage.getItem(this.storageKey) || this.url.value;
    } catch { /* Storage is a convenience. */ }
  }

  keepUrl() {
    try {
      localStorage.setItem(this.storageKey, this.url.value);
    } catch { /* Storage is a convenience. */ }
  }

  fail(text) {
    const error = this.panel.querySelector("#preview-error");
    error.textContent = text;
    error.hidden = !text;
  }

  // The tab is opened at once, while the browser still counts the click.
  async openTab(then) {
    const tab = window.open("", "_blank");
    if (!tab) return this.fail("The browser blocked the tab. Allow pop-ups for this site, then open it again.");
    const preview = await this.sign();
    if (!preview) return tab.close();
    this.clearFrame("Your page is open in a tab. Pick elements there, and watch it change as you type.");
    this.connect(tab, preview, "The page did not answer. It must load the Beckon script with a site key of this workspace, and must neither redirect to another site nor set Cross-Origin-Opener-Policy.", then);
    tab.location.replace(preview.url);
  }

  async openFrame(then) {
    const preview = await this.sign();
    if (!preview) return;
    const frame = document.createElement("iframe");
    frame.title = "Your page with the draft";
    frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms");
    frame.src = preview.url;
    this.panel.querySelector("#preview-idle").hidden = true;
    this.panel.querySelector("#preview-frame").replaceChildren(frame);
    this.fit();
    this.connect(frame.contentWindow, preview, "The page did not answer. It may forbid framing, or not load the Beckon script. Open it in a tab instead.", then);
  }

  // An address with a token; with `nonce`, a token that continues the preview of this address.
  async sign(nonce, address = this.url.value.trim()) {
    this.fail("");
    try {
      const path = await this.editor.save();
      if (!path) return this.fail("Save the draft first: give the playbook a name."), null;
      const fields = { csrf_token: this.editor.findForm().elements.csrf_token.value, url: address };
      const response = await fetch(path, { method: "POST", body: new URLSearchParams(nonce ? { ...fields, nonce } : fields), headers: { "HX-Request": "true" } });
      if (response.headers.has("HX-Redirect")) return location.assign(response.headers.get("HX-Redirect")), null;
      const answer = await response.json();
      if (!response.ok) return this.fail(answer.detail || "The preview could not be opened."), null;
      if (!nonce) this.keepUrl();
      return answer;
    } catch {
      return this.fail("The preview could not be opened. Check the connection, then try again."), null;
    }
  }

  connect(peer, preview, silence, then) {
    this.peer = peer;
    this.unanswered = 0;
    this.preview = preview;
    this.isConnected = false;
    this.afterHello = then;
    this.signedAt = performance.now();
    this.silenceText = this.findOtherHome() || silence;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.disconnect(this.silenceText), HELLO_MS);
  }

  // The script answers only to the address that it was loaded from.
  findOtherHome() {
    const { home } = this.panel.dataset;
    return home === location.origin ? "" : `The page did not answer. Its script answers only to Beckon at ${home}, and this editor is open at ${location.origin}. Open Beckon at ${home}, then preview again.`;
  }

  disconnect(reason) {
    clearTimeout(this.silence);
    this.isConnected = false;
    this.peer = null;
    this.report = null;
    this.stopPicking();
    this.clearFrame();
    this.draw();
    this.fail(reason);
  }

  clearFrame(text = this.idleText) {
    this.panel.querySelector("#preview-frame").replaceChildren();
    this.panel.querySelector("#preview-idle").hidden = false;
    this.panel.querySelector("#preview-idle p").textContent = text;
  }

  send(type, fields) {
    if (this.peer && this.preview) this.peer.postMessage({ ...fields, beckon: "editor", nonce: this.preview.nonce, type }, this.preview.origin);
  }

  receive({ source, origin, data }) {
    if (!this.peer || source !== this.peer || origin !== this.preview.origin) return;
    if (!data || data.beckon !== "preview" || data.nonce !== this.preview.nonce) return;
    this.unanswered = 0;
    if (data.type === "ready") this.greet();
    else if (data.type === "report") this.keepReport(data);
    else if (data.type === "picking") this.showPick(data);
    else if (data.type === "picked") this.takePick(data);
    else if (data.type === "ended") this.stopPicking();
    else if (data.type === "expired") this.renew();

  }

  greet() {
    clearTimeout(this.silence);
    this.isConnected = true;
    this.send("hello");
    this.send("device", { name: this.size });
    this.select();
    this.afterHello?.();
    this.afterHello = undefined;
    this.draw();
  }

  changed() {
    if (this.isConnected) this.send("changed");
  }

  // The page outlines the open action, also while its selector is typed.
  select() {
    const step = this.editor.findForm().querySelector(".step[open]");
    if (step) this.send("select", { id: step.dataset.step, selector: step.querySelector("[data-selector]")?.value.trim() ?? "" });
  }

  tick() {
    if (!this.peer) return;
    if (this.peer.closed) return this.disconnect(this.isConnected ? "" : this.silenceText);
    if (!this.isConnected) return;
    if (this.unanswered++ > MAX_UNANSWERED) return this.disconnect("The page was left or reloaded, which ends its preview. Open it again.");
    this.send("ping");
    if (performance.now() - this.signedAt > RENEW_AFTER_MS) this.renew();
  }

  async renew() {
    if (this.isRenewing) return;
    this.isRenewing = true;
    const { nonce, url } = this.preview;
    const preview = await this.sign(nonce, url);
    this.isRenewing = false;
    if (!preview || this.preview.nonce !== nonce) return;
    this.signedAt = performance.now();
    this.send("token", { token: preview.token });
  }

  resize(size) {
    this.size = size;
    for (const button of this.panel.querySelectorAll("[data-size]")) button.setAttribute("aria-pressed", String(button.dataset.size === size));
    this.fit();
    this.send("device", { name: size });
  }

  // The frame is as wide as the device, and scaled into the panel.
  fit() {
    const holder = this.panel.querySelector("#preview-frame"), frame = holder.firstElementChild;
    if (!frame) return;
    const width = this.size === "mobile" ? PHONE_WIDTH : DESKTOP_WIDTH;
    const scale = Math.min(1, (holder.clientWidth - MARGIN) / width);
    frame.style.width = `${width}px`;
    frame.style.height = `${(holder.clientHeight - MARGIN) / scale}px`;
    frame.style.transform = `scale(${scale})`;
  }

  stepToggled(event) {
    if (event.target.matches?.(".step") && event.target.open) this.select();
  }

  pickPressed(event) {
    const button = event.target.closest?.("[data-pick]");
    if (!button) return;
    const step = button.closest(".step").dataset.step;
    if (this.pickedFor === step) return this.send("key", { key: "Escape" });
    const start = () => this.startPicking(step);
    if (this.isConnected) start();
    else this.openTab(start);
  }

  startPicking(step) {
    this.pickedFor = step;
    this.send("pick");
    const frame = this.panel.querySelector("iframe");
    if (frame) frame.focus();
    else this.peer?.focus();
    this.drawPicking();
  }

  stopPicking() {
    this.pickedFor = "";
    this.drawPicking();
  }

  keyPressed(event) {
    const isKey = event.key === "Escape" || (["Enter", "ArrowUp", "ArrowDown"].includes(event.key) && !event.target.closest?.("input, select, textarea"));
    if (!this.pickedFor || !isKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.send("key", { key: event.key });
  }

  showPick({ selector, matches, trail }) {
    const crumbs = this.panel.querySelector("#preview-crumbs");
    const parts = (Array.isArray(trail) ? trail : []).filter((part) => isText(part, 100)).slice(-6);
    const last = document.createElement("strong");
    last.textContent = parts.pop() ?? "";
    crumbs.replaceChildren(parts.map((part) => `${part} › `).join(""), last);
    crumbs.title = isText(selector) && isCount(matches) ? `${selector}: ${plural(matches, "match")}` : "";
  }

  takePick(data) {
    const field = this.findStep(this.pickedFor)?.querySelector("[data-selector]");
    this.showPick(data);
    if (field && isText(data.selector)) this.editor.write(field, data.selector);
    window.focus();
    field?.focus();
  }

  findStep(id) {
    return [...this.editor.findForm().querySelectorAll(".step")].find((step) => step.dataset.step === id);
  }

  keepReport({ conditions, actions, visit, selected, after }) {
    if (!Array.isArray(conditions) || !Array.isArray(actions)) return;
    this.report = {
      conditions: conditions.filter((row) => row && Object.hasOwn(LABELS, row.name)).slice(0, 20),
      actions: actions.filter((row) => row && isText(row.id, 100)).slice(0, 100),
      visit: { scrollDepth: Number(visit?.scrollDepth) || 0, seconds: Number(visit?.seconds) || 0 },
      selected: isText(selected?.id) && isCount(selected.matches) ? selected : {},
      isAfter: after === true,
    };
    this.draw();
  }

  draw() {
    for (const button of this.panel.querySelectorAll("[data-after]")) {
      button.setAttribute("aria-pressed", String((button.dataset.after === "true") === (this.report?.isAfter ?? true)));
    }
    this.drawConditions();
    this.drawResult();
    this.drawForm();
    this.drawPicking();
  }

  describe(name) {
    const form = this.editor.findForm(), { visit } = this.report;
    if (name === "scrollDepth") return `Scrolled ${visit.scrollDepth} %`;
    if (name === "timeOnPageMs") return `${visit.seconds} s on page`;
    if (name === "device") return this.size === "mobile" ? "Phone" : "Desktop";
    const utm = name === "utm" && form.querySelector("[name=utm_name]"), value = form.querySelector("[name=utm_value]");
    return utm ? `utm_${utm.value}=${value.value}` : LABELS[name];
  }

  // Pressing a condition takes it to hold. The buttons are kept, so that the focus stays where it is.
  drawConditions() {
    const place = this.panel.querySelector("#preview-conditions");
    const conditions = this.report?.conditions ?? [];
    const missing = conditions.filter(({ holds, assumed }) => !holds && !assumed).length;
    const state = document.createElement("span");
    state.className = missing ? "waits" : "runs";
    state.textContent = missing ? `Waits for ${plural(missing, "condition")}` : "✓ Playbook runs";
    const buttons = conditions.map(({ name, holds, assumed }) => {
      const button = place.querySelector(`[data-condition="${name}"]`) ?? document.createElement("button");
      button.type = "button";
      button.dataset.condition = name;
      button.setAttribute("aria-pressed", String(!!assumed));
      button.title = assumed ? "Taken to hold. Press to use this visit" : "Press to take this condition to hold";
      button.textContent = `${this.describe(name)} ${holds ? "✓" : assumed ? "assumed" : "not yet"}`;
      button.onclick = () => this.send("assume", { name, value: !assumed });
      return button;
    });
    const focused = document.activeElement;
    place.replaceChildren(...(this.report ? [state, ...buttons] : []));
    if (buttons.includes(focused)) focused.focus();
  }

  drawResult() {
    const result = this.panel.querySelector("#preview-result");
    if (!this.report) return (result.textContent = this.peer ? "Waiting for the page …" : "");
    const { actions } = this.report;
    const failed = actions.filter(({ error, matches }) => error || matches === 0).length;
    const total = actions.reduce((sum, { timeMs }) => sum + (Number(timeMs) || 0), 0);
    result.textContent = `${failed ? `${failed} of ${plural(actions.length, "action")} without effect` : `✓ ${plural(actions.length, "action")}`} in ${formatMs(total)}`;
  }

  // Matches, time and the earlier text, beside the action's fields.
  drawForm() {
    for (const step of this.editor.findForm().querySelectorAll(".step")) {
      const outcome = this.report?.actions.find(({ id }) => id === step.dataset.step);
      this.drawStep(step, outcome);
    }
  }

  drawStep(step, outcome) {
    const write = (name, text) => {
      const place = step.querySelector(`[${name}]`);
      if (place) place.textContent = text;
    };
    const { selected } = this.report ?? {};
    const { timeMs, was, note, error } = outcome ?? {};
    const matches = selected?.id === step.dataset.step ? selected.matches : outcome?.matches;
    write("data-took", !outcome ? "" : isText(note) && note ? "not run" : formatMs(Number(timeMs) || 0));
    const text = isText(error) && error ? error : isCount(matches) ? `${plural(matches, "match")} on this page` : "";
    write("data-matches", text);
    step.querySelector("[data-matches]")?.classList.toggle("matched", !error && matches > 0);
    step.querySelector("[data-matches]")?.classList.toggle("bad", !!error || matches === 0);
    write("data-was", isText(was) && was ? `Was: “${was}”` : "");
  }

  drawPicking() {
    for (const button of this.editor.findForm().querySelectorAll("[data-pick]")) {
      const isPicking = this.pickedFor !== "" && button.closest(".step").dataset.step === this.pickedFor;
      button.setAttribute("aria-pressed", String(isPicking));
      button.querySelector("span").textContent = isPicking ? "Picking, Esc ends" : "Pick";
    }
    this.panel.querySelector("#preview-keys").hidden = !this.pickedFor;
  }
}
