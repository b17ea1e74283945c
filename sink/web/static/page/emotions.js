// Names and colours of emotions, the same everywhere on the page.

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
export const percent = (share) => `${Math.round(share * 100)} %`;

/** Milliseconds for people. */
export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 10000 ? `${Math.round(value)} ms` : `${Math.round(value / 1000)} s`;
}

/** Seconds for people. */
export function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 90) return `${Math.round(value)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}
