"use strict";
const at = id => document.getElementById(id);
const data = JSON.parse(at("data").textContent);
const types = { Uint8Array, Uint16Array, Uint32Array, Float32Array, Float64Array };
const SHOWN = 200;  // rows of the list: all of them are saved

function array({ type, bytes }) {
  const raw = Uint8Array.from(atob(bytes), c => c.charCodeAt(0));
  return new types[type](raw.buffer);
}

// Every column: is it of classes, and what does it say of row i?
const columns = data.known.map(known => {
  if (known.names) {
    const codes = array(known.codes);
    const text = i => known.names[codes[i]];
    return { ...known, codes, text, brief: text };
  }
  const values = array(known.values);
  const text = i => Number.isNaN(values[i]) ? "" : String(values[i]);
  const brief = i => text(i) && String(Number(values[i].toPrecision(6)));
  return { ...known, values, text, brief };
});
const points = array(data.points), space = data.axes === 3;
const picture = new Image();
if (data.sheet) picture.src = data.sheet.uri;

// ------------------------------------------------------- points

// Rows in a shuffled order, the same each time: no class covers the others.
const order = Uint32Array.from({ length: data.n }, (_, i) => i);
for (let i = data.n - 1, state = 1; i > 0; i--) {
  state = Math.imul(state, 1664525) + 1013904223 >>> 0;
  const j = Math.floor(state / 2 ** 32 * (i + 1));
  [order[i], order[j]] = [order[j], order[i]];
}
const place = new Uint32Array(data.n);  // of a row in that order
order.forEach((row, i) => { place[row] = i; });

const size = Math.max(3, Math.min(9, 700 / Math.sqrt(data.n))) * (space ? .5 : 1);
const opacity = Math.max(.45, Math.min(.9, (5e3 / data.n) ** .4));
const faint = space ? .02 : .06;

// The points of the rows that `holds`, with room for the others, so that a point has
// one number in all traces.
function trace(marker, holds) {
  const along = k => Float32Array.from(
    order, row => holds(row) ? points[data.axes * row + k] : NaN);
  const kind = space ? { type: "scatter3d", z: along(2) }
    : { type: "scattergl", unselected: { marker: { opacity: faint } } };
  return { x: along(0), y: along(1), ...kind, mode: "markers", hoverinfo: "none",
    marker: { size, opacity, line: { width: 0 }, ...marker } };
}

// What a column makes of the points: a marker, and the rows that have it.
function markers(column) {
  if (!column) return [[{ color: data.plain }, () => true]];
  const each = of => Array.from(order, of);
  if (column.names) {
    return [[{ color: each(row => column.colors[column.codes[row]]) }, () => true]];
  }
  const missing = row => Number.isNaN(column.values[row]);
  const known = column.values.filter(value => !Number.isNaN(value));
  const cmin = known.reduce((a, b) => Math.min(a, b));
  const cmax = known.reduce((a, b) => Math.max(a, b));
  const scale = { color: each(row => column.values[row]), showscale: true, cmin, cmax,
    colorscale: "Viridis",
    colorbar: { thickness: 12, outlinewidth: 0, y: .47, len: .94 } };
  return [[{ color: data.missing }, missing], [scale, row => !missing(row)]];
}

// In space, points that are not chosen are traces of their own, which fade.
function traces(column) {
  const parts = markers(column), among = new Set(chosen);
  if (!space || !chosen) return parts.map(part => trace(...part));
  return parts.flatMap(([marker, holds]) => [
    trace({ ...marker, opacity: faint }, row => holds(row) && !among.has(row)),
    trace({ ...marker, showscale: false }, row => holds(row) && among.has(row))]);
}

const plot = at("plot");
const axis = { visible: false, fixedrange: false };
const scene = { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data",
  dragmode: "orbit", camera: { eye: { x: 1, y: 1, z: .8 } } };
const plane = { dragmode: "lasso", xaxis: axis, yaxis: { ...axis, scaleanchor: "x" } };
const layout = { hovermode: "closest", showlegend: false, hoverdistance: 12,
  margin: { l: 8, r: 8, t: 8, b: 8 }, ...space ? { scene } : plane,
  paper_bgcolor: "#0000", plot_bgcolor: "#0000",
  modebar: { bgcolor: "#0000", color: "#9aa5b0", activecolor: "#1c2733" } };
const buttons = space
  ? ["orbitRotation", "tableRotation", "pan3d", "zoom3d", "resetCameraLastSave3d"]
  : ["lasso2d", "select2d", "pan2d", "zoom2d", "resetScale2d"];
const config = { responsive: true, scrollZoom: true, displaylogo: false,
  modeBarButtons: [buttons] };
let chosen = null;  // rows, or null for all
let shown = null;  // the column that colors the points

function draw(column) {
  shown = column;
  key(column);
  const drawn = Plotly.react(plot, traces(column), layout, config);
  return space ? drawn : drawn.then(emphasize).then(() => write(middles(column)));
}

// Points that are not chosen fade; the line of the lasso goes.
function emphasize() {
  if (space) return Plotly.react(plot, traces(shown), layout, config);
  const points = chosen && chosen.map(row => place[row]);
  return Plotly.update(plot, { selectedpoints: [points] }, { selections: [] });
}

// ------------------------------------------------------- names among the points

const LETTERS = { size: 12, weight: 600, color: "#1c2733", family:
  'system-ui, "Segoe UI", "DejaVu Sans", sans-serif' };
const LONG = 24, GAP = 2, LINE = 16;  // characters; pixels between names, and of a line
const pen = document.createElement("canvas").getContext("2d");
pen.font = `${LETTERS.weight} ${LETTERS.size}px ${LETTERS.family}`;

// The name of each class and the medians of its points, the largest class first.
function middles(column) {
  if (!column || !column.names) return [];
  const rows = column.names.map(() => []);
  column.codes.forEach((code, row) => rows[code].push(row));
  const median = (own, k) => {
    const sorted = Float64Array.from(own, row => points[2 * row + k]).sort();
    return (sorted[sorted.length - 1 >> 1] + sorted[sorted.length >> 1]) / 2;
  };
  const made = column.names.map((name, code) => ({ count: rows[code].length,
    text: name.length > LONG ? `${name.slice(0, LONG - 1)}…` : name,
    x: median(rows[code], 0), y: median(rows[code], 1) }));
  return made.filter(({ text }) => text).sort((a, b) => b.count - a.count);
}

// Which boxes [left, top, right, bottom] cover none that came before and is kept.
function uncovered(boxes) {
  const apart = (a, b) => a[0] >= b[2] || b[0] >= a[2] || a[1] >= b[3] || b[1] >= a[3];
  return boxes.reduce((kept, box, i) =>
    kept.every(k => apart(boxes[k], box)) ? [...kept, i] : kept, []);
}

let names = [];

// The names that are in sight and have room; zooming in makes room for others.
function write(all) {
  names = all;
  const { xaxis, yaxis } = plot._fullLayout;
  const seen = names.filter(({ x, y }) => {
    const [left, top] = [xaxis.c2p(x), yaxis.c2p(y)];
    return left > 0 && left < xaxis._length && top > 0 && top < yaxis._length;
  });
  const boxes = seen.map(({ text, x, y }) => {
    const [left, top] = [xaxis.c2p(x), yaxis.c2p(y)];
    const half = pen.measureText(text).width / 2 + GAP;
    return [left - half, top - LINE / 2 - GAP, left + half, top + LINE / 2 + GAP];
  });
  const plain = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const annotations = uncovered(boxes).map(i => ({ x: seen[i].x, y: seen[i].y,
    text: plain(seen[i].text), showarrow: false, font: LETTERS, borderpad: 1,
    bgcolor: "#fbfaf6c0" }));
  return Plotly.relayout(plot, { annotations });
}

// ------------------------------------------------------- what the colors mean

function element(name, text = "") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function key(column) {
  at("key").replaceChildren();
  if (!column || !column.names) return;
  const counts = new Uint32Array(column.names.length);
  for (const code of column.codes) counts[code]++;
  column.names.forEach((name, code) => {
    const button = element("button"), dot = element("i");
    dot.style.background = column.colors[code];
    button.type = "button";
    button.append(dot, element("span", name || "–"), element("small", counts[code]));
    button.onclick = () => choose(rowsWhere(row => column.codes[row] === code));
    const item = element("li");
    item.append(button);
    at("key").append(item);
  });
}

// ------------------------------------------------------- rows that are chosen

function rowsWhere(holds) {
  const found = [];
  for (let row = 0; row < data.n; row++) if (holds(row)) found.push(row);
  return found;
}

function choose(rows) {
  chosen = rows;
  const count = rows ? rows.length : data.n, some = rows && rows.length > 0;
  const word = count === 1 ? "row" : "rows";
  at("count").textContent = `${count.toLocaleString("en")} ${word}`;
  at("save").disabled = !some;
  at("clear").disabled = !rows;
  at("rows").replaceChildren(...(rows || []).slice(0, SHOWN).map(listed));
  if (count > SHOWN && rows) at("rows").append(element("li", "…"));
  return emphasize();
}

function listed(row) {
  const item = element("li");
  item.append(...described(row, 40));
  return item;
}

function described(row, side) {
  const list = element("dl");
  list.append(element("dt", "row"), element("dd", row));
  for (const column of columns) {
    list.append(element("dt", column.name), element("dd", column.brief(row)));
  }
  return data.sheet ? [thumbnail(row, side), list] : [list];
}

function thumbnail(row, side) {
  const { across, width, height } = data.sheet, canvas = element("canvas");
  const scale = side / Math.max(width, height);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const from = [row % across * width, Math.floor(row / across) * height];
  const box = [...from, width, height, 0, 0, canvas.width, canvas.height];
  picture.decode().then(() => canvas.getContext("2d").drawImage(picture, ...box));
  return canvas;
}

function search() {
  const words = at("find").value.trim().toLowerCase();
  if (!words) return choose(null);
  const holds = columns.map(column => {
    if (!column.names) return row => column.text(row) === words;
    const has = column.names.map(name => name.toLowerCase().includes(words));
    return row => has[column.codes[row]];
  });
  return choose(rowsWhere(row => String(row) === words || holds.some(f => f(row))));
}

function csv(rows) {
  const quoted = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  // a name that a spreadsheet would run as a formula has an apostrophe before it
  const plain = text => /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  const cell = (column, row) => column.names ? plain(column.text(row)) : column.text(row);
  const head = ["row", ...columns.map(column => plain(column.name))];
  const cells = row => [String(row), ...columns.map(column => cell(column, row))];
  return [head, ...rows.map(cells)].map(line => line.map(quoted).join(",") + "\n").join("");
}

function save() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv(chosen)], { type: "text/csv" }));
  link.download = "rows.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

// ------------------------------------------------------- the mouse

let pointer = { clientX: 0, clientY: 0 };  // which events of a scene do not have
addEventListener("mousemove", event => { pointer = event; }, true);

function show({ points: [{ pointNumber }] }) {
  const card = at("card");
  card.replaceChildren(...described(order[pointNumber], 96));
  card.hidden = false;
  const right = pointer.clientX + 16, below = pointer.clientY + 16;
  const left = pointer.clientX - card.offsetWidth - 16;
  card.style.left = `${right + card.offsetWidth < innerWidth ? right : left}px`;
  card.style.top = `${Math.min(below, innerHeight - card.offsetHeight - 8)}px`;
}

function hide() { at("card").hidden = true; }

function lassoed(event) {
  if (!event || !(event.lassoPoints || event.range)) return;  // its line has gone
  at("find").value = "";
  const rows = event.points.map(point => order[point.pointNumber]);
  choose([...new Set(rows)].sort((a, b) => a - b));
}

const colored = columns.filter(column => !column.names || column.colors.length);
at("by").append(...colored.map(column => element("option", column.name)));
at("coloring").hidden = !colored.length;
at("by").onchange = () => draw(colored[at("by").selectedIndex]);
at("find").oninput = search;
at("save").onclick = save;
at("clear").onclick = () => { at("find").value = ""; return choose(null); };
addEventListener("keydown", event => {
  if (event.key === "Escape") at("clear").click();
});
draw(colored[0]).then(() => {
  plot.on("plotly_hover", show);
  plot.on("plotly_unhover", hide);
  plot.on("plotly_selecting", hide);
  plot.on("plotly_selected", lassoed);
  plot.on("plotly_deselect", () => choose(null));
  plot.on("plotly_relayout", moved => space || "annotations" in moved || write(names));
  return choose(null);
}).then(() => { document.body.dataset.ready = "true"; });
