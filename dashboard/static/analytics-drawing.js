// Draws a chart with uPlot: bars stacked by status, or lines of durations. It knows no page: `model` has the columns, their
// values and colours, the ticks below, the causes in `labelRows` rows, and the bucket that is read.

// The strength of bars that are not read: their colours keep a contrast of 3 to the panel.
const RESTING = 0.78;
export const HEIGHT = 226;
// A row of causes: each is a link, and large enough to touch.
export const LABEL_ROW = 24;
const LABEL_WIDTH = 74;
const FAMILY = "Inter, system-ui, sans-serif";
const FONT = `11.5px ${FAMILY}`;
// Buckets between two labels: whole weeks of days, and parts or multiples of a day of hours.
const STEPS = { Day: [1, 2, 3, 4, 5, 7, 10, 14, 21, 28], Hour: [1, 2, 3, 4, 6, 12, 24, 48, 72, 120, 168, 240] };
const COUNTS = [...Array(12).keys()].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
const MILLISECONDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 288e5, 864e5, 1728e5, 6048e5, 2592e6];

/** `250 ms`, `1.5 s`, `4 min`, `2 h`: the values of an axis. */
function formatDuration(milliseconds) {
  for (const [size, unit] of [[864e5, "d"], [36e5, "h"], [6e4, "min"], [1e3, "s"]]) {
    if (milliseconds >= size) return `${Number((milliseconds / size).toFixed(1))} ${unit}`;
  }
  return milliseconds ? `${milliseconds} ms` : "0 s";
}

/** The options of uPlot. `hover` is called with the bucket under the pointer, `placed` after the chart has its size. */
export function describe(model, { hover, placed }) {
  const { columns, colors, ticks, isBars } = model;
  const axis = { stroke: colors.muted, font: FONT, ticks: { show: false } };
  return {
    width: model.width, height: HEIGHT, legend: { show: false },
    series: [{}, ...columns.map((column, number) => describeSeries(column, colors.columns[number]))],
    padding: [model.labelRows * LABEL_ROW + 10, isBars ? 4 : 40, 0, 0],
    cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false, setScale: false } },
    scales: { x: { time: false, range: [-0.5, ticks.length - 0.5] }, y: { range: [0, findTop(model)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, gap: 8, splits: (chart) => chooseTicks(chart, model), values: (_, indexes) => indexes.map((index) => ticks[index]) },
      describeValues(axis, colors.line, isBars),
    ],
    hooks: {
      drawAxes: [(chart) => drawBehind(chart, model)],
      draw: [(chart) => { drawNames(chart, model); placed(chart); }],
      setCursor: [(chart) => hover(chart.cursor.idx ?? null)],
    },
  };
}

function describeSeries(column, color) {
  return {
    stroke: color, width: 1.75, points: { show: false, size: 6, fill: color, filter: column.kind === "bar" ? () => null : findIsolated },
    dash: column.kind === "dash" ? [4, 3] : undefined,
    paths: column.kind === "bar" ? () => null : undefined,
    fill: column.kind === "area" ? color.replace(/^rgb\((.+)\)$/, "rgba($1, 0.1)") : undefined,
  };
}

// A number without neighbours makes no line, and gets a point.
function findIsolated(chart, number) {
  const column = chart.data[number];
  const isNone = (index) => column[index] === null || column[index] === undefined;
  const isolated = [...column.keys()].filter((index) => !isNone(index) && isNone(index - 1) && isNone(index + 1));
  return isolated.length ? isolated : null;
}

function describeValues(axis, line, isBars) {
  const size = (_, texts) => 14 + 7 * Math.max(2, ...(texts ?? []).map((text) => text.length));
  const values = (_, ticks) => ticks.map((tick) => (isBars ? tick.toLocaleString("en-US") : formatDuration(tick)));
  return { ...axis, grid: { stroke: line, width: 1 }, size, incrs: isBars ? COUNTS : MILLISECONDS, values };
}

function findTop({ columns, values, ticks }) {
  const sum = (index) => values.reduce((total, column, number) => total + (columns[number].kind === "bar" ? column[index] ?? 0 : 0), 0);
  const top = Math.max(...values.flat().map(Number), ...ticks.map((_, index) => sum(index)));
  return (top || 1) * 1.04;
}

function chooseTicks(chart, { ticks, bucket }) {
  const fitting = Math.max(2, Math.floor(chart.width / LABEL_WIDTH));
  const step = STEPS[bucket].find((candidate) => ticks.length / candidate <= fitting) ?? ticks.length;
  return [...ticks.keys()].filter((index) => index % step === 0);
}

function drawBehind(chart, model) {
  chart.ctx.save();
  for (const cause of model.causes) drawLine(chart, cause.index, cause.color, 6);
  if (model.isBars) model.ticks.forEach((_, index) => drawBar(chart, model, index));
  else if (model.index !== null) drawLine(chart, model.index, model.colors.muted, 0);
  chart.ctx.restore();
}

function drawLine(chart, index, color, above) {
  chart.ctx.fillStyle = color;
  const { top, height } = chart.bbox;
  chart.ctx.fillRect(Math.round(chart.valToPos(index, "x", true)), top - above, window.devicePixelRatio, height + above);
}

function drawBar(chart, { columns, values, colors, index: read }, index) {
  const pixel = window.devicePixelRatio;
  const step = chart.valToPos(1, "x", true) - chart.valToPos(0, "x", true);
  const width = Math.min(48 * pixel, Math.max(pixel, Math.round(step * 0.8)));
  const left = Math.round(chart.valToPos(index, "x", true) - width / 2);
  const zero = chart.valToPos(0, "y", true);
  let top = zero;
  chart.ctx.globalAlpha = read === index ? 1 : RESTING;
  columns.forEach((column, number) => {
    const value = values[number][index];
    if (column.kind !== "bar" || !value) return;
    // A small count stays visible beside a large one.
    const height = Math.max(2 * pixel, Math.round(zero - chart.valToPos(value, "y", true)));
    chart.ctx.fillStyle = colors.columns[number];
    chart.ctx.fillRect(left, top - height, width, height - (height > 4 * pixel ? pixel : 0));
    top -= height;
  });
  chart.ctx.globalAlpha = 1;
}

/** Name each line at its end. */
function drawNames(chart, { columns, values, colors, isBars }) {
  if (isBars) return;
  const { ctx } = chart;
  ctx.save();
  ctx.font = `650 ${Math.round(12 * window.devicePixelRatio)}px ${FAMILY}`;
  Object.assign(ctx, { textBaseline: "middle", textAlign: "left" });
  columns.forEach((column, number) => {
    const last = values[number].findLastIndex((value) => value !== null);
    if (last < 0) return;
    ctx.fillStyle = colors.columns[number];
    ctx.fillText(column.label, chart.valToPos(last, "x", true) + 7 * window.devicePixelRatio, chart.valToPos(values[number][last], "y", true));
  });
  ctx.restore();
}
