// What the page says of cameras, in words for people. Pure.

import { percent, seconds } from "./emotions.js";

const NAMES = { live: "live", waiting: "waiting", paused: "paused", lost: "no signal", frozen: "frozen", ended: "ended" };
/** From the worst to the best; what has ended is told only where nothing else is left. */
const WORST = ["lost", "frozen", "waiting", "paused", "live"];
const SKIPPED = {
  superseded_detector: "a newer frame was there before faces were looked for",
  superseded_classifier: "a newer frame was there before emotions were told",
  stale_detector: "too old before faces were looked for",
  stale_classifier: "too old before emotions were told",
  redis: "Redis was away or refused them",
  missing: "lost on the way",
};
const METRIC = "emotion_dropped_frames_total";

/** The state of a camera; earlier servers say "no signal" for "lost". */
export const stateOf = (status) => (status.state === "no signal" ? "lost" : status.state);

export const nameOf = (state) => NAMES[state] ?? state;

/** What stands over the picture of a camera that is not live, or nothing.
 *
 * @param status as the server told it `ago` seconds ago; `age`: seconds since its newest result, or null.
 * @param has whether there is a picture to look at. */
export function veil(status, ago, age, has) {
  const state = stateOf(status);
  const reason = status.reason ? `: ${status.reason}` : "";
  if (state === "lost") {
    const lasts = lasting(status, age);
    const begin = reason ? `No signal${reason}` : lasts === null ? "No signal" : `No signal for ${seconds(lasts)}`;
    return `${begin}${retry(status, ago)}`;
  }
  if (state === "frozen") {
    const lasts = lasting(status, null);
    return `Frozen${reason || (lasts === null ? ": the picture does not change" : `: the same picture for ${seconds(lasts)}`)}`;
  }
  if (has) return "";
  if (state === "waiting") return `${awaited(status.reason)}${retry(status, ago)}`;
  return state === "ended" ? (reason ? `Ended${reason}` : "Ended") : "";
}

/** What is waited for; "no result yet" is what the sink says of a camera of which it knows nothing more. */
function awaited(reason) {
  if (!reason || reason.startsWith("no result yet")) return "Waiting for the first picture";
  return reason[0].toUpperCase() + reason.slice(1);
}

function retry(status, ago) {
  if (status.retry_s === null || status.retry_s === undefined) return "";
  const left = status.retry_s - ago;
  return left >= 0.5 ? `. Trying again in ${Math.round(left)} s` : ". Trying again now";
}

/** Seconds that a state has lasted. */
export function lasting(status, age) {
  if (status.since) return Math.max(0, Date.now() / 1000 - status.since);
  return age;
}

/** What stands where faces would be, while there is none. */
export function nobody(state, shown) {
  if (state === "live" || state === "paused") return shown ? "nobody in the picture" : "";
  return state === "ended" && shown ? "ended" : "";
}

/** The state of the whole run: the worst of its cameras, how many are affected, and why. */
export function overall(cameras) {
  if (!cameras.length) return { state: "waiting", text: "waiting", why: "" };
  const going = cameras.filter((camera) => stateOf(camera) !== "ended");
  if (!going.length) return { state: "ended", text: "ended", why: "" };
  const states = going.map(stateOf);
  const state = WORST.find((each) => states.includes(each)) ?? "live";
  const some = going.filter((camera) => stateOf(camera) === state);
  const over = cameras.length - going.length;
  let text = nameOf(state);
  if (state !== "live" && cameras.length > 1) {
    text = some.length === cameras.length ? `all ${some.length}: ${text}` : `${some.length} of ${cameras.length}: ${text}`;
  } else if (over) {
    text = `${text}, ${over} ended`;
  }
  const why = state === "live" ? "" : some.map((camera) => camera.display_name + (camera.reason ? `: ${camera.reason}` : "")).join("\n");
  return { state, text, why };
}

/** Of so many frames, how many were skipped or lost; and what that means, for who asks. */
export function skipped(frames, dropped, reasons) {
  const lost = reasons.missing ?? 0;
  const over = dropped - lost;
  const all = frames + dropped;
  const parts = [];
  if (over) parts.push(`${share(over, all)} of frames skipped to stay live`);
  if (lost) parts.push(`${lost} ${lost === 1 ? "frame" : "frames"} lost on the way`);
  const details = Object.entries(reasons).filter(([, count]) => count);
  return {
    share: dropped ? share(dropped, all) : "0 %",
    text: parts.join(", "),
    details: details.map(([name, count]) => ({ count, name, means: SKIPPED[name] ?? name })),
    metric: METRIC,
  };
}

function share(part, all) {
  const value = part / Math.max(1, all);
  return value < 0.01 ? "less than 1 %" : percent(value);
}
