// The faces of one camera: each with its picture, its emotion, and a bar for every emotion.

import { percent } from "./emotions.js";

const STAYS = 700; // ms that a face stays when it is not found for a moment
const TEXT_EVERY = 200; // ms; figures that change faster cannot be read
const CUT_EVERY = 150; // ms
const MOST = 12;

export class Faces {
  #box;
  #image;
  #shown = new Map();
  #cutAt = 0;
  #template = document.getElementById("face");

  constructor(box, image) {
    this.#box = box;
    this.#image = image;
  }

  /** Show the faces of a result. */
  update(result, now) {
    const faces = result.faces.filter((face) => face.confirmed).slice(0, MOST);
    for (const face of faces) {
      const id = `${result.epoch} ${face.track}`;
      const panel = this.#shown.get(id) ?? this.#make(id, face);
      panel.seen = now;
      panel.face = face;
      this.#fill(panel, now);
    }
    for (const [id, panel] of this.#shown) {
      panel.root.classList.toggle("gone", panel.seen !== now);
      if (now - panel.seen > STAYS) {
        panel.root.remove();
        this.#shown.delete(id);
      }
    }
    this.#box.classList.toggle("nobody", this.#shown.size === 0);
  }

  /** Cut the faces out of the picture that is shown now, `boxes` being where they are in this very frame. */
  cut({ epoch, width, boxes }) {
    const scale = this.#image.naturalWidth / width;
    if (!scale || !Number.isFinite(scale)) return;
    const now = performance.now();
    const all = now - this.#cutAt >= CUT_EVERY;
    if (all) this.#cutAt = now;
    for (const [id, panel] of this.#shown) {
      const { thumb, track } = panel;
      const box = id === `${epoch} ${track}` ? boxes[track] : null;
      if (!box || (panel.has && !all)) continue;
      panel.has = true;
      const [x, y, w, h] = box.map((v) => v * scale);
      thumb.drawImage(this.#image, x, y, w, h, 0, 0, thumb.canvas.width, thumb.canvas.height);
    }
  }

  #make(id, face) {
    const root = this.#template.content.firstElementChild.cloneNode(true);
    const list = root.querySelector("ul");
    const rows = Object.keys(face.probabilities).map((name) => {
      const row = list.appendChild(document.createElement("li"));
      const label = row.appendChild(document.createElement("span"));
      label.textContent = name;
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
      if (write) row.figure.textContent = percent(share);
    }
    if (!write) return;
    panel.told = now;
    panel.root.style.setProperty("--own", `var(--${name}, var(--accent))`);
    panel.main.textContent = face.uncertain ? "uncertain" : name;
    panel.root.classList.toggle("uncertain", face.uncertain);
    panel.which.textContent = `face ${face.track} · ${percent(face.confidence)}`;
    panel.root.setAttribute("aria-label", `Face ${face.track}: ${panel.main.textContent}`);
  }
}
