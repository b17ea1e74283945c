// What a camera has shown since the run began: the last hour or all of it, and any minute of that on a click.

import { say } from "./language.js";

const AGAIN = 10000; // ms until it is asked for anew
const HOUR = 3600; // seconds
const MINUTE = 60;
const POINTS = 400;

export class History {
  #box;
  #chart;
  #name;
  #labels = () => [];
  #span = "live";
  #room = [null, null];
  #timer = 0;

  /** @param box holds a button for each span, and a line of words; `area` is where the chart is clicked at. */
  constructor(box, area, chart, name, labels) {
    this.#box = box;
    this.#chart = chart;
    this.#name = name;
    this.#labels = labels;
    for (const button of box.querySelectorAll("button")) button.addEventListener("click", () => this.show(button.dataset.span));
    area.addEventListener("click", (event) => {
      if (this.#span === "live" || this.#span === "minute") return;
      const begin = Math.floor(this.#chart.timeAt(event.clientX) / MINUTE) * MINUTE;
      this.#room = [begin, begin + MINUTE];
      this.#set("minute");
    });
  }

  /** Show the last minutes ("live"), the last hour ("hour") or all ("all"). */
  show(span) {
    this.#room = [null, null];
    this.#set(span);
  }

  #set(span) {
    this.#span = span;
    clearTimeout(this.#timer);
    for (const button of this.#box.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.span === span));
    if (span === "live") {
      this.#say("");
      this.#chart.past(null, 0, 0, this.#labels());
    } else {
      this.#load();
    }
  }

  async #load() {
    const span = this.#span;
    const room = this.#room;
    const query = new URLSearchParams({ camera: this.#name, points: POINTS });
    const end = this.#chart.end;
    const [from, to] = span === "hour" && end !== null ? [end - HOUR, end] : room;
    if (from !== null) query.set("from", from);
    if (to !== null) query.set("to", to);
    const response = await fetch(`api/history?${query}`, { cache: "no-store" }).catch(() => null);
    if (this.#span !== span || this.#room !== room) return; // another one was asked for meanwhile
    const told = response?.ok ? await response.json() : null;
    if (!told?.points.length) {
      this.#say(say(told ? "timeline.nothing_then" : "timeline.no_history"));
      return;
    }
    const min = Math.max(from ?? told.start, span === "minute" ? -Infinity : told.start);
    const max = Math.max(to ?? told.end, min + 1);
    this.#chart.past(told, min, max, this.#labels());
    const frames = told.points.reduce((sum, point) => sum + point.frames, 0);
    const most = told.points.reduce((most, point) => Math.max(most, point.most), 0);
    const faces = most ? say("timeline.at_once", { n: most }) : say("timeline.nobody");
    const shown = { from: this.#chart.name(min), to: this.#chart.name(max) };
    this.#say(say("timeline.room", { ...shown, frames: say("camera.frames", { n: frames }), faces }));
    if (span !== "minute") this.#timer = setTimeout(() => document.body.dataset.still !== "true" && this.#load(), AGAIN);
  }

  #say(text) {
    this.#box.querySelector("span").textContent = text;
  }
}
