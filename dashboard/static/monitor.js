// Keeps the monitor page live over one event stream and shows the state of the connection. monitor-view.js draws the
// snapshots. Pausing and replaying keep the stream open.
import { Replay } from "./monitor-replay.js";
import { draw, tick } from "./monitor-view.js";

const root = document.getElementById("monitor");
const status = root.querySelector(".beat");
const pause = root.querySelector("[data-pause]");
const updates = root.querySelector('[data-fact="updates"]');
const announcement = document.getElementById("announcement");

// The server sends a snapshot every two seconds; a planned reconnect takes another two.
const SILENCE_MS = 7000;
const RECONNECT_MS = 5000;
const query = root.dataset.test ? `?test=${root.dataset.test}` : "";

let newest = null;
let receivedAt = 0;
let failures = 0;
let paused = false;
let replay = null;
let announcedAt = 0;

const UPDATES = { live: "Updates every 2 s", lost: "Not updating", paused: "Paused", past: "Replaying the past", connecting: "Connecting" };

function setStatus(state, text) {
  if (updates.textContent !== UPDATES[state]) updates.textContent = UPDATES[state];
  replay?.drawButtons();
  const label = status.firstElementChild;
  if (status.dataset.state !== state) status.dataset.state = state;
  if (label.textContent !== text) label.textContent = text;
}

function updateStatus() {
  const silent = Math.round((performance.now() - receivedAt) / 1000);
  const lost = failures > 1 || (receivedAt && silent * 1000 > SILENCE_MS);
  if (lost) return setStatus("lost", receivedAt ? `Disconnected, as of ${formatClock(newest.at)}` : "No connection");
  if (replay?.isReplaying) return setStatus("past", replay.playing ? "Playing" : "Replaying");
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
  if (!paused && !replay?.isReplaying) drawNewest();
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

pause.addEventListener("click", () => {
  paused = paused || !newest ? false : newest.at;
  pause.setAttribute("aria-pressed", String(Boolean(paused)));
  pause.textContent = paused ? "Resume view" : "Pause view";
  if (!paused && !replay?.isReplaying && newest) drawNewest();
  updateStatus();
});

pause.hidden = false;
replay = new Replay(root, {
  show: (snapshot) => draw(root, snapshot, null),
  resume: () => { if (newest && !paused) drawNewest(); updateStatus(); },
  changed: () => updateStatus(),
  formatClock,
  query,
});
root.querySelector(".find-contact").hidden = false;
updateStatus();
connect();
setInterval(() => {
  if (!paused && !replay?.isReplaying) tick(root);
  updateStatus();
}, 1000);
