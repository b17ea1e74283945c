// Faces that never change: each is offered once, to be ignored.

import { say } from "./language.js";

const KEY = "no-posters";
const KEPT = 100;

/** For how long a face has not moved, for people. */
const offered = ({ track, seconds }) =>
  seconds < 90 ? say("areas.poster_seconds", { track, n: Math.round(seconds) }) : say("areas.poster_minutes", { track, n: Math.round(seconds / 60) });

export class Posters extends EventTarget {
  #root;
  #camera;
  #offers = [];
  #declined;
  #failed = { area: "", why: "" };

  /** @param root shows one offer at a time. */
  constructor(camera, root) {
    super();
    this.#camera = camera;
    this.#root = root;
    this.#declined = remembered();
    root.querySelector(".yes").addEventListener("click", () => this.#accept());
    root.querySelector(".no").addEventListener("click", () => this.#decline());
  }

  /** What the server offers: `{ track, seconds, area }` each. */
  show(offers) {
    this.#offers = offers;
    this.#draw();
  }

  #accept() {
    const [offer] = this.#open;
    if (!offer) return;
    this.dispatchEvent(new CustomEvent("ignore", { detail: offer.area }));
  }

  #decline() {
    const [offer] = this.#open;
    if (offer) this.forget(offer.area);
  }

  /** Say why this one could not be ignored, for as long as it is offered. */
  fail(area, why) {
    this.#failed = { area, why };
    this.#draw();
  }

  /** Offer this one no more in this browser. */
  forget(area) {
    this.#declined.add(this.#key(area));
    try {
      localStorage.setItem(KEY, JSON.stringify([...this.#declined].slice(-KEPT)));
    } catch {
      // it lasts as long as this page, then
    }
    this.#draw();
  }

  get #open() {
    return this.#offers.filter(({ area }) => !this.#declined.has(this.#key(area)));
  }

  #key(area) {
    return `${this.#camera} ${area}`;
  }

  #draw() {
    const [offer] = this.#open;
    this.#root.hidden = !offer;
    const text = !offer ? "" : offer.area === this.#failed.area ? this.#failed.why : offered(offer);
    const line = this.#root.querySelector("span");
    if (line.textContent !== text) line.textContent = text;
  }
}

function remembered() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return new Set(Array.isArray(kept) ? kept.filter((each) => typeof each === "string") : []);
  } catch {
    return new Set();
  }
}
