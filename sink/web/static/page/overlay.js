// What is drawn over a picture: boxes, labels, landmarks, paths. Sharp at any size, since it is drawn in the pixels of
// the screen.

import { percent, trackColour } from "./emotions.js";
import { emotion } from "./language.js";

const DARK = "rgb(10 12 16 / 82%)";
const LIGHT = "#fff";
const PATH_MS = 2000; // how long a path reaches back
const GAP = 2; // pixels between a box and its label
const TINY = 1 / 8; // a label may lie on its own face where it hides no more of its height

const BESIDE = 3; // the first of the spots beside a box, which a label leaves as soon as it can

/** What the label of a face says, the longer first. */
export function wordings(face, percentages) {
  if (face.uncertain) return [emotion("uncertain"), ""];
  const name = emotion(face.emotion);
  return [percentages ? `${name} ${percent(face.confidence)}` : name, ""];
}

/** Places for labels. Pure. The largest faces come first; a label that would cover a face or another label gives way:
 * first it says the number only, then nothing. Faces that are pointed at are always told.
 *
 * @param faces `{ track, box: [x, y, width, height], words: [...], lit }`, pixels of the screen.
 * @param room `{ width, height }` of the picture.
 * @param measure width of a label with these words.
 * @param height of a label.
 * @param kept rectangles that are taken by something else.
 * @param before where each track's label was, so that it stays there: `Map` from track to a number; changed.
 * @returns `{ face, words, x, y, width }` for each label. */
export function place(faces, room, measure, height, kept = [], before = new Map()) {
  const ordered = [...faces].sort((a, b) => b.lit - a.lit || b.box[2] * b.box[3] - a.box[2] * a.box[3]);
  const taken = [...kept, ...faces.map((face) => face.box)];
  const placed = [];
  for (const face of ordered) {
    const label = fitting(face, room, measure, height, taken, before.get(face.track));
    if (!label) {
      before.delete(face.track);
      continue;
    }
    if (label.spot < BESIDE) before.set(face.track, label.spot);
    else before.delete(face.track);
    taken.push([label.x, label.y, label.width, height]);
    placed.push(label);
  }
  return placed;
}

function fitting(face, room, measure, height, taken, before) {
  for (const words of face.words) {
    const width = measure(words);
    if (words && !face.lit && width > 3 * face.box[2] + 40) continue; // nobody could tell whose it is
    const spots = around(face.box, width, height, room);
    const order = spots.map((_, spot) => spot).sort((a, b) => (b === before) - (a === before) || a - b);
    for (const spot of order) {
      const [x, y] = spots[spot];
      const own = spot === spots.length - 1;
      if (own && (height > face.box[3] * TINY || width > face.box[2])) continue;
      if (x < 0 || y < 0 || x + width > room.width || y + height > room.height) continue;
      const rect = [x, y, width, height];
      if (taken.some((other) => !(own && other === face.box) && overlap(rect, other))) continue;
      return { face, words, x, y, width, spot };
    }
  }
  if (!face.lit) return null;
  const width = measure(face.words[0]);
  const [x, y] = around(face.box, width, height, room)[0];
  return { face, words: face.words[0], x, y: Math.max(0, y), width, spot: 0 };
}

/** Above, below, beside a box; at last, along its own upper edge. */
function around([x, y, w, h], width, height, room) {
  const clamp = (at) => Math.max(0, Math.min(at, room.width - width));
  return [
    [clamp(x), y - height - GAP],
    [clamp(x), y + h + GAP],
    [clamp(x + w - width), y - height - GAP],
    [x + w + GAP, Math.max(0, y)],
    [x - width - GAP, Math.max(0, y)],
    [clamp(Math.max(0, x)), Math.max(0, y)],
  ];
}

const overlap = ([x, y, w, h], [a, b, c, d]) => x < a + c && a < x + w && y < b + d && b < y + h;

export class Overlay extends EventTarget {
  #canvas;
  #context;
  #told = null;
  #size = { width: 0, height: 0 };
  #spots = new Map();
  #paths = new Map();
  #hover = null;
  #pinned = null;
  #lit = null;
  #switches;
  #title;

  /** @param canvas lies over the picture, and is as large; `title` may lie over both. */
  constructor(canvas, switches, title) {
    super();
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#switches = switches;
    this.#title = title;
    switches.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.#point(this.#under(event)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("click", (event) => {
      const track = this.#under(event);
      this.#pinned = track === this.#pinned ? null : track;
      this.#point(this.#hover);
    });
  }

  /** The faces of the picture that is shown now, which is `width` by `height` pixels of the boxes' frame. */
  show(told, height) {
    if (this.#told?.epoch !== told.epoch) this.#paths.clear();
    this.#told = told;
    this.#size = { width: told.width, height };
    const now = performance.now();
    for (const { track, box } of told.faces) {
      const path = this.#paths.get(track) ?? [];
      path.push([box[0] + box[2] / 2, box[1] + box[3] / 2, now]);
      while (now - path[0][2] > PATH_MS) path.shift();
      this.#paths.set(track, path);
    }
    for (const [track, path] of this.#paths) if (now - path.at(-1)[2] > PATH_MS) this.#paths.delete(track);
    this.draw();
  }

  /** Point at a face, as one whose card is looked at; null: at none. */
  light(track) {
    this.#lit = track;
    this.draw();
  }

  draw() {
    const { clientWidth, clientHeight } = this.#canvas;
    const dense = Math.min(3, devicePixelRatio || 1);
    const [width, height] = [Math.round(clientWidth * dense), Math.round(clientHeight * dense)];
    if (this.#canvas.width !== width || this.#canvas.height !== height) [this.#canvas.width, this.#canvas.height] = [width, height];
    this.#context.setTransform(dense, 0, 0, dense, 0, 0);
    this.#context.clearRect(0, 0, clientWidth, clientHeight);
    this.paint(this.#context, clientWidth, clientHeight);
  }

  /** Draw it all on a picture that fits into this room, and say which labels there are. */
  paint(context, width, height) {
    if (!this.#told || !width || !this.#size.width) return;
    const scale = Math.min(width / this.#size.width, height / this.#size.height);
    const room = { width: this.#size.width * scale, height: this.#size.height * scale };
    context.save();
    context.translate((width - room.width) / 2, (height - room.height) / 2);
    const faces = this.#told.faces.map((face) => ({
      ...face,
      colour: trackColour(face.track),
      box: face.box.map((v) => v * scale),
      words: wordings(face, this.#switches.now.percentages),
      lit: [this.#hover, this.#pinned, this.#lit].includes(face.track),
    }));
    const on = this.#switches.now;
    const line = Math.max(1.5, Math.min(3, room.width / 480));
    if (on.paths) for (const face of faces) this.#path(context, face, scale, line);
    if (on.boxes) for (const face of faces) outline(context, face, line);
    if (on.landmarks) for (const face of faces) points(context, face, scale);
    const size = Math.max(11, Math.min(16, room.width / 55));
    context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
    const measure = (words, number = "00") => Math.ceil(context.measureText(words).width + context.measureText(number).width + size * (words ? 1.3 : 0.7));
    const spoken = on.labels ? faces : faces.filter((face) => face.lit);
    const labels = place(spoken, room, measure, Math.round(size * 1.5), this.#kept(width, height, room), this.#spots);
    for (const label of labels) write(context, label, size);
    if (context === this.#context) this.#canvas.dataset.labels = labels.filter((label) => label.words).length;
    context.restore();
  }

  /** Where the camera's name lies over the picture, as it does where there is little room. */
  #kept(width, height, room) {
    const [name, own] = [this.#title, this.#canvas].map((element) => element.getBoundingClientRect());
    if (name.bottom <= own.top || !own.width) return [];
    return [[(room.width - width) / 2, (room.height - height) / 2, name.right - own.left + 4, name.bottom - own.top + 2]];
  }

  #path(context, { track, colour }, scale, line) {
    const path = this.#paths.get(track) ?? [];
    context.beginPath();
    for (const [x, y] of path) context.lineTo(x * scale, y * scale);
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.stroke();
  }

  #point(track) {
    this.#hover = track;
    this.#canvas.classList.toggle("on-face", track !== null);
    this.dispatchEvent(new CustomEvent("light", { detail: track ?? this.#pinned }));
    this.draw();
  }

  /** The track under the pointer; of several, that of the smallest box. */
  #under(event) {
    if (!this.#told) return null;
    const { clientWidth, clientHeight } = this.#canvas;
    const scale = Math.min(clientWidth / this.#size.width, clientHeight / this.#size.height);
    const x = (event.offsetX - (clientWidth - this.#size.width * scale) / 2) / scale;
    const y = (event.offsetY - (clientHeight - this.#size.height * scale) / 2) / scale;
    const slack = event.pointerType === "mouse" ? 0 : 12 / scale;
    const hit = this.#told.faces.filter(
      ({ box: [a, b, w, h] }) => x >= a - slack && x <= a + w + slack && y >= b - slack && y <= b + h + slack,
    );
    return hit.sort((p, q) => p.box[2] * p.box[3] - q.box[2] * q.box[3])[0]?.track ?? null;
  }
}

function outline(context, { box: [x, y, w, h], colour, lit, missed }, line) {
  context.setLineDash(missed ? [3 * line, 2 * line] : []);
  // A dark rim keeps light boxes visible on light pictures.
  for (const [width, style] of [[line + 2, "rgb(0 0 0 / 65%)"], [lit ? line + 1 : line, colour]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.strokeRect(x, y, w, h);
  }
  context.setLineDash([]);
}

function points(context, { landmarks, box, colour }, scale) {
  const radius = Math.max(1.3, Math.min(4, box[2] / 40));
  for (const [x, y] of landmarks ?? []) {
    context.beginPath();
    context.arc(x * scale, y * scale, radius, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = "rgb(0 0 0 / 65%)";
    context.stroke();
    context.fillStyle = colour;
    context.fill();
  }
}

/** A label: the face's number on its colour, as on its card, and what it shows. */
function write(context, { face, words, x, y, width }, size) {
  const height = Math.round(size * 1.5);
  const chip = words ? context.measureText("00").width + size * 0.5 : width;
  context.fillStyle = DARK;
  context.fillRect(x, y, width, height);
  context.fillStyle = face.colour;
  context.fillRect(x, y, chip, height);
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.fillStyle = "#000";
  context.fillText(String(face.track), x + chip / 2, y + height / 2 + 0.5, chip - 2);
  context.textAlign = "left";
  context.fillStyle = LIGHT;
  if (words) context.fillText(words, x + chip + size * 0.4, y + height / 2 + 0.5);
}
