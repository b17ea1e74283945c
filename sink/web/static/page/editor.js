// Draws the areas of one camera: with a mouse, a finger, or the keyboard alone. What can be held lies in the layer over
// the picture, names and buttons beside it.

import { reason, say } from "./language.js";
import { clamp, freeName, inside, lines, moved, MOST_AREAS, MOST_POINTS, problem, rectangle, toldOf } from "./shapes.js";
import { hold } from "./unsaved.js";

const STEP = 0.01; // of the picture, for each press of an arrow key
const FAR = 0.05; // with the shift key
const DRAGGED = 6; // pixels from which on a click is none
const CLOSE = 16; // pixels around the first point in which a click closes the area
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const place = ([x, y]) => say("areas.place", { x: Math.round(x * 100), y: Math.round(y * 100) });

export class Editor extends EventTarget {
  isOpen = false;
  #name;
  #layer;
  #root;
  #editable = false;
  #areas = [];
  #before = "";
  #copied = "";
  #chosen = -1;
  #draft = null;
  #kind = "ignore";
  #cursor = null;
  #press = null;
  #speak;

  /** @param name of the camera; `layer` lies over its picture; `root` holds the buttons; `speak` tells screen readers. */
  constructor(name, layer, root, speak) {
    super();
    this.#name = name;
    this.#layer = layer;
    this.#root = root;
    this.#speak = speak;
    const on = (selector, what) => this.#find(selector).addEventListener("click", what);
    on(".add-ignore", () => this.#begin("ignore"));
    on(".add-zone", () => this.#begin("zone"));
    on(".keep", () => (this.#editable ? this.#save() : this.#tell()));
    on(".done", () => this.close());
    on(".copy", () => this.#copy());
    this.#find("textarea").addEventListener("copy", () => this.#took());
    root.addEventListener("keydown", (event) => this.#keyBeside(event));
    const { svg } = layer;
    svg.addEventListener("keydown", (event) => this.isOpen && this.#key(event));
    svg.addEventListener("pointerdown", (event) => this.isOpen && this.#down(event));
    svg.addEventListener("pointermove", (event) => this.isOpen && this.#move(event));
    svg.addEventListener("pointerup", (event) => this.isOpen && this.#up(event));
    svg.addEventListener("pointercancel", () => (this.#press = null));
    svg.addEventListener("dblclick", (event) => this.isOpen && event.stopPropagation());
    // Browsers move the focus with the mouse events that follow a finger's: by then it may be on a name.
    svg.addEventListener("mousedown", (event) => this.isOpen && event.preventDefault());
  }

  /** Begin with these areas; `more` are added to them at once. */
  open(areas, editable, more = []) {
    this.isOpen = true;
    this.#editable = editable;
    this.#before = this.#copied = JSON.stringify(toldOf(areas));
    this.#areas = [...areas, ...more].map((area) => ({ ...area, points: area.points.map((point) => [...point]) }));
    this.#chosen = this.#areas.length - 1;
    this.#draft = this.#press = this.#cursor = null;
    const { svg } = this.#layer;
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "application");
    svg.setAttribute("aria-label", say("areas.board"));
    svg.removeAttribute("aria-hidden");
    this.#find(".keep").textContent = say(editable ? "areas.save" : "areas.show");
    this.#find(".lines").hidden = true;
    this.#state("");
    this.#root.hidden = false;
    this.dispatchEvent(new Event("open"));
    this.#update();
    if (more.length && !editable) this.#tell();
    else this.#find(".add-ignore").focus();
  }

  /** End, and forget what was not saved. */
  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    hold(this, false);
    const { svg } = this.#layer;
    for (const name of ["tabindex", "role", "aria-label"]) svg.removeAttribute(name);
    svg.setAttribute("aria-hidden", "true");
    this.#root.hidden = true;
    this.#layer.hold(null);
    this.dispatchEvent(new Event("close"));
  }

  get #isChanged() {
    return JSON.stringify(toldOf(this.#areas)) !== this.#before;
  }

  /** Whether something would be lost: it is neither saved nor, for who may not save, copied. */
  get #isUnsaved() {
    if (!this.isOpen) return false;
    return this.#draft?.length > 0 || (this.#isChanged && JSON.stringify(toldOf(this.#areas)) !== this.#copied);
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  #state(text, wrong = false) {
    const line = this.#find(".state");
    if (line.textContent !== text) line.textContent = text;
    line.classList.toggle("wrong", wrong);
  }

  #title(n) {
    const { kind, name } = this.#areas[n];
    if (kind === "zone") return say("areas.zone_named", { name });
    return say("areas.ignored", { n: this.#areas.slice(0, n + 1).filter((area) => area.kind === "ignore").length });
  }

  // --- drawing --------------------------------------------------------------------------------------------------------

  #begin(kind) {
    this.#kind = kind;
    this.#draft = [];
    this.#chosen = -1;
    this.#cursor = this.#cursor ?? [0.5, 0.5];
    this.#speak(say(kind === "ignore" ? "areas.begin_ignore" : "areas.begin_zone"));
    this.#update();
    this.#layer.svg.focus();
  }

  #set(point) {
    const draft = this.#draft;
    const again = (other) => other && this.#layer.distance(other, point) < 1;
    if (draft.length >= 3 && (this.#layer.distance(draft[0], point) < CLOSE || again(draft.at(-1)))) return this.#finish(draft);
    if (again(draft.at(-1))) return this.#speak(say("areas.few"));
    if (draft.length >= MOST_POINTS) return this.#speak(say("areas.full", { most: MOST_POINTS }));
    draft.push(point);
    this.#speak(say("areas.set", { number: draft.length, place: place(point) }));
    this.#update();
  }

  #finish(points) {
    const name = this.#kind === "zone" ? freeName(this.#areas, say("areas.zone")) : "";
    this.#areas.push({ kind: this.#kind, name, points });
    this.#draft = this.#cursor = null;
    this.#chosen = this.#areas.length - 1;
    this.#speak(say("areas.closed", { title: this.#title(this.#chosen) }));
    this.#update();
    const field = this.#find("[data-chosen] input");
    field?.focus();
    field?.select();
    if (!field) this.#find("[data-chosen] button")?.focus();
  }

  #cancel() {
    this.#draft = this.#cursor = null;
    this.#speak(say("areas.cancelled"));
    this.#update();
    this.#find(`.add-${this.#kind}`).focus();
  }

  #remove(n) {
    this.#speak(say("areas.deleted", { title: this.#title(n) }));
    this.#areas.splice(n, 1);
    this.#chosen = Math.min(n, this.#areas.length - 1);
    this.#update();
    (this.#find("[data-chosen] button") ?? this.#find(".add-ignore")).focus();
  }

  #choose(n) {
    this.#chosen = n;
    this.#update();
  }

  // --- the keyboard ---------------------------------------------------------------------------------------------------

  #keyBeside(event) {
    event.stopPropagation(); // the page's own keys sleep meanwhile
    if (event.key === "Escape") this.leave();
  }

  /** End, unless something would be lost: then say so. */
  leave() {
    if (this.#draft) this.#cancel();
    else if (!this.holds()) this.close();
  }

  /** Whether something would be lost; then say so. */
  holds() {
    if (!this.#isUnsaved) return false;
    this.#warn(say("areas.unsaved"));
    return true;
  }

  #warn(text) {
    this.#state(text, true);
    this.#find(".state").scrollIntoView({ block: "nearest" });
    this.#speak(text);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    const { corner } = event.target.dataset;
    const done = corner === undefined ? this.#keyOnBoard(event) : this.#keyOnCorner(event, Number(corner));
    if (done) event.preventDefault();
  }

  #keyOnBoard({ key, shiftKey }) {
    if (key === "Escape") this.leave();
    else if (!this.#draft) return false;
    else if (key in ARROWS) this.#steer(key, shiftKey);
    else if (key === "Enter" || key === " ") this.#set([...this.#cursor]);
    else if (key === "Delete" || key === "Backspace") this.#takeBack();
    else return false;
    return true;
  }

  #steer(key, far) {
    const [dx, dy] = ARROWS[key].map((way) => way * (far ? FAR : STEP));
    this.#cursor = (this.#cursor ?? [0.5, 0.5]).map((value, axis) => clamp(value + [dx, dy][axis]));
    this.#speak(place(this.#cursor));
    this.#update();
  }

  #takeBack() {
    if (!this.#draft.length) return;
    this.#speak(say("areas.back", { number: this.#draft.length }));
    this.#draft.pop();
    this.#update();
  }

  #keyOnCorner({ key, shiftKey }, n) {
    const { points } = this.#areas[this.#chosen];
    if (key in ARROWS) {
      const [dx, dy] = ARROWS[key].map((way) => way * (shiftKey ? FAR : STEP));
      points[n] = [clamp(points[n][0] + dx), clamp(points[n][1] + dy)];
      this.#speak(place(points[n]));
      this.#update();
    } else if (key === "Delete" || key === "Backspace") {
      if (points.length <= 3) this.#speak(say("areas.least"));
      else {
        points.splice(n, 1);
        this.#speak(say("areas.back", { number: n + 1 }));
        this.#update();
        this.#layer.handle(Math.min(n, points.length - 1))?.focus();
      }
    } else if (key === "Enter" || key === " ") this.#insert(n);
    else if (key === "Escape") this.leave();
    else return false;
    return true;
  }

  /** A new point in the middle of the side that begins at this one. */
  #insert(n) {
    const { points } = this.#areas[this.#chosen];
    if (points.length >= MOST_POINTS) return void this.#speak(say("areas.full", { most: MOST_POINTS }));
    const [[a, b], [c, d]] = [points[n], points[(n + 1) % points.length]];
    points.splice(n + 1, 0, [(a + c) / 2, (b + d) / 2]);
    this.#speak(say("areas.set", { number: n + 2, place: place(points[n + 1]) }));
    this.#update();
    this.#layer.handle(n + 1)?.focus();
  }

  // --- a mouse, or a finger -------------------------------------------------------------------------------------------

  #down(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    const at = this.#layer.at(event);
    const held = event.target.closest("[data-corner], [data-middle]")?.dataset ?? {};
    this.#layer.svg.setPointerCapture(event.pointerId);
    (event.target.closest("[data-corner]") ?? this.#layer.svg).focus({ preventScroll: true });
    this.#press = { from: at, last: at, dragged: false, corner: held.corner === undefined ? null : Number(held.corner), whole: false };
    if (held.middle !== undefined) {
      this.#insert(Number(held.middle));
      this.#press.corner = Number(held.middle) + 1;
    } else if (!this.#draft && this.#press.corner === null) {
      this.#press.whole = this.#chosen >= 0 && inside(this.#areas[this.#chosen].points, at);
    }
    if (this.#draft) this.#cursor = null;
  }

  #move(event) {
    const at = this.#layer.at(event);
    const press = this.#press;
    if (!press) {
      if (this.#draft?.length && event.pointerType === "mouse") {
        this.#cursor = at.map(clamp);
        this.#update();
      }
      return;
    }
    press.dragged ||= this.#layer.distance(press.from, at) > DRAGGED;
    if (!press.dragged) return;
    if (press.corner !== null) this.#areas[this.#chosen].points[press.corner] = at.map(clamp);
    else if (this.#draft?.length === 0) press.rectangle = rectangle(press.from.map(clamp), at.map(clamp));
    else if (press.whole) {
      const area = this.#areas[this.#chosen];
      area.points = moved(area.points, at[0] - press.last[0], at[1] - press.last[1]);
    }
    press.last = at;
    this.#update();
  }

  #up(event) {
    const press = this.#press;
    this.#press = null;
    if (!press) return;
    const at = this.#layer.at(event).map(clamp);
    if (this.#draft) {
      if (press.rectangle) this.#finish(press.rectangle);
      else this.#set(at);
    } else if (!press.dragged && press.corner === null) this.#choose(this.#layer.under(at));
    else this.#update();
  }

  // --- what is shown --------------------------------------------------------------------------------------------------

  #update() {
    const rectangle = this.#press?.rectangle;
    const draft = rectangle ? [...rectangle, rectangle[0]] : this.#draft;
    const count = this.#areas[this.#chosen]?.points.length;
    const corner = (n, point) => say("areas.corner", { title: this.#title(this.#chosen), number: n + 1, count, place: place(point) });
    this.#layer.show(this.#areas.map((area) => ({ ...area, points: [...area.points] })));
    this.#layer.hold({ chosen: this.#chosen, draft: draft && [...draft], cursor: rectangle ? null : this.#cursor, labels: { corner } });
    this.#layer.svg.classList.toggle("drawing", this.#draft !== null);
    this.#find(".hint").textContent = say(this.#draft ? "areas.drawing" : "areas.hint");
    for (const kind of ["ignore", "zone"]) {
      const button = this.#find(`.add-${kind}`);
      button.disabled = this.#areas.filter((area) => area.kind === kind).length >= MOST_AREAS;
      button.setAttribute("aria-pressed", String(this.#draft !== null && this.#kind === kind));
    }
    this.#find(".done").textContent = say(this.#isChanged ? "areas.discard" : "areas.close");
    this.#find(".keep").disabled = this.#editable && !this.#isChanged;
    if (!this.#find(".lines").hidden) this.#find("textarea").value = lines(this.#name, this.#areas);
    if (this.#isChanged) this.#state("");
    hold(this, this.#isUnsaved);
    this.#list();
  }

  /** One line for each area: which it is, its name where it has one, and a button that deletes it. */
  #list() {
    const list = this.#find("ul");
    while (list.children.length > this.#areas.length) list.lastElementChild.remove();
    while (list.children.length < this.#areas.length) list.append(this.#line());
    [...list.children].forEach((item, n) => {
      const { kind, name } = this.#areas[n];
      item.dataset.kind = kind;
      item.toggleAttribute("data-chosen", n === this.#chosen);
      const [choose, field, remove] = item.children;
      choose.textContent = kind === "zone" ? "" : this.#title(n);
      choose.setAttribute("aria-pressed", String(n === this.#chosen));
      choose.setAttribute("aria-label", this.#title(n));
      field.hidden = kind !== "zone";
      if (field.value !== name) field.value = name;
      field.setAttribute("aria-label", say("areas.name", { name }));
      remove.setAttribute("aria-label", say("areas.remove", { title: this.#title(n) }));
    });
  }

  #line() {
    const item = document.getElementById("area").content.firstElementChild.cloneNode(true);
    const which = () => [...this.#find("ul").children].indexOf(item);
    const [choose, field, remove] = item.children;
    choose.addEventListener("click", () => this.#choose(which()));
    field.addEventListener("focus", () => this.#choose(which()));
    field.addEventListener("input", () => {
      this.#areas[which()].name = field.value;
      this.#update();
    });
    remove.addEventListener("click", () => this.#remove(which()));
    return item;
  }

  // --- keeping it -----------------------------------------------------------------------------------------------------

  #isSound() {
    const found = problem(this.#areas);
    if (!found) return true;
    this.#choose(this.#areas.indexOf(found.area));
    this.#find("[data-chosen] input").focus();
    this.#warn(found.wrong === "twice" ? say("areas.twice", { name: found.area.name.trim() }) : say("areas.unnamed"));
    return false;
  }

  async #save() {
    if (!this.#isSound()) return;
    const told = toldOf(this.#areas);
    this.#state(say("areas.saving"));
    const { file, wrong } = await save(this.#name, told);
    if (wrong) return this.#warn(wrong);
    this.#before = JSON.stringify(told);
    this.dispatchEvent(new CustomEvent("saved", { detail: told }));
    this.#update();
    this.#state(say("areas.saved", { file }));
    this.#speak(say("areas.saved", { file }));
    this.#find(".done").focus();
  }

  /** Show the lines of the settings file, for who may not save. */
  #tell() {
    if (!this.#isSound()) return;
    this.#find(".lines").hidden = false;
    this.#find(".lines p").textContent = say("areas.instead", { name: this.#name });
    this.#update();
    this.#find("textarea").focus();
    this.#find("textarea").select();
  }

  async #copy() {
    const field = this.#find("textarea");
    field.select();
    // Browsers give the clipboard to pages of this machine and to HTTPS only.
    if (navigator.clipboard) await navigator.clipboard.writeText(field.value).catch(() => document.execCommand("copy"));
    else document.execCommand("copy");
    this.#took();
    this.#state(say("areas.copied"));
    this.#speak(say("areas.copied"));
  }

  /** The lines are in the clipboard now: nothing is lost with the page. */
  #took() {
    this.#copied = JSON.stringify(toldOf(this.#areas));
    hold(this, this.#isUnsaved);
  }
}

/** Ask the server to save a camera's areas: `{ file }`, or `{ wrong }`. */
export async function save(camera, told) {
  try {
    const response = await fetch(`api/areas?camera=${encodeURIComponent(camera)}`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(told),
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return { file: answer.file };
    return { wrong: typeof answer.detail === "string" ? reason(answer.detail) : say("areas.answer", { status: response.status }) };
  } catch {
    return { wrong: say("areas.no_answer") };
  }
}
