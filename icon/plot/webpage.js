const data = JSON.parse(document.getElementById("points").textContent);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const card = document.getElementById("card");
const tiles = [...document.querySelectorAll("button[data-i]")];
let kept = null;

function draw(canvas, i) {
  const d = data[i], side = Math.round(canvas.clientWidth * devicePixelRatio);
  const at = new Uint16Array(bytes(d.xy).buffer), kind = bytes(d.c);
  const dot = Math.max(1.4, Math.min(9, side / 2.2 / Math.sqrt(kind.length)));
  const pen = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  pen.globalAlpha = .85;
  for (let k = 0; k < kind.length; k++) {
    pen.fillStyle = d.colors[kind[k] % d.colors.length];
    const x = at[2 * k] / 65535 * (side - dot);
    const y = (1 - at[2 * k + 1] / 65535) * (side - dot);
    pen.fillRect(x, y, dot, dot);
  }
  pen.globalAlpha = 1;
  for (const [x, y, c] of d.rings) {
    pen.beginPath();
    pen.arc(x / 65535 * side, (1 - y / 65535) * side, side / 34, 0, 7);
    pen.fillStyle = d.colors[c % d.colors.length]; pen.fill();
    pen.lineWidth = side / 50; pen.strokeStyle = "#1c2733"; pen.stroke();
    pen.lineWidth = side / 80; pen.strokeStyle = "#fff"; pen.stroke();
  }
}

function show(tile) {
  if (tiles.length === 1) return;  // its card stands beside it
  const i = +tile.dataset.i, box = tile.getBoundingClientRect();
  const more = document.getElementById("more-" + i).cloneNode(true);
  card.replaceChildren(...more.childNodes);
  card.hidden = false;
  if (tile.querySelector("canvas")) {
    const canvas = document.createElement("canvas");
    card.querySelector("dl").before(canvas);
    draw(canvas, i);
  }
  const fits = box.right + card.offsetWidth + 12 < innerWidth;
  const left = fits ? box.right + 8 : box.left - card.offsetWidth - 8;
  const top = Math.min(box.top, innerHeight - card.offsetHeight - 8);
  card.style.left = Math.max(8, left) + "px";
  card.style.top = Math.max(8, top) + "px";
}

function hide() { card.hidden = true; kept = null; }

const middle = box => [box.left + box.width / 2, box.top + box.height / 2];
const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
  ArrowDown: [0, 1] };

function step(tile, [dx, dy]) {
  const [x, y] = middle(tile.getBoundingClientRect());
  let best = null, least = Infinity;
  for (const other of tiles) {
    const [u, v] = middle(other.getBoundingClientRect());
    const along = (u - x) * dx + (v - y) * dy;
    const aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    const far = along + 3 * aside;
    if (along > 20 && far < least) [best, least] = [other, far];
  }
  if (best) best.focus();
}

for (const tile of tiles) {
  const canvas = tile.querySelector("canvas");
  if (canvas) draw(canvas, +tile.dataset.i);
  tile.addEventListener("pointerenter", () => kept || show(tile));
  tile.addEventListener("pointerleave", () => kept || hide());
  tile.addEventListener("focus", () => { kept = null; show(tile); });
  tile.addEventListener("blur", () => kept || hide());
  tile.addEventListener("click", () => {
    if (kept === tile) hide(); else { show(tile); kept = tile; }
  });
  tile.addEventListener("keydown", event => {
    if (!(event.key in ways)) return;
    event.preventDefault();
    step(tile, ways[event.key]);
  });
}
addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
