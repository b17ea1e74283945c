// The emotions of one camera over the last minutes, stacked: how much of what was seen was what.

import { colour, percent } from "./emotions.js";

const WINDOW = 300; // seconds shown
const STEP = 1; // seconds that a point sums up
const KEPT = 900; // points
const HEIGHT = 84;

export class Chart {
  #box;
  #reading;
  #labels = [];
  #points = [];
  #plot = null;
  #axis = "clock";
  #theme = "";

  constructor(box, reading) {
    this.#box = box;
    this.#reading = reading;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(box);
  }

  /** Take in points `[time, probability of each label ...]`, or `[time]` where nobody was seen. */
  add({ axis, anew, points }, labels) {
    if (anew) this.#points = [];
    this.#axis = axis;
    this.#points.push(...points);
    this.#points.splice(0, this.#points.length - KEPT);
    this.draw(labels);
  }

  /** Draw, in the colours of the present theme. */
  draw(labels) {
    const theme = labels.map(colour).join();
    if (theme !== this.#theme || this.#plot === null) {
      this.#theme = theme;
      this.#labels = labels;
      this.#make();
    }
    const newest = this.#points.at(-1);
    const last = newest ? newest[0] + STEP : 0; // a point lasts until the next one
    const shown = this.#points.filter(([at]) => at > last - WINDOW);
    if (newest) shown.push([last, ...newest.slice(1)]);
    this.#plot.setData(this.#stacked(shown), false);
    this.#plot.setScale("x", { min: Math.max(last - WINDOW, Math.min(this.#points[0]?.[0] ?? 0, last - 20)), max: last });
    this.#box.setAttribute("aria-label", this.#told());
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
        padding: [2, 0, 0, 0],
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
            incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300],
            values: (plot, times) => times.map((at) => (this.#fits(plot, at) ? this.#time(at) : "")),
          },
          { show: false },
        ],
        series: [{}, ...series],
        hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
      },
      [[], ...colours.map(() => [])],
      this.#box,
    );
  }

  #size() {
    return { width: Math.max(50, this.#box.clientWidth), height: HEIGHT };
  }

  /** Whether a time's label lies within the chart. */
  #fits(plot, at) {
    const x = plot.valToPos(at, "x");
    return x >= 26 && x <= this.#box.clientWidth - 26;
  }

  #time(at) {
    if (this.#axis === "clock") return new Date(at * 1000).toLocaleTimeString([], { hourCycle: "h23", timeStyle: "medium" });
    return `${Math.floor(at / 60)}:${String(Math.floor(at % 60)).padStart(2, "0")}`;
  }

  /** Say what is under the pointer. */
  #read(index) {
    const at = this.#plot.data[0][index ?? -1];
    const point = at === undefined ? null : this.#points.findLast(([time]) => time <= at);
    if (!point) {
      this.#reading.textContent = "";
      return;
    }
    const [, ...shares] = point;
    const best = shares.map((share, i) => [share, this.#labels[i]]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const told = best.map(([share, name]) => `${name} ${percent(share)}`).join(", ") || "nobody";
    this.#reading.textContent = `${this.#time(point[0])}  ${told}`;
  }

  /** The chart in words. */
  #told() {
    const seen = this.#points.filter((point) => point.length > 1).slice(-WINDOW);
    if (!seen.length) return "Emotions over time: nobody was seen yet";
    const means = this.#labels.map((name, i) => [seen.reduce((sum, point) => sum + point[i + 1], 0) / seen.length, name]);
    const best = means.sort((a, b) => b[0] - a[0]).filter(([share]) => share >= 0.05);
    return `Emotions over the last minutes: ${best.map(([share, name]) => `${name} ${percent(share)}`).join(", ")}`;
  }
}
