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
const xy = array(data.xy);
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

const size = Math.max(3, Math.min(9, 700 / Math.sqrt(data.n)));
const opacity = Math.max(.45, Math.min(.9, (5e3 / data.n) ** .4));

// The points of the rows that `holds`, with room for the others, so that a point has
// one number in all traces.
function trace(marker, holds = () => true) {
  const along = k => row => holds(row) ? xy[2 * row + k] : NaN;
  const coordinate = k => Float32Array.from(order, along(k));
  return { x: coordinate(0), y: coordinate(1), type: "scattergl", mode: "markers",
    hoverinfo: "none", marker: { size, opacity, line: { width: 0 }, ...marker },
    unselected: { marker: { opacity: .06 } } };
}

function traces(column) {
  if (!column) return [trace({ color: data.plain })];
  if (column.names) {
    return [trace({ color: Array.from(order, row => column.colors[column.codes[row]]) })];
  }
  const missing = row => Number.isNaN(column.values[row]);
  const scale = { color: Array.from(order, row => column.values[row]), showscale: true,
    colorscale: "Viridis",
    colorbar: { thickness: 12, outlinewidth: 0, y: .47, len: .94 } };
  return [trace({ color: data.missing }, missing), trace(scale, row => !missing(row))];
}

const plot = at("plot");
const axis = { visible: false, fixedrange: false };
const layout = { dragmode: "lasso", hovermode: "closest", showlegend: false,
  margin: { l: 8, r: 8, t: 8, b: 8 }, xaxis: axis, yaxis: { ...axis, scaleanchor: "x" },
  paper_bgcolor: "#0000", plot_bgcolor: "#0000", hoverdistance: 12,
  modebar: { bgcolor: "#0000", color: "#9aa5b0", activecolor: "#1c2733" } };
const config = { responsive: true, scrollZoom: true, displaylogo: false,
  modeBarButtons: [["lasso2d", "select2d", "pan2d", "zoom2d", "resetScale2d"]] };
let chosen = null;  // rows, or null for all

function draw(column) {
  key(column);
  return Plotly.react(plot, traces(column), layout, config).then(emphasize);
}

// Points that are not chosen fade; the line of the lasso goes.
function emphasize() {
  const points = chosen && chosen.map(row => place[row]);
  return Plotly.update(plot, { selectedpoints: [points] }, { selections: [] });
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
  const head = ["row", ...columns.map(column => column.name)];
  const cells = row => [String(row), ...columns.map(column => column.text(row))];
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

function show({ points, event }) {
  const card = at("card");
  card.replaceChildren(...described(order[points[0].pointIndex], 96));
  card.hidden = false;
  const right = event.clientX + 16, below = event.clientY + 16;
  const left = event.clientX - card.offsetWidth - 16;
  card.style.left = `${right + card.offsetWidth < innerWidth ? right : left}px`;
  card.style.top = `${Math.min(below, innerHeight - card.offsetHeight - 8)}px`;
}

function hide() { at("card").hidden = true; }

function lassoed(event) {
  if (!event || !(event.lassoPoints || event.range)) return;  // its line has gone
  at("find").value = "";
  const rows = event.points.map(point => order[point.pointIndex]);
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
  return choose(null);
}).then(() => { document.body.dataset.ready = "true"; });
