// Keeps the counts of automations live over one event stream: each element with data-live="field" and data-of="id" gets
// the newest value. A page without the stream keeps what it has. Lists that follow executions refresh at once.

const RETRY_MS = 5000;
const zone = document.querySelector(".frame").dataset.zone;
const number = new Intl.NumberFormat("en-US");

function dayOf(date) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(date);
}

function formatDay(date) {
  const now = new Date();
  if (dayOf(date) === dayOf(now)) return "Today";
  if (dayOf(date) === dayOf(new Date(now - 86400000))) return "Yesterday";
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short", year: "numeric" }).format(date);
}

function writeTime(element, at) {
  if (!at) return;
  const time = element.querySelector("time") || document.createElement("time");
  if (time.dateTime && new Date(time.dateTime) >= new Date(at)) return;
  time.dateTime = at;
  time.title = new Date(at).toLocaleString("en-GB", { timeZone: zone, timeZoneName: "short" });
  time.textContent = formatDay(new Date(at));
  if (time.parentNode !== element) element.replaceChildren(time);
}

function write(element, row) {
  const field = element.dataset.live;
  if (field === "lastAt") return writeTime(element, row.lastAt);
  const value = row[field];
  const text = typeof value === "number" ? number.format(value) : value;
  if (text != null && element.textContent !== text) element.textContent = text;
}

let shown = "";
function receive(event) {
  const rows = new Map(JSON.parse(event.data).automations.map((row) => [row.id, row]));
  for (const element of document.querySelectorAll("[data-live]")) {
    const row = rows.get(element.dataset.of);
    if (row) write(element, row);
  }
  // The first frame is what the page has already.
  if (shown && shown !== event.data) document.body.dispatchEvent(new CustomEvent("beckon-counts"));
  shown = event.data;
}

let source = null;
function connect() {
  if (document.hidden || source) return;
  source = new EventSource("/api/automations/counts");
  source.addEventListener("snapshot", receive);
  source.addEventListener("error", () => {
    // After an HTTP error the browser does not reconnect.
    if (source?.readyState !== EventSource.CLOSED) return;
    disconnect();
    setTimeout(connect, RETRY_MS);
  });
}

function disconnect() {
  source?.close();
  source = null;
}

// A hidden page needs no updates, and catches up when it is seen again.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", connect);
connect();
