// Areas of a picture: polygons in fractions of its width and height. Pure.

export const MOST_AREAS = 16;
export const MOST_POINTS = 32;
const DIGITS = 4;
const BARE = /^[A-Za-z0-9_-]+$/;

/** An area is `{ kind: "ignore" | "zone", name, points: [[x, y], ...] }`. */
export function areasOf({ ignore, zones }) {
  return [
    ...(ignore ?? []).map((text) => ({ kind: "ignore", name: "", points: parsed(text) })),
    ...Object.entries(zones ?? {}).map(([name, text]) => ({ kind: "zone", name, points: parsed(text) })),
  ];
}

/** The same in the form of the settings file and of the server. */
export function toldOf(areas) {
  const of = (kind) => areas.filter((area) => area.kind === kind);
  return {
    ignore: of("ignore").map(({ points }) => written(points)),
    zones: Object.fromEntries(of("zone").map(({ name, points }) => [name.trim(), written(points)])),
  };
}

const parsed = (text) => text.split(" ").map((point) => point.split(",").map(Number));

export const written = (points) => points.map(([x, y]) => `${short(x)},${short(y)}`).join(" ");

const short = (value) => String(Number(value.toFixed(DIGITS)));

export const clamp = (value) => Math.min(1, Math.max(0, value));

/** The lines of a settings file that give a camera these areas. */
export function lines(camera, areas) {
  const { ignore, zones } = toldOf(areas);
  const all = [`[cameras.${key(camera)}]`, `ignore = [${ignore.map((text) => `\n    ${quoted(text)},`).join("")}${ignore.length ? "\n" : ""}]`];
  const named = Object.entries(zones).map(([name, text]) => `${key(name)} = ${quoted(text)}`);
  if (named.length) all.push("", `[cameras.${key(camera)}.zones]`, ...named);
  return `${all.join("\n")}\n`;
}

const key = (name) => (BARE.test(name) ? name : quoted(name));
const quoted = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f"); // what JSON escapes, TOML reads, but for this

/** Whether a point lies inside, as the server sees it. */
export function inside(points, [x, y]) {
  let odd = false;
  for (let n = 0; n < points.length; n++) {
    const [x0, y0] = points[n];
    const [x1, y1] = points[(n + 1) % points.length];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) odd = !odd;
  }
  return odd;
}

export const between = ([a, b], [c, d]) => [(a + c) / 2, (b + d) / 2];

/** Points moved by so much, as far as all of them stay in the picture. */
export function moved(points, across, down) {
  const limit = (by, axis) => {
    const values = points.map((point) => point[axis]);
    return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), by));
  };
  const [dx, dy] = [limit(across, 0), limit(down, 1)];
  return points.map(([x, y]) => [clamp(x + dx), clamp(y + dy)]);
}

export const rectangle = ([a, b], [c, d]) => [[Math.min(a, c), Math.min(b, d)], [Math.max(a, c), Math.min(b, d)], [Math.max(a, c), Math.max(b, d)], [Math.min(a, c), Math.max(b, d)]];

/** What is wrong with these areas, or nothing: `{ wrong, area }`. */
export function problem(areas) {
  const names = new Set();
  for (const area of areas.filter(({ kind }) => kind === "zone")) {
    const name = area.name.trim();
    if (!name) return { wrong: "unnamed", area };
    if (names.has(name)) return { wrong: "twice", area };
    names.add(name);
  }
  return null;
}

/** A name that no zone has yet. */
export function freeName(areas, word) {
  const taken = new Set(areas.map(({ name }) => name));
  let n = 1;
  while (taken.has(`${word} ${n}`)) n += 1;
  return `${word} ${n}`;
}
