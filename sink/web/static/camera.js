// One camera: its picture, its faces, its timeline, and how it does.

import { Chart } from "./chart.js";
import { milliseconds, seconds } from "./emotions.js";
import { Faces } from "./faces.js";

export class Camera extends EventTarget {
  name;
  root;
  state = "waiting";
  #image;
  #faces;
  #chart;
  #status = null;
  #statusAt = 0;
  #next = null;
  #shown = null;
  #loading = false;
  #blob = null;
  #url = "";

  constructor(name) {
    super();
    this.name = name;
    this.root = document.getElementById("camera").content.firstElementChild.cloneNode(true);
    this.root.setAttribute("aria-label", `Camera ${name}`);
    this.root.dataset.name = name;
    this.#find("h2").textContent = name;
    this.#image = this.#find("img");
    this.#image.alt = `Picture of camera ${name}`;
    this.#faces = new Faces(this.#find(".faces"), this.#image);
    this.#chart = new Chart(this.#find(".chart"), this.#find(".reading"));
    this.#image.addEventListener("load", () => this.#loaded());
    this.#image.addEventListener("error", () => this.#loaded());
    this.#find(".save").addEventListener("click", () => this.save());
    this.#find(".save").setAttribute("aria-label", `Save the picture of camera ${name}`);
    this.#find(".enlarge").addEventListener("click", () => this.dispatchEvent(new Event("enlarge")));
    this.#find(".enlarge").setAttribute("aria-label", `Enlarge camera ${name}`);
    this.#veil();
  }

  /** How many pixels wide its picture is on this screen. */
  get pixels() {
    return Math.ceil(this.#find(".screen").clientWidth * Math.min(devicePixelRatio, 2));
  }

  result(result) {
    this.#faces.update(result, performance.now());
  }

  timeline(told, labels) {
    this.#chart.add(told, labels);
  }

  redraw(labels) {
    this.#chart.draw(labels);
  }

  /** Show a picture, unless a newer one comes before this one is decoded. */
  picture(told) {
    this.#next = told;
    if (!this.#loading) this.#load();
  }

  #load() {
    this.#loading = true;
    this.#shown = this.#next;
    this.#next = null;
    this.#blob = new Blob([this.#shown.body], { type: "image/jpeg" });
    URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(this.#blob);
    this.#image.src = this.#url;
  }

  #loaded() {
    this.#loading = false;
    this.#find(".save").disabled = false;
    this.#image.classList.add("there");
    this.#faces.cut(this.#shown);
    if (this.#next) this.#load();
    this.#veil();
  }

  /** How the camera does, as the server tells once a second. Returns whether its state is another one. */
  status(status) {
    this.#status = status;
    this.#statusAt = performance.now();
    const other = status.state !== this.state;
    this.state = status.state;
    const pill = this.#find(".pill");
    pill.textContent = status.state;
    pill.dataset.state = status.state;
    if (status.width) this.#find(".screen").style.aspectRatio = `${status.width} / ${status.height}`;
    const why = Object.entries(status.reasons).map(([name, count]) => `${name} ${count}`).join(", ");
    const parts = [
      `${status.fps.toFixed(1)} fps`,
      `p50 ${milliseconds(status.latency_ms.p50)}`,
      `p99 ${milliseconds(status.latency_ms.p99)}`,
      `${status.frames} frames`,
      status.dropped ? `${status.dropped} dropped (${why})` : "0 dropped",
    ];
    if (status.errors) parts.push(`${status.errors} unreadable`);
    this.#find(".small").textContent = status.frames || status.dropped ? parts.join(" · ") : "";
    this.#veil();
    this.tick();
    return other;
  }

  /** Seconds since what is shown was shown. */
  #age() {
    if (this.#status?.age_seconds === null || !this.#status) return null;
    return this.#status.age_seconds + (performance.now() - this.#statusAt) / 1000;
  }

  /** Several times a second: what grows old by itself. */
  tick() {
    const age = this.#age();
    const old = age !== null && this.state !== "ended" && age > 1.5;
    const text = age === null || this.state === "ended" ? "" : old ? `${seconds(age)} old` : "now";
    const label = this.#find(".age");
    if (label.textContent !== text) label.textContent = text;
    label.classList.toggle("old", old);
    if (this.state === "no signal") this.#veil();
  }

  #veil() {
    const has = this.#image.classList.contains("there");
    const age = this.#age();
    const text = {
      waiting: has ? "" : "waiting for the first picture",
      "no signal": age === null ? "no signal" : `no signal for ${seconds(age)}`,
      ended: has ? "" : "ended",
    };
    const veil = this.#find(".veil");
    const told = text[this.state] ?? "";
    if (veil.textContent !== told) veil.textContent = told;
    veil.hidden = !told;
    this.root.dataset.state = this.state;
  }

  /** Save what is shown: the whole frame from the server, or the picture on this page where that is all there is. */
  async save() {
    if (!this.#blob) return;
    let blob = this.#blob;
    const still = document.body.dataset.still === "true";
    if (!still) {
      const response = await fetch(`/snapshot/${encodeURIComponent(this.name)}.jpg`).catch(() => null);
      if (response?.ok) blob = await response.blob();
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const now = new Date();
    const time = new Date(now - now.getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
    link.download = `${this.name}-${time}.jpg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  enlarged(yes) {
    this.root.classList.toggle("large", yes);
    this.#find(".enlarge").setAttribute("aria-pressed", String(yes));
  }

  #find(selector) {
    return this.root.querySelector(selector);
  }
}
