// One camera: its picture, its faces, its timeline, and how it does.

import { Chart } from "./chart.js";
import { Editor, save } from "./editor.js";
import { milliseconds, rate, seconds } from "./emotions.js";
import { Faces } from "./faces.js";
import { History } from "./history.js";
import { number, say } from "./language.js";
import { Layer } from "./layer.js";
import { Overlay } from "./overlay.js";
import { Posters } from "./posters.js";
import { areasOf, toldOf } from "./shapes.js";
import { lasting, nameOf, nobody, skipped, stateOf, veil } from "./words.js";

const EXPECTED_MS = 10000; // until saved areas must have come with pictures; else they are not in force

export class Camera extends EventTarget {
  name;
  root;
  state = "waiting";
  #picture;
  #overlay;
  #faces;
  #chart;
  #history;
  #labels = [];
  #status = null;
  #statusAt = 0;
  #drawnAt = null;
  #next = null;
  #loading = false;
  #blob = null;
  #paused = false;
  #layer;
  #editor;
  #posters;
  #expected = null;

  /** `tell` tells screen readers. */
  constructor(name, switches, tell) {
    super();
    this.name = name;
    this.root = document.getElementById("camera").content.firstElementChild.cloneNode(true);
    this.root.setAttribute("aria-label", say("camera.label", { name }));
    this.root.dataset.name = name;
    this.#find("h2").textContent = name;
    this.#picture = this.#find(".picture");
    this.#picture.setAttribute("aria-label", say("camera.picture", { name }));
    this.#overlay = new Overlay(this.#find(".overlay"), switches, this.#find(".pill"));
    this.#faces = new Faces(this.#find(".faces"), this.#find(".more"), this.#picture);
    this.#overlay.addEventListener("light", ({ detail }) => this.#faces.light(detail));
    this.#faces.addEventListener("light", ({ detail }) => {
      this.#overlay.light(detail);
      this.#faces.light(detail);
    });
    this.#chart = new Chart(this.#find(".chart"), this.#find(".reading"), name);
    this.#history = new History(this.#find(".spans"), this.#find(".chart"), this.#chart, name, () => this.#labels);
    const on = (selector, what, label) => {
      this.#find(selector).addEventListener("click", what);
      if (label) this.#find(selector).setAttribute("aria-label", say(label, { name }));
    };
    on(".save", () => this.save(), "camera.save");
    on(".enlarge", () => this.#tell("enlarge"), "camera.enlarge");
    on(".full", () => this.#tell("full"), "camera.full");
    on(".more", () => this.#tell("more"));
    on(".edit", () => this.edit(), "areas.edit");
    this.#drawAreas(tell);
    this.#find(".screen").addEventListener("dblclick", () => this.#tell("enlarge"));
    this.#veil();
  }

  /** What is ignored, zones, and offers to ignore what does not move. */
  #drawAreas(tell) {
    this.#layer = new Layer(this.#find(".areas"));
    this.#editor = new Editor(this.name, this.#layer, this.#find(".editor"), tell);
    this.#posters = new Posters(this.name, this.#find(".poster"));
    const editing = (yes) => {
      this.root.classList.toggle("editing", yes);
      this.#find(".edit").setAttribute("aria-pressed", String(yes));
    };
    this.#editor.addEventListener("open", () => editing(true));
    this.#editor.addEventListener("close", () => {
      editing(false);
      this.#showAreas();
      this.#find(".edit").focus();
    });
    this.#editor.addEventListener("saved", ({ detail }) => this.#expect(detail));
    this.#posters.addEventListener("ignore", async ({ detail: text }) => {
      const told = toldOf(areasOf(this.#status));
      told.ignore.push(text);
      if (!this.#status.editable) {
        this.#tell("alone");
        this.#posters.forget(text);
        this.#editor.open(areasOf(this.#status), false, areasOf({ ignore: [text] }));
        return;
      }
      const { wrong } = await save(this.name, told);
      tell(wrong ?? say("areas.poster_ignored"));
      if (wrong) this.#posters.fail(text, wrong);
      else {
        this.#posters.forget(text);
        this.#expect(told);
        this.#showAreas();
      }
    });
  }

  /** What was saved is shown at once, and comes with the pictures a moment later. */
  #expect(areas) {
    this.#expected = { areas, until: performance.now() + EXPECTED_MS };
    Object.assign(this.#status, areas);
  }

  /** Draw areas, or end that, unless something would be lost. */
  edit() {
    if (this.#editor.isOpen) this.#editor.leave();
    else if (this.#status) this.#editor.open(areasOf(this.#status), this.#status.editable);
  }

  /** Whether something drawn would be lost; then it says so. */
  holds() {
    return this.#editor.holds();
  }

  #showAreas() {
    if (this.#editor.isOpen || !this.#status) return;
    this.#layer.show(areasOf(this.#status), this.#status.width, this.#status.height);
  }

  /** What people call it. */
  get title() {
    return this.#find("h2").textContent;
  }

  #tell(kind) {
    this.dispatchEvent(new Event(kind));
  }

  /** Whether what is shown is not what there is to see. */
  get #isTroubled() {
    return this.state === "lost" || this.state === "frozen";
  }

  /** How many pixels wide its picture is on this screen. */
  get pixels() {
    return Math.ceil(this.#find(".screen").clientWidth * Math.min(devicePixelRatio, 2));
  }

  result(result) {
    if (this.#isTroubled) return; // nothing of it is true any more
    this.#faces.update(result, performance.now());
  }

  timeline(told, labels) {
    this.#labels = labels;
    this.#chart.add(told, labels);
  }

  event(event) {
    this.#chart.mark(event);
  }

  redraw(labels) {
    this.#chart.draw(labels);
    this.#overlay.draw();
  }

  /** Show a picture, unless a newer one comes before this one is decoded. */
  picture(told) {
    this.#next = told;
    if (!this.#loading) this.#load();
  }

  async #load() {
    this.#loading = true;
    while (this.#next) {
      const told = this.#next;
      this.#next = null;
      const blob = new Blob([told.body], { type: "image/jpeg" });
      const bitmap = await createImageBitmap(blob).catch(() => null);
      if (bitmap) this.#show(told, blob, bitmap);
    }
    this.#loading = false;
  }

  /** The picture and what is drawn over it, at once: the next time the screen is painted, it shows both. */
  #show(told, blob, bitmap) {
    const canvas = this.#picture;
    if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
    if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    this.#overlay.show(told, (told.width * bitmap.height) / bitmap.width);
    bitmap.close();
    this.#blob = blob;
    this.#drawnAt = performance.now();
    canvas.dataset.seq = told.seq;
    canvas.classList.add("there");
    this.#find(".save").disabled = false;
    this.#faces.cut(told);
    this.#veil();
  }

  /** How the camera does, as the server tells once a second. Returns whether its state is another one. */
  status(status) {
    this.#status = status;
    if (this.#expected && performance.now() < this.#expected.until) Object.assign(status, this.#expected.areas);
    this.#statusAt = performance.now();
    const state = stateOf(status);
    const other = state !== this.state;
    this.state = state;
    this.#find("h2").textContent = status.display_name;
    if (status.source) this.#find("h2").title = status.source;
    this.#find(".notice").textContent = status.notice;
    this.#find(".notice").hidden = !status.notice;
    if (status.width) this.#find(".screen").style.setProperty("--aspect", `${status.width} / ${status.height}`);
    if (this.#isTroubled) this.#faces.clear();
    this.#faces.say(nobody(state, status.frames > 0));
    this.#figures(status);
    this.#showAreas();
    this.#posters.show(status.posters ?? []);
    this.#veil();
    this.tick();
    if (other) this.#overlay.draw(); // the words over it have another width
    return other;
  }

  #figures(status) {
    const live = this.state === "live";
    const parts = [];
    if (live) {
      const delay = { half: milliseconds(status.latency_ms.p50), most: milliseconds(status.latency_ms.p99) };
      parts.push(rate(status.fps), say("camera.delay", delay));
    }
    if (status.frames) parts.push(say("camera.frames", { n: status.frames }));
    if (status.errors) parts.push(say("camera.unreadable", { n: status.errors }));
    this.#find(".figures-line").textContent = parts.join(" · ");
    const { text, details, metric } = skipped(status.frames, status.dropped, status.reasons);
    this.#find(".why").hidden = !text;
    this.#find(".why summary").textContent = text;
    this.#find(".why p").textContent = [...details.map(({ count, name, means }) => `${number(count)}: ${means} (${name})`), say("camera.metric", { name: metric })].join("\n");
  }

  /** Whether the page is paused, so that what is shown grows old. */
  pause(yes) {
    this.#paused = yes;
    this.tick();
  }

  /** Seconds since the newest result was shown. */
  #age() {
    if (this.#paused && this.#drawnAt !== null) return (performance.now() - this.#drawnAt) / 1000;
    if (!this.#status || this.#status.age_seconds === null) return null;
    return this.#status.age_seconds + this.#ago();
  }

  #ago() {
    return (performance.now() - this.#statusAt) / 1000;
  }

  /** Several times a second: what grows old by itself. */
  tick() {
    const age = this.#age();
    const shown = this.#paused && this.state !== "ended" ? "paused" : this.state;
    const old = age !== null && this.state !== "ended" && (age > 1.5 || this.#paused);
    const troubled = this.#isTroubled;
    const lasts = troubled && this.#status.reason && !this.#paused ? lasting(this.#status, age) : null;
    const text = lasts !== null ? say("camera.lasting", { time: seconds(lasts) }) : age === null || troubled || this.state === "ended" ? "" : old ? say("camera.old", { time: seconds(age) }) : say("camera.now");
    write(this.#find(".age"), text);
    this.#find(".age").classList.toggle("old", old || troubled);
    const pill = this.#find(".pill");
    write(pill, nameOf(shown));
    pill.dataset.state = shown;
    if (!this.#paused) this.#veil();
  }

  #veil() {
    const has = this.#picture.classList.contains("there");
    const told = this.#status ? veil(this.#status, this.#ago(), this.#age(), has) : say("camera.first");
    const box = this.#find(".veil");
    write(box, told);
    box.hidden = !told;
    this.root.dataset.state = this.state;
  }

  /** Save what is shown: the whole frame from the server, or the picture on this page where that is all there is. */
  async save() {
    if (!this.#blob) return;
    let blob = null;
    if (document.body.dataset.still !== "true") {
      const response = await fetch(`snapshot/${encodeURIComponent(this.name)}.jpg`).catch(() => null);
      if (response?.ok) blob = await response.blob();
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob ?? (await this.#drawn()));
    const now = new Date();
    const time = new Date(now - now.getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
    link.download = `${this.name}-${time}.jpg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /** The picture with what is drawn over it. */
  #drawn() {
    const canvas = new OffscreenCanvas(this.#picture.width, this.#picture.height);
    const context = canvas.getContext("2d");
    context.drawImage(this.#picture, 0, 0);
    this.#overlay.paint(context, canvas.width, canvas.height);
    return canvas.convertToBlob({ type: "image/jpeg", quality: 0.93 });
  }

  enlarged(yes) {
    this.root.classList.toggle("large", yes);
    this.#faces.alone(yes);
    if (!yes) {
      this.#history.show("live");
      this.#editor.close();
    }
    this.#find(".enlarge").setAttribute("aria-pressed", String(yes));
  }

  #find(selector) {
    return this.root.querySelector(selector);
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
