// One chart of the page, drawn from the table beside it: the table has every number, and is all there is without scripts.
// The legend reads the bucket (a day or an hour) under the pointer or the slider, so that nothing covers a bar.
import { describe, HEIGHT, LABEL_ROW } from "./analytics-drawing.js";

const MIN_WIDTH = 160;

function readTable(table) {
  const columns = [...table.tHead.rows[0].cells].slice(1).map((cell) => ({ ...cell.dataset, label: cell.textContent }));
  const rows = [...table.tBodies[0].rows];
  const read = (cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value));
  return { columns, rows, values: columns.map((_, number) => rows.map((row) => read(row.cells[number + 1]))) };
}

export class Chart {
  constructor(figure) {
    this.figure = figure;
    this.area = figure.querySelector(".plot-area");
    this.plot = figure.querySelector(".plot");
    this.hovered = null;
    this.pinned = null;
    this.isTable = false;
    this.addSlider();
    this.plot.addEventListener("click", () => this.pin(this.hovered === this.pinned ? null : this.hovered));
    new ResizeObserver(() => this.resize()).observe(this.plot);
    this.update();
  }

  /** Read the table again and draw it: after an update of the page, or a change of the theme. */
  update() {
    Object.assign(this, readTable(this.figure.querySelector("table")));
    const entries = [...this.figure.querySelectorAll("[data-series] > dd")];
    this.legend = new Map(entries.map((node) => [node.parentNode.dataset.series, [node, [...node.childNodes]]]));
    this.reader = this.figure.querySelector(".reader");
    this.when = this.figure.querySelector("[data-when]");
    this.range = this.when.textContent;
    this.causes = [...this.figure.querySelectorAll(".causes > li")];
    // Failures stand above versions.
    this.tones = ["bad", "good"].filter((tone) => this.causes.some((cause) => cause.dataset.tone === tone));
    if (this.pinned >= this.rows.length) this.pinned = null;
    this.hovered = null;
    this.slider.setAttribute("aria-valuemax", this.rows.length - 1);
    this.draw();
    this.showView();
    this.show();
  }

  draw() {
    this.chart?.destroy();
    this.placedFor = null;
    this.model = {
      columns: this.columns, values: this.values, ticks: this.rows.map((row) => row.dataset.tick), index: this.index,
      isBars: this.columns[0].kind === "bar", width: Math.max(MIN_WIDTH, this.plot.clientWidth),
      labelRows: this.tones.length, bucket: this.figure.dataset.bucket,
      causes: this.causes.map((cause) => ({ index: Number(cause.dataset.index), color: getComputedStyle(cause).color })),
      colors: { muted: this.resolve("--muted"), line: this.resolve("--line"), columns: this.columns.map(({ color }) => this.resolve(color)) },
    };
    const options = describe(this.model, { hover: (index) => this.hover(index), placed: () => this.placeCauses() });
    this.chart = new window.uPlot(options, [this.rows.map((_, index) => index), ...this.values], this.plot);
  }

  resize() {
    const width = this.plot.clientWidth;
    if (width < MIN_WIDTH || width === this.chart.width) return;
    this.chart.setSize({ width, height: HEIGHT });
    this.keepHeight();
  }

  /** Place the causes above their buckets; one that finds no room is said by the legend alone. */
  placeCauses() {
    const width = this.plot.clientWidth;
    if (this.placedFor === width) return;
    this.placedFor = width;
    const taken = [[], []];
    for (const cause of this.causes) {
      const row = this.tones.indexOf(cause.dataset.tone);
      const label = cause.offsetWidth;
      const at = this.chart.bbox.left / window.devicePixelRatio + this.chart.valToPos(Number(cause.dataset.index), "x");
      const isLeft = at + label + 5 > width || (cause.dataset.tone === "bad" && at - label > 50);
      const start = isLeft ? at - label - 4 : at + 5;
      const hasRoom = start >= 0 && start + label <= width && taken[row].every(([from, to]) => start > to + 8 || start + label + 8 < from);
      cause.classList.toggle("unplaced", !hasRoom);
      if (hasRoom) taken[row].push([start, start + label]);
      Object.assign(cause.style, { left: `${Math.max(0, Math.min(start, width - label))}px`, top: `${row * LABEL_ROW}px` });
    }
  }

  get index() {
    return this.hovered ?? this.pinned;
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.show();
  }

  pin(index) {
    this.pinned = index;
    this.show();
  }

  /** Show the current bucket in the legend, or the whole range. */
  show() {
    const { index } = this;
    const row = index === null ? null : this.rows[index];
    this.when.textContent = row ? row.cells[0].textContent : this.range;
    this.columns.forEach(({ series }, number) => {
      const [node, whole] = this.legend.get(series);
      node.replaceChildren(...(row ? [...row.cells[number + 1].cloneNode(true).childNodes] : whole));
    });
    this.causes.forEach((cause) => cause.classList.toggle("current", Number(cause.dataset.index) === index));
    this.slider.setAttribute("aria-valuenow", index ?? this.rows.length - 1);
    this.slider.setAttribute("aria-valuetext", row ? this.speak(row, index) : `${this.range}. The arrow keys read it piece by piece.`);
    if (row === null) this.keepHeight();
    this.model.index = index;
    this.chart.redraw(false);
  }

  speak(row, index) {
    const numbers = this.columns.map(({ label }, number) => `${label} ${row.cells[number + 1].textContent.trim()}`);
    const causes = this.causes.filter((cause) => Number(cause.dataset.index) === index).map((cause) => cause.textContent.trim());
    return [row.cells[0].textContent, ...numbers, ...causes].join(", ");
  }

  /** The legend keeps the height that the whole range needs, so that reading moves no bar. */
  keepHeight() {
    this.reader.style.minHeight = "";
    this.reader.style.minHeight = `${this.reader.getBoundingClientRect().height}px`;
  }

  addSlider() {
    this.slider = document.createElement("div");
    this.slider.className = "plot-slider";
    this.slider.tabIndex = 0;
    this.slider.setAttribute("role", "slider");
    this.slider.setAttribute("aria-label", `${this.figure.querySelector("h2").textContent}, ${this.figure.dataset.bucket.toLowerCase()}`);
    this.slider.setAttribute("aria-valuemin", 0);
    this.slider.addEventListener("keydown", (event) => this.press(event));
    this.area.append(this.slider);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.rows.length - 1;
    const [before, after] = this.pinned === null ? [last, 0] : [this.pinned - 1, this.pinned + 1];
    const moves = {
      ArrowLeft: before, ArrowDown: before, ArrowRight: after, ArrowUp: after, Home: 0, End: last, Escape: null,
      PageDown: before - 6, PageUp: after + 6,
    };
    if (!(event.key in moves) || (event.key === "Escape" && this.pinned === null)) return;
    event.preventDefault();
    this.hovered = null;
    this.pin(moves[event.key] === null ? null : Math.min(last, Math.max(0, moves[event.key])));
  }

  switchView() {
    this.isTable = !this.isTable;
    this.showView();
    this.resize();
  }

  showView() {
    this.figure.dataset.view = this.isTable ? "table" : "chart";
    this.figure.querySelector("[data-toggle]").setAttribute("aria-pressed", String(this.isTable));
  }

  /** A token's colour in the current theme: a canvas knows no custom properties. */
  resolve(token) {
    this.area.style.setProperty("outline-color", `var(${token})`);
    return getComputedStyle(this.area).outlineColor;
  }
}
