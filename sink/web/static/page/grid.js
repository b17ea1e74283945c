// How cameras are laid out, so that they fill the screen whatever their number. Pure.

export const GAP = 12; // between two cameras, pixels
const SCROLLED = 300; // least width of a camera where not all fit
const NARROW = 620; // a screen on which cameras stand below each other
const LOW = 360; // a screen too low to be divided

/** What a camera needs beside its picture, pixels: with everything, with small faces, or with nothing. `least` is how
 * wide its picture has to be for that, and `part` how much of the camera's width. */
const LEVELS = {
  full: { chrome: 196, pad: 26, strip: 206, side: 236, least: 480, part: 0.6 },
  dense: { chrome: 126, pad: 20, strip: 68, side: 168, least: 300, part: 0.6 },
  wall: { chrome: 2, pad: 2, strip: 0, side: 0, least: 150, part: 0 },
};
const ASPECT = 16 / 9;
const EVEN = 0.85;
const SPANS = 18; // the buttons below the timeline of a camera on its own
const LOWEST = 420; // a camera with its faces beside it
const STACKED = 484; // what is below the picture of a camera with its faces below it: a row of faces, and the rest

/** The layout of `count` cameras in this room, pixels.
 *
 * @returns `level`: full, dense or wall; `columns`; `last`: how many are in the last row; `height` of each, or null where
 * the page scrolls; `beside`: whether faces are beside the picture, `side` pixels wide. */
export function arrange(count, width, height) {
  if (count === 1) return alone(width, height);
  if (width >= NARROW && height >= LOW) {
    for (const [level, needs] of Object.entries(LEVELS)) {
      const best = fitted(count, width, height, needs);
      if (best.picture >= Math.max(needs.least, needs.part * best.across)) return { level, ...best };
    }
  }
  const columns = Math.min(count, Math.max(1, Math.floor((width + GAP) / (SCROLLED + GAP))));
  return { level: width < NARROW ? "full" : "dense", columns, last: columns, height: null, beside: false, side: 0 };
}

function alone(width, height) {
  const needs = LEVELS.full;
  const best = fitted(1, width, Math.max(height, LOW), { ...needs, chrome: needs.chrome + SPANS });
  const beside = width >= 700 && best.beside;
  const least = beside ? LOWEST : Math.round(width / ASPECT) + STACKED;
  return { level: "full", columns: 1, last: 1, height: Math.max(height, least), beside, side: best.side };
}

/** The arrangement with the largest pictures. */
function fitted(count, width, height, { chrome, pad, strip, side }) {
  let best = { picture: -1, score: -1 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const across = (width - (columns - 1) * GAP) / columns;
    const down = Math.floor((height - (rows - 1) * GAP) / rows);
    const last = count - (rows - 1) * columns;
    if (last < 1) continue;
    for (const beside of side ? [true, false] : [false]) {
      const room = { width: across - pad - (beside ? side : 0), height: down - chrome - (beside ? 0 : strip) };
      const picture = Math.min(room.width, room.height * ASPECT);
      const score = last === columns ? picture : picture * EVEN; // cameras had better be of one size
      if (score <= best.score + 0.5) continue;
      const spare = across - pad - picture - GAP;
      best = { picture, score, across, columns, last, height: down, beside, side: beside ? Math.floor(Math.max(side - GAP, Math.min(spare, 2 * side))) : 0 };
    }
  }
  return best;
}
