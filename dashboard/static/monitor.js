// Keeps the monitor's page live: one stream, and the truth about whether it still comes. What it shows is drawn by
// monitor-view.js. The page pauses and looks back without losing the stream.
import { drawn, ticked } from "./monitor-view.js";

const root = document.getElementById("monitor");
const beat = root.querySelector(".beat");
const pause = root.querySelector("[data-pause]");
const replay = root.querySelector(".replay");
const slider = replay.querySelector("input");
const moment = replay.querySelector("output");
const replayWords = replay.querySelector("#replay-words");
const spoken = document.getElementById("spoken");

// The server speaks every two seconds; a planned new beginning of the stream takes as long again.
const SILENCE_MS = 7000;
const AGAIN_MS = 5000;
const query = root.dataset.test ? `?test=${root.dataset.test}` : "";

let newest = null;
let heardAt = 0;
let failures = 0;
let paused = false;
let past = false;
let asked = 0;
let spokenAt = 0;

function tell(state, words) {
  const text = beat.firstElementChild;
  if (beat.dataset.state !== state) beat.dataset.state = state;
  if (text.textContent !== words) text.textContent = words;
}

function tellTruth() {
  const silent = Math.round((performance.now() - heardAt) / 1000);
  const lost = failures > 1 || (heardAt && silent * 1000 > SILENCE_MS);
  if (lost) return tell("lost", heardAt ? `Lost, as of ${clock(newest.at)}` : "No connection");
  if (past) return tell("past", "Looking back");
  if (paused) return tell("paused", `Paused at ${clock(paused)}`);
  if (!heardAt) return tell("connecting", "Connecting");
  return tell("live", "Live");
}

function clock(at, seconds = true) {
  const form = { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: root.dataset.zone };
  return new Date(at).toLocaleTimeString("en-GB", seconds ? { ...form, second: "2-digit" } : form);
}

function draw() {
  drawn(root, newest, heardAt);
}

function hear(event) {
  newest = JSON.parse(event.data);
  heardAt = performance.now();
  failures = 0;
  if (!paused && !past) draw();
  tellTruth();
  // Politely: now and then, and only what matters.
  if (heardAt - spokenAt > 20000) {
    spoken.textContent = `${newest.totals.active} in motion, ${newest.totals.says}`;
    spokenAt = heardAt;
  }
}

function listen() {
  const source = new EventSource(root.dataset.stream + query);
  source.addEventListener("snapshot", hear);
  source.addEventListener("error", () => {
    failures += 1;
    tellTruth();
    // A refusal ends the stream for good, as far as the browser is concerned.
    if (source.readyState === EventSource.CLOSED) {
      failures += 1;
      tellTruth();
      setTimeout(listen, AGAIN_MS);
    }
  });
  window.addEventListener("pagehide", () => source.close());
}

async function lookBack() {
  const minutes = Number(slider.value);
  const at = new Date(Date.now() + minutes * 60000);
  const own = (asked += 1);
  past = minutes < 0;
  moment.textContent = clock(at, false);
  replayWords.textContent = past ? (minutes > -60 ? `${-minutes} m ago` : `${Math.floor(-minutes / 60)} h ${-minutes % 60} m ago`) : "now";
  tellTruth();
  if (!past) {
    if (newest) draw();
    return;
  }
  const parameters = new URLSearchParams(query);
  parameters.set("at", at.toISOString());
  const answer = await fetch(`${root.dataset.stream}?${parameters}`, { method: "POST", headers: { "X-CSRF-Token": root.dataset.csrf } });
  if (!answer.ok || own !== asked) return;
  const found = (await answer.json()).snapshot;
  if (own === asked) drawn(root, found, null);
}

pause.addEventListener("click", () => {
  paused = paused || !newest ? false : newest.at;
  pause.setAttribute("aria-pressed", String(Boolean(paused)));
  pause.textContent = paused ? "Resume view" : "Pause view";
  if (!paused && !past && newest) draw();
  tellTruth();
});

let soon;
slider.addEventListener("input", () => {
  clearTimeout(soon);
  soon = setTimeout(lookBack, 120);
});
replay.addEventListener("submit", (event) => event.preventDefault());

pause.hidden = false;
replay.hidden = false;
slider.value = 0;
moment.textContent = clock(Date.now(), false);
root.querySelector(".find-stander").hidden = false;
tellTruth();
listen();
setInterval(() => {
  if (!paused && !past) ticked(root);
  tellTruth();
}, 1000);
