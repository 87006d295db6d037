// Keeps the monitor page live over one event stream and shows the state of the connection. monitor-view.js draws the
// snapshots. Pausing and replaying keep the stream open.
import { draw, tick } from "./monitor-view.js";

const root = document.getElementById("monitor");
const status = root.querySelector(".beat");
const pause = root.querySelector("[data-pause]");
const replay = root.querySelector(".replay");
const slider = replay.querySelector("input");
const moment = replay.querySelector("output");
const replayTime = replay.querySelector("#replay-time");
const announcement = document.getElementById("announcement");

// The server sends a snapshot every two seconds; a planned reconnect takes another two.
const SILENCE_MS = 7000;
const RECONNECT_MS = 5000;
const query = root.dataset.test ? `?test=${root.dataset.test}` : "";

let newest = null;
let receivedAt = 0;
let failures = 0;
let paused = false;
let replaying = false;
let requestCount = 0;
let announcedAt = 0;

function setStatus(state, text) {
  const label = status.firstElementChild;
  if (status.dataset.state !== state) status.dataset.state = state;
  if (label.textContent !== text) label.textContent = text;
}

function updateStatus() {
  const silent = Math.round((performance.now() - receivedAt) / 1000);
  const lost = failures > 1 || (receivedAt && silent * 1000 > SILENCE_MS);
  if (lost) return setStatus("lost", receivedAt ? `Disconnected, as of ${formatClock(newest.at)}` : "No connection");
  if (replaying) return setStatus("past", "Replaying");
  if (paused) return setStatus("paused", `Paused at ${formatClock(paused)}`);
  if (!receivedAt) return setStatus("connecting", "Connecting");
  return setStatus("live", "Live");
}

function formatClock(at, seconds = true) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: root.dataset.zone };
  return new Date(at).toLocaleTimeString("en-GB", seconds ? { ...options, second: "2-digit" } : options);
}

function drawNewest() {
  draw(root, newest, receivedAt);
}

function receive(event) {
  newest = JSON.parse(event.data);
  receivedAt = performance.now();
  failures = 0;
  if (!paused && !replaying) drawNewest();
  updateStatus();
  // Screen readers get a short summary every 20 seconds.
  if (receivedAt - announcedAt > 20000) {
    announcement.textContent = `${newest.totals.active} active, ${newest.totals.says}`;
    announcedAt = receivedAt;
  }
}

function connect() {
  const source = new EventSource(root.dataset.stream + query);
  source.addEventListener("snapshot", receive);
  source.addEventListener("error", () => {
    failures += 1;
    updateStatus();
    // After an HTTP error the browser does not reconnect.
    if (source.readyState === EventSource.CLOSED) {
      failures += 1;
      updateStatus();
      setTimeout(connect, RECONNECT_MS);
    }
  });
  window.addEventListener("pagehide", () => source.close());
}

async function showMoment() {
  const minutes = Number(slider.value);
  const at = new Date(Date.now() + minutes * 60000);
  const requestNumber = (requestCount += 1);
  replaying = minutes < 0;
  moment.textContent = formatClock(at, false);
  replayTime.textContent = replaying ? (minutes > -60 ? `${-minutes} min ago` : `${Math.floor(-minutes / 60)} h ${-minutes % 60} min ago`) : "now";
  updateStatus();
  if (!replaying) {
    if (newest) drawNewest();
    return;
  }
  const parameters = new URLSearchParams(query);
  parameters.set("at", at.toISOString());
  const response = await fetch(`${root.dataset.stream}?${parameters}`, { method: "POST", headers: { "X-CSRF-Token": root.dataset.csrf } });
  if (!response.ok || requestNumber !== requestCount) return;
  const snapshot = (await response.json()).snapshot;
  if (requestNumber === requestCount) draw(root, snapshot, null);
}

pause.addEventListener("click", () => {
  paused = paused || !newest ? false : newest.at;
  pause.setAttribute("aria-pressed", String(Boolean(paused)));
  pause.textContent = paused ? "Resume view" : "Pause view";
  if (!paused && !replaying && newest) drawNewest();
  updateStatus();
});

let replayTimer;
slider.addEventListener("input", () => {
  clearTimeout(replayTimer);
  replayTimer = setTimeout(showMoment, 120);
});
replay.addEventListener("submit", (event) => event.preventDefault());

pause.hidden = false;
replay.hidden = false;
slider.value = 0;
moment.textContent = formatClock(Date.now(), false);
root.querySelector(".find-contact").hidden = false;
updateStatus();
connect();
setInterval(() => {
  if (!paused && !replaying) tick(root);
  updateStatus();
}, 1000);
