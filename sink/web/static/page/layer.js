// Areas drawn over a picture, sharp at any size, in the pixels of the screen: what is ignored hatched, zones outlined with
// their names. The editor adds what can be held and moved.

import { between, inside, written } from "./shapes.js";

const SVG = "http://www.w3.org/2000/svg";
const LABEL = 13; // pixels

export class Layer extends EventTarget {
  svg;
  #areas = [];
  #size = { width: 16, height: 9 };
  #room = null;
  #drawn = "";
  /** What the editor wants besides: `{ chosen, draft, cursor, labels }`. */
  #held = null;

  /** @param svg lies over the picture, which is fitted into the same box. */
  constructor(svg) {
    super();
    this.svg = svg;
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  /** The areas of a picture of this shape. */
  show(areas, width, height) {
    this.#areas = areas;
    if (width && height) this.#size = { width, height };
    this.#draw();
  }

  hold(held) {
    this.#held = held;
    this.#draw();
  }

  get areas() {
    return this.#areas;
  }

  /** Where an event happened, in fractions of the picture; may lie outside of it. */
  at(event) {
    const box = this.svg.getBoundingClientRect();
    const { left, top, width, height } = this.#room;
    return [(event.clientX - box.left - left) / width, (event.clientY - box.top - top) / height];
  }

  /** How far apart two points are, in pixels of the screen. */
  distance([a, b], [c, d]) {
    return Math.hypot((a - c) * this.#room.width, (b - d) * this.#room.height);
  }

  /** The last area, as the one drawn last lies above the others, that holds a point; -1: none does. */
  under(point) {
    return this.#areas.findLastIndex(({ points }) => inside(points, point));
  }

  /** The handle of a corner of the chosen area, to give it the focus. */
  handle(corner) {
    return this.svg.querySelector(`[data-corner="${corner}"]`);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.svg;
    if (!clientWidth) return false;
    const scale = Math.min(clientWidth / this.#size.width, clientHeight / this.#size.height);
    const [width, height] = [this.#size.width * scale, this.#size.height * scale];
    this.#room = { left: (clientWidth - width) / 2, top: (clientHeight - height) / 2, width, height };
    return true;
  }

  #place([x, y]) {
    const { left, top, width, height } = this.#room;
    return [left + x * width, top + y * height].map((value) => Math.round(value * 10) / 10);
  }

  #text(points) {
    return points.map((point) => this.#place(point).join()).join(" ");
  }

  #draw() {
    if (!this.#fit()) return;
    const held = this.#held;
    const key = JSON.stringify([this.#room, this.#areas, held]);
    if (key === this.#drawn) return; // the status comes once a second, and is the same
    this.#drawn = key;
    const focus = this.svg.contains(document.activeElement) ? document.activeElement.dataset.corner : undefined;
    const parts = this.#areas.flatMap((area, n) => this.#area(area, held?.chosen === n));
    if (held) parts.push(...this.#handles(held));
    this.svg.replaceChildren(...parts);
    for (const text of this.svg.querySelectorAll(".zone-name")) {
      const most = this.svg.clientWidth - text.getComputedTextLength() - 4;
      text.setAttribute("x", Math.max(4, Math.min(text.getAttribute("x"), most))); // all of it is seen
    }
    if (focus !== undefined) this.handle(focus)?.focus();
    this.dispatchEvent(new Event("drawn"));
  }

  #area({ kind, name, points }, chosen) {
    const shape = { points: this.#text(points) };
    const classes = `${kind}${chosen ? " chosen" : ""}`;
    const parts = [make("polygon", { ...shape, class: `rim ${classes}` }), make("polygon", { ...shape, class: classes, "data-area": written(points) })];
    if (kind === "zone") parts.push(this.#label(name, points));
    return parts;
  }

  /** The name of a zone, inside at its uppermost corner. */
  #label(name, points) {
    const top = Math.min(...points.map(([, y]) => y));
    const left = Math.min(...points.filter(([, y]) => y - top < 0.02).map(([x]) => x));
    const [x, y] = this.#place([left, top]);
    const text = make("text", { x: Math.max(4, x + 6), y: Math.max(LABEL + 2, y + LABEL + 4), class: "zone-name" });
    text.textContent = name;
    return text;
  }

  #handles({ chosen, draft, cursor, labels }) {
    const parts = [];
    const dot = (point, r, about) => {
      const [cx, cy] = this.#place(point);
      return make("circle", { cx, cy, r, ...about });
    };
    const grip = (point, r, about) => {
      // What a finger can hit is larger than what is seen.
      const group = make("g", about);
      group.append(dot(point, 18, { class: "reach" }), dot(point, r, { class: "seen" }));
      return group;
    };
    const area = this.#areas[chosen];
    if (area && !draft) {
      area.points.forEach((point, n) => parts.push(grip(between(point, area.points[(n + 1) % area.points.length]), 4, { class: "middle", "data-middle": n, "aria-hidden": "true" })));
      area.points.forEach((point, n) => parts.push(grip(point, 7, { class: "corner", "data-corner": n, tabindex: 0, role: "button", "aria-label": labels.corner(n, point) })));
    }
    if (draft) {
      const line = [...draft, ...(cursor ? [cursor] : [])];
      for (const style of ["rim", "line"]) parts.push(make("polyline", { points: this.#text(line), class: `draft ${style}` }));
      draft.forEach((point, n) => parts.push(dot(point, n === 0 ? 8 : 5, { class: n === 0 ? "first" : "set" })));
    }
    if (cursor) {
      const [x, y] = this.#place(cursor);
      for (const style of ["rim", "line"]) parts.push(make("path", { d: `M${x - 14} ${y}h10m8 0h10M${x} ${y - 14}v10m0 8v10`, class: `cursor ${style}` }));
    }
    return parts;
  }
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
