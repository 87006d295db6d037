// Replays the monitor: by the minute with the slider, and move by move with the buttons and keys. The times of the moves
// come from the stage history; each step asks the server for the snapshot of that moment.

// A pause between two moves lasts as long as it did, within these bounds.
const LEAST_PAUSE_MS = 150;
const MOST_PAUSE_MS = 1500;
// Moves that are further apart belong to different runs; playing starts with the newest one.
const RUN_GAP_MS = 60000;
const LOOKBACK_MS = 6 * 3600 * 1000;

/** The replay of a monitor. `show(snapshot)` draws a past snapshot, `resume()` the live one. */
export class Replay {
  constructor(root, { show, resume, changed, formatClock, query }) {
    Object.assign(this, { root, show, resume, changed, formatClock, query });
    this.form = root.querySelector(".replay");
    this.slider = this.form.querySelector("input");
    this.output = this.form.querySelector("output");
    this.caption = this.form.querySelector("#replay-time");
    this.at = null;
    this.moves = [];
    this.requests = 0;
    this.playing = false;
    this.form.hidden = false;
    this.slider.value = 0;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.slider.addEventListener("input", () => this.slide());
    const actions = { previous: () => this.step(-1), next: () => this.step(1), play: () => this.toggle(), live: () => this.goLive() };
    this.form.addEventListener("click", (event) => {
      const button = event.target.closest("[data-replay]");
      if (button) actions[button.dataset.replay]();
    });
    document.addEventListener("keydown", (event) => this.press(event, actions));
    this.update("now");
  }

  get isReplaying() {
    return this.at !== null;
  }

  press(event, actions) {
    const action = { "[": "previous", "]": "next", r: "play" }[event.key];
    const isTyping = event.target.closest("input:not([type=range]), select, textarea, dialog") || document.querySelector("dialog[open]");
    if (!action || isTyping || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    event.preventDefault();
    actions[action]();
  }

  slide() {
    this.pause();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const minutes = Number(this.slider.value);
      if (minutes === 0) return this.goLive();
      const text = minutes > -60 ? `${-minutes} min ago` : `${Math.floor(-minutes / 60)} h ${-minutes % 60} min ago`;
      return this.goTo(Date.now() + minutes * 60000, text);
    }, 120);
  }

  async load() {
    const response = await fetch(`${this.root.dataset.stream}/moves${this.query}`);
    if (response.ok) this.moves = (await response.json()).moves.map((at) => Date.parse(at));
  }

  /** Go to the next or the previous move; after the newest one the page is live again. */
  async step(direction) {
    this.pause();
    await this.load();
    const at = this.at ?? Date.now();
    const move = direction > 0 ? this.moves.find((time) => time > at) : this.moves.findLast((time) => time < at);
    if (move !== undefined) return this.goToMove(move);
    if (direction > 0) return this.goLive();
    if (!this.moves.length) this.update("no moves in the last 6 h");
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  async play() {
    await this.load();
    if (!this.moves.length) return this.update("no moves in the last 6 h");
    let index = this.at === null ? this.findNewestRun() : this.moves.findIndex((time) => time > this.at);
    this.playing = true;
    this.changed();
    for (; this.playing && index >= 0 && index < this.moves.length; index += 1) {
      await this.goToMove(this.moves[index]);
      const pause = Math.min(MOST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, (this.moves[index + 1] ?? 0) - this.moves[index]));
      await new Promise((resolve) => { setTimeout(resolve, index + 1 < this.moves.length ? pause : MOST_PAUSE_MS); });
    }
    if (this.playing) this.goLive();
  }

  findNewestRun() {
    let index = this.moves.length - 1;
    while (index > 0 && this.moves[index] - this.moves[index - 1] < RUN_GAP_MS) index -= 1;
    return index;
  }

  pause() {
    this.playing = false;
    this.changed();
  }

  goLive() {
    this.playing = false;
    this.at = null;
    this.requests += 1;
    this.slider.value = 0;
    this.update("now");
    this.resume();
  }

  goToMove(time) {
    this.slider.value = Math.max(-LOOKBACK_MS, time - Date.now()) / 60000;
    return this.goTo(time, `move ${this.moves.indexOf(time) + 1} of ${this.moves.length}`);
  }

  async goTo(time, text) {
    const request = (this.requests += 1);
    this.at = time;
    this.update(text);
    const parameters = new URLSearchParams(this.query);
    parameters.set("at", new Date(time).toISOString());
    const response = await fetch(`${this.root.dataset.stream}?${parameters}`, { method: "POST", headers: { "X-CSRF-Token": this.root.dataset.csrf } });
    if (!response.ok || request !== this.requests) return;
    const { snapshot } = await response.json();
    if (request === this.requests) this.show(snapshot);
  }

  update(text) {
    this.output.textContent = this.formatClock(this.at ?? Date.now(), this.at !== null);
    this.caption.textContent = text;
    this.changed();
  }

  /** Show on the buttons what they do now. */
  drawButtons() {
    const play = this.form.querySelector("[data-replay=play]");
    const label = play.querySelector("span");
    const text = this.playing ? "Pause" : "Play";
    if (label.textContent === text) return;
    label.textContent = text;
    const use = play.querySelector("use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*$/, this.playing ? "#pause" : "#play"));
  }
}
