// The emotions of one camera over the last minutes, stacked: how much of what was seen was what.

import { colour, percent } from "./emotions.js";
import { emotion, say, timeOfDay } from "./language.js";
import { Marks, ROOM } from "./marks.js";

const WINDOW = 300; // seconds shown
const STEP = 1; // seconds that a point sums up
const KEPT = 900; // points
const HEIGHT = 84; // pixels at the most

export class Chart {
  #box;
  #reading;
  #labels = [];
  #points = [];
  #plot = null;
  #axis = "clock";
  #theme = "";
  #at = null;
  #past = null;
  #list = [];
  #marks = new Marks();

  constructor(box, reading, camera) {
    this.#box = box;
    this.#reading = reading;
    box.setAttribute("aria-label", say("timeline.label", { name: camera }));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(box);
    box.addEventListener("keydown", (event) => this.#go(event));
    box.addEventListener("blur", () => this.#choose(null));
    for (const kind of ["pointerdown", "pointermove"]) {
      box.addEventListener(kind, (event) => {
        if (event.pointerType === "mouse" || !this.#plot) return; // the plot reads a mouse by itself
        const left = event.clientX - this.#plot.over.getBoundingClientRect().left;
        this.#choose(Math.max(0, Math.min(this.#plot.data[0].length - 2, this.#plot.posToIdx(left))));
      });
    }
  }

  /** Take in points `[time, probability of each label ...]`, or `[time]` where nobody was seen. */
  add({ axis, anew, points }, labels) {
    if (anew) this.#points = [];
    if (axis !== this.#axis) this.#marks.clear();
    this.#axis = axis;
    this.#points.push(...points);
    this.#points.splice(0, this.#points.length - KEPT);
    this.draw(labels);
  }

  /** Mark an event. */
  mark(event) {
    if (this.#marks.add(event)) this.#plot?.redraw(false);
  }

  /** Show this room of time instead of the last minutes, as `/api/history` tells it; null: the last minutes. */
  past(told, min, max, labels) {
    this.#past = told && { points: filled(told), min, max };
    this.#at = null;
    this.draw(labels);
  }

  /** When the newest point ends, on the axis of this camera; null before the first one. */
  get end() {
    const newest = this.#points.at(-1);
    return newest ? newest[0] + STEP : null;
  }

  /** The time at this place of the screen, pixels. */
  timeAt(x) {
    return this.#plot.posToVal(x - this.#plot.over.getBoundingClientRect().left, "x");
  }

  /** How people call a time on this axis. */
  name(at) {
    return this.#time(at);
  }

  #latest() {
    const max = this.end ?? 0;
    const points = this.#points.filter(([at]) => at > max - WINDOW);
    return { points, max, min: Math.max(max - WINDOW, Math.min(this.#points[0]?.[0] ?? 0, max - 20)) };
  }

  /** Draw, in the colours of the present theme. */
  draw(labels) {
    const theme = labels.map(colour).join();
    if (theme !== this.#theme || this.#plot === null) {
      this.#theme = theme;
      this.#labels = labels;
      this.#make();
    }
    const { points, min, max } = this.#past ?? this.#latest();
    this.#list = points;
    const newest = points.at(-1);
    const shown = newest ? [...points, [max, ...newest.slice(1)]] : []; // a point lasts until the next one
    this.#plot.setData(this.#stacked(shown), false);
    this.#plot.setScale("x", { min, max });
    if (this.#at !== null) this.#choose(this.#index(this.#at));
    else this.#box.setAttribute("aria-valuetext", this.#told());
  }

  /** Left and right read point by point. */
  #go(event) {
    const newest = (this.#plot?.data[0].length ?? 0) - 2; // the last one only says until when that lasts
    const now = this.#at === null ? newest : this.#index(this.#at);
    const step = this.#at === null ? 0 : event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: now - step, ArrowRight: now + step, Home: 0, End: newest }[event.key];
    if (to === undefined || newest < 0) return;
    event.preventDefault();
    event.stopPropagation();
    this.#choose(Math.max(0, Math.min(newest, to)));
  }

  #index(at) {
    return Math.max(0, this.#plot.data[0].findLastIndex((time) => time <= at));
  }

  /** Read the point at this index of what is shown; null: none. */
  #choose(index) {
    this.#at = index === null ? null : (this.#plot?.data[0][index] ?? null);
    const left = this.#at === null ? -10 : this.#plot.valToPos(this.#at, "x");
    this.#plot?.setCursor({ left, top: this.#at === null ? -10 : 10 }, false);
    this.#read(this.#at === null ? null : index);
    this.#box.setAttribute("aria-valuetext", this.#reading.textContent || this.#told());
  }

  /** For each label, what lies below its upper edge; from the uppermost down, so that each covers the ones above. */
  #stacked(points) {
    const columns = this.#labels.map(() => []);
    for (const [, ...shares] of points) {
      let sum = 0;
      for (let i = 0; i < columns.length; i++) {
        sum += shares[i] ?? 0;
        columns[i].push(shares.length ? sum : null);
      }
    }
    return [points.map(([at]) => at), ...columns.reverse()];
  }

  #make() {
    this.#plot?.destroy();
    this.#box.replaceChildren();
    const style = getComputedStyle(this.#box);
    const colours = this.#labels.map(colour).reverse();
    const series = colours.map((fill) => ({ fill, width: 0, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }));
    this.#plot = new uPlot(
      {
        ...this.#size(),
        padding: [ROOM, 0, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        scales: { x: { time: false }, y: { range: [0, 1] } },
        axes: [
          {
            stroke: style.color,
            grid: { show: false },
            ticks: { show: false },
            font: "11px system-ui, sans-serif",
            size: 18,
            gap: 2,
            space: 90,
            incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400],
            values: (plot, times) => times.map((at) => (this.#fits(plot, at) ? this.#time(at) : "")),
          },
          { show: false },
        ],
        series: [{}, ...series],
        hooks: {
          setCursor: [(plot) => this.#at === null && this.#read(plot.cursor.idx)],
          draw: [(plot) => this.#marks.draw(plot, this.#axis, style.color)],
        },
      },
      [[], ...colours.map(() => [])],
      this.#box,
    );
  }

  #size() {
    return { width: Math.max(50, this.#box.clientWidth), height: Math.max(30, Math.min(HEIGHT, this.#box.clientHeight || HEIGHT)) };
  }

  /** Whether a time's label lies within the chart. */
  #fits(plot, at) {
    const x = plot.valToPos(at, "x");
    return x >= 26 && x <= this.#box.clientWidth - 26;
  }

  /** A point in time for people; nothing where nothing was seen yet. */
  #time(at) {
    if (!this.#list.length && !this.#points.length) return "";
    if (this.#axis === "clock") return timeOfDay(at);
    return `${Math.floor(at / 60)}:${String(Math.floor(at % 60)).padStart(2, "0")}`;
  }

  /** Say what is under the pointer. */
  #read(index) {
    const at = this.#plot.data[0][index ?? -1];
    const point = at === undefined ? null : this.#list.findLast(([time]) => time <= at);
    if (!point) {
      this.#reading.textContent = "";
      return;
    }
    const [, ...shares] = point;
    const best = shares.map((share, i) => [share, this.#labels[i]]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const told = list(best) || say("timeline.nobody");
    const happened = this.#marks.words(at, this.#axis);
    this.#reading.textContent = `${this.#time(point[0])}  ${told}${happened ? ` · ${happened}` : ""}`;
  }

  /** The chart in words. */
  #told() {
    const seen = this.#list.filter((point) => point.length > 1);
    if (!seen.length) return say("timeline.told_nobody");
    const means = this.#labels.map((name, i) => [seen.reduce((sum, point) => sum + point[i + 1], 0) / seen.length, name]);
    const best = means.sort((a, b) => b[0] - a[0]).filter(([share]) => share >= 0.05);
    return say(this.#past ? "timeline.told_shown" : "timeline.told_last", { list: list(best) });
  }
}

/** Shares of emotions in words. */
const list = (best) => best.map(([share, name]) => `${emotion(name)} ${percent(share)}`).join(", ");

/** The points of an answer of `/api/history`, with one that says "nobody" where there is a gap. */
function filled({ step, points }) {
  const found = [];
  for (const { time, means } of points) {
    const before = found.at(-1)?.[0];
    if (before !== undefined && time - before > step) found.push([before + step]);
    found.push([time, ...(means ?? [])]);
  }
  return found;
}
