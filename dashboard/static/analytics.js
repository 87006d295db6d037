// Brings the page of analytics to life: its charts, which are drawn again after each update and change of the theme.
// Without scripts the page has forms, links and tables.
import { Chart } from "./analytics-chart.js";

const charts = new WeakMap();

function drawAll() {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const chart = charts.get(figure);
    // A period without numbers has no place for the chart; the next one with some has a new place.
    if (chart?.plot.isConnected) chart.update();
    else charts.set(figure, new Chart(figure));
  }
}

document.addEventListener("click", (event) => {
  const toggle = event.target.closest("[data-toggle]");
  if (toggle) charts.get(toggle.closest("[data-chart]"))?.switchView();
});

// The font decides how wide a label is.
document.fonts.ready.then(drawAll);
document.addEventListener("htmx:after:swap", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
matchMedia("print").addEventListener("change", drawAll);

// How old the numbers are, between two updates.
setInterval(() => {
  const node = document.querySelector("[data-age]");
  const seconds = Math.floor((Date.now() - Date.parse(node?.dateTime)) / 1000);
  if (seconds >= 1) node.textContent = seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
}, 5000);
