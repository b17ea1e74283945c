// The faces of one camera: each with its picture, its emotion, and a bar for every emotion.

import { percent, trackColour } from "./emotions.js";
import { emotion, say } from "./language.js";

const STAYS = 700; // ms that a face stays when it is not found for a moment
const TEXT_EVERY = 200; // ms; figures that change faster cannot be read
const CUT_EVERY = 150; // ms
const MOST = 12; // cards, where the camera is one of many
const MOST_ALONE = 64;

export class Faces extends EventTarget {
  most = MOST;
  #box;
  #more;
  #picture;
  #shown = new Map();
  #count = 0;
  #cutAt = 0;
  #lit = null;
  #template = document.getElementById("face");

  /** @param box holds the cards; `more` says how many are not in sight; `picture` is what faces are cut from. */
  constructor(box, more, picture) {
    super();
    this.#box = box;
    this.#more = more;
    this.#picture = picture;
    box.addEventListener("scroll", () => this.count(), { passive: true });
    new ResizeObserver(() => requestAnimationFrame(() => this.count())).observe(box);
    box.addEventListener("pointerover", (event) => this.#point(event.pointerType === "mouse" ? trackOf(event.target) : null));
    box.addEventListener("pointerleave", () => this.#point(null));
    box.addEventListener("click", (event) => this.#point(trackOf(event.target)));
    box.addEventListener("focusin", (event) => this.#point(trackOf(event.target)));
    box.addEventListener("focusout", () => this.#point(null));
    box.addEventListener("keydown", (event) => this.#go(event));
    this.say("");
    this.count();
  }

  alone(yes) {
    this.most = yes ? MOST_ALONE : MOST;
  }

  /** What stands here where there is no face. */
  say(text) {
    if (this.#box.dataset.nobody !== text) this.#box.dataset.nobody = text;
  }

  /** Show the faces of a result. */
  update(result, now) {
    const all = result.faces.filter((face) => face.confirmed);
    const id = (face) => `${result.epoch} ${face.track}`;
    const rank = (face) => (this.#shown.has(id(face)) ? 1e9 : 0) + face.box[2] * face.box[3];
    const faces = all.length > this.most ? [...all].sort((a, b) => rank(b) - rank(a)).slice(0, this.most) : all;
    for (const face of faces) {
      const panel = this.#shown.get(id(face)) ?? this.#make(id(face), face);
      panel.seen = now;
      panel.face = face;
      this.#fill(panel, now);
    }
    for (const [each, panel] of this.#shown) {
      panel.root.classList.toggle("gone", panel.seen !== now);
      if (now - panel.seen > STAYS || (result.cut && panel.seen !== now)) this.#remove(each, panel);
    }
    this.#count = Math.max(all.length, this.#shown.size);
    this.#box.classList.toggle("nobody", this.#shown.size === 0);
    this.count();
  }

  /** Nothing is known of any face any more. */
  clear() {
    for (const [id, panel] of this.#shown) this.#remove(id, panel);
    this.#count = 0;
    this.#box.classList.add("nobody");
    this.count();
  }

  #remove(id, panel) {
    panel.root.remove();
    this.#shown.delete(id);
  }

  /** Say how many faces are not in sight. */
  count() {
    const box = this.#box.getBoundingClientRect();
    let seen = 0;
    if (box.width) {
      for (const { root } of this.#shown.values()) {
        const card = root.getBoundingClientRect();
        const across = Math.min(card.right, box.right) - Math.max(card.left, box.left);
        const down = Math.min(card.bottom, box.bottom) - Math.max(card.top, box.top);
        seen += across > card.width * 0.6 && down > card.height * 0.6;
      }
    }
    const text = this.#count > seen ? say("camera.more", { n: this.#count - seen }) : "";
    if (this.#more.textContent !== text) this.#more.textContent = text;
    this.#more.hidden = !text;
    const label = say("camera.faces", { n: this.#count });
    if (this.#box.getAttribute("aria-label") !== label) this.#box.setAttribute("aria-label", label);
  }

  /** Cut the faces out of the picture that is shown now, which comes with where they are in this very frame. */
  cut({ epoch, width, faces }) {
    const scale = this.#picture.width / width;
    if (!scale || !Number.isFinite(scale)) return;
    const now = performance.now();
    const all = now - this.#cutAt >= CUT_EVERY;
    if (all) this.#cutAt = now;
    for (const face of faces) {
      const panel = this.#shown.get(`${epoch} ${face.track}`);
      if (!panel || (panel.has && !all)) continue;
      panel.has = true;
      const [x, y, w, h] = face.box.map((v) => v * scale);
      const side = Math.max(w, h);
      const { thumb } = panel;
      thumb.drawImage(this.#picture, x + (w - side) / 2, y + (h - side) / 2, side, side, 0, 0, thumb.canvas.width, thumb.canvas.height);
    }
  }

  /** Mark the card of this face, as its box is pointed at; null: none. */
  light(track) {
    this.#lit = track;
    for (const panel of this.#shown.values()) panel.root.classList.toggle("lit", panel.track === track);
  }

  #point(track) {
    this.dispatchEvent(new CustomEvent("light", { detail: track }));
  }

  /** Up and down go from card to card. */
  #go(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const cards = [...this.#box.children];
    if (!step || !cards.length) return;
    event.preventDefault();
    event.stopPropagation();
    const at = cards.indexOf(document.activeElement);
    cards[Math.max(0, Math.min(cards.length - 1, at + step))].focus();
  }

  #make(id, face) {
    const root = this.#template.content.firstElementChild.cloneNode(true);
    const list = root.querySelector("ul");
    const rows = Object.keys(face.probabilities).map((name) => {
      const row = list.appendChild(document.createElement("li"));
      const label = row.appendChild(document.createElement("span"));
      label.textContent = emotion(name);
      const bar = row.appendChild(document.createElement("i"));
      bar.className = "bar";
      const fill = bar.appendChild(document.createElement("b"));
      fill.style.background = `var(--${name}, var(--accent))`;
      return { name, row, fill, figure: row.appendChild(document.createElement("span")) };
    });
    const panel = {
      root,
      rows,
      track: face.track,
      main: root.querySelector(".main"),
      which: root.querySelector(".which"),
      thumb: root.querySelector("canvas").getContext("2d"),
      told: 0,
      has: false,
    };
    root.dataset.track = face.track;
    root.querySelector(".number").textContent = face.track;
    root.style.setProperty("--own", trackColour(face.track));
    root.classList.toggle("lit", face.track === this.#lit);
    const next = [...this.#shown.values()].find((other) => other.track > face.track);
    this.#box.insertBefore(root, next?.root ?? null);
    this.#shown.set(id, panel);
    return panel;
  }

  #fill(panel, now) {
    const { face } = panel;
    const values = face.probabilities;
    const name = face.emotion;
    const write = now - panel.told >= TEXT_EVERY;
    for (const row of panel.rows) {
      const share = values[row.name] ?? 0;
      row.fill.style.setProperty("--share", share);
      row.row.classList.toggle("best", row.name === name);
      if (write) {
        row.figure.textContent = percent(share);
        row.row.title = `${emotion(row.name)} ${percent(share)}`;
      }
    }
    if (!write) return;
    panel.told = now;
    panel.main.textContent = emotion(face.uncertain ? "uncertain" : name);
    panel.root.classList.toggle("uncertain", face.uncertain);
    panel.which.firstChild.textContent = `${say("camera.face", { track: String(face.track) })} · `;
    panel.which.lastChild.textContent = percent(face.confidence);
    panel.root.setAttribute("aria-label", say("camera.face_says", { track: String(face.track), emotion: panel.main.textContent }));
  }
}

function trackOf(target) {
  const card = target.closest?.(".face");
  return card ? Number(card.dataset.track) : null;
}
