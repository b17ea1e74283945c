// Names and colours of emotions, the same everywhere on the page.

import { decimal, say } from "./language.js";

const SPARE = ["#3aa6a6", "#c2779a", "#7d9b3c", "#a08264"];

/** The seven in the order of the data set, for the time before the first result tells. */
export const USUAL = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

let style = null;
const known = new Map();

/** The colour of an emotion in the present theme; asking the style each time would cost a layout. */
export function colour(name, index) {
  if (!known.has(name)) {
    style ??= getComputedStyle(document.documentElement);
    known.set(name, style.getPropertyValue(`--${name}`).trim() || SPARE[index % SPARE.length]);
  }
  return known.get(name);
}

/** The theme is another one. */
export function forgetColours() {
  known.clear();
}

const TRACKS = ["#3cbeeb", "#78c85a", "#eb78c8", "#faa046", "#50d7c8", "#f58296", "#c8e16e", "#8296eb"];

/** The colour of a face's box and card, the same as in the window and in videos. */
export const trackColour = (track) => TRACKS[track % TRACKS.length];

/** 0.914 as "91 %". */
export const percent = (share) => say("units.percent", { n: Math.round(share * 100) });

/** Frames per second. */
export const rate = (fps) => say("units.fps", { n: decimal(fps) });

/** Milliseconds for people. */
export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 10000 ? say("units.ms", { n: String(Math.round(value)) }) : say("units.s", { n: Math.round(value / 1000) });
}

/** Seconds for people. */
export function seconds(value) {
  if (value < 10) return say("units.s", { n: decimal(value) });
  if (value < 90) return say("units.s", { n: Math.round(value) });
  return value < 5400 ? say("units.min", { n: Math.round(value / 60) }) : say("units.h", { n: Math.round(value / 3600) });
}
