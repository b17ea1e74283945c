// What the page says of cameras, in words for people. Pure.

import { percent, seconds } from "./emotions.js";
import { dayAndTime, decimal, named, reason, say } from "./language.js";

/** From the worst to the best; what has ended is told only where nothing else is left. */
const WORST = ["lost", "frozen", "waiting", "paused", "live"];
const METRIC = "emotion_dropped_frames_total";

/** The state of a camera; earlier servers say "no signal" for "lost". */
export const stateOf = (status) => (status.state === "no signal" ? "lost" : status.state);

export const nameOf = (state) => named("states", state);

/** What stands over the picture of a camera that is not live, or nothing.
 *
 * @param status as the server told it `ago` seconds ago; `age`: seconds since its newest result, or null.
 * @param has whether there is a picture to look at. */
export function veil(status, ago, age, has) {
  const state = stateOf(status);
  const why = status.reason ? reason(status.reason) : "";
  if (state === "lost") {
    const lasts = lasting(status, age);
    const alone = () => (lasts === null ? say("camera.no_signal") : say("camera.no_signal_for", { time: seconds(lasts) }));
    return again(why ? say("camera.no_signal_why", { why }) : alone(), status, ago);
  }
  if (state === "frozen") {
    const lasts = lasting(status, null);
    if (why) return say("camera.frozen_why", { why });
    return lasts === null ? say("camera.frozen") : say("camera.frozen_for", { time: seconds(lasts) });
  }
  if (has) return "";
  if (state === "waiting") return again(awaited(status.reason), status, ago);
  if (state !== "ended") return "";
  return why ? say("camera.ended_why", { why }) : say("camera.ended");
}

/** What is waited for; "no result yet" is what the sink says of a camera of which it knows nothing more. */
function awaited(told) {
  if (!told || told.startsWith("no result yet")) return say("camera.first");
  const why = reason(told);
  return why[0].toUpperCase() + why.slice(1);
}

/** The text, and when it is tried again. */
function again(text, status, ago) {
  if (status.retry_s === null || status.retry_s === undefined) return text;
  const left = status.retry_s - ago;
  return left >= 0.5 ? say("camera.again_in", { text, n: Math.round(left) }) : say("camera.again_now", { text });
}

/** Seconds that a state has lasted. */
export function lasting(status, age) {
  if (status.since) return Math.max(0, Date.now() / 1000 - status.since);
  return age;
}

/** What stands where faces would be, while there is none. */
export function nobody(state, shown) {
  if (state === "live" || state === "paused") return shown ? say("camera.nobody") : "";
  return state === "ended" && shown ? nameOf(state) : "";
}

/** The state of the whole run: the worst of its cameras, how many are affected, and why. */
export function overall(cameras) {
  if (!cameras.length) return { state: "waiting", text: nameOf("waiting"), why: "" };
  const going = cameras.filter((camera) => stateOf(camera) !== "ended");
  if (!going.length) return { state: "ended", text: nameOf("ended"), why: "" };
  const states = going.map(stateOf);
  const state = WORST.find((each) => states.includes(each)) ?? "live";
  const some = going.filter((camera) => stateOf(camera) === state);
  const over = cameras.length - going.length;
  let text = nameOf(state);
  if (state !== "live" && cameras.length > 1) {
    const [n, all] = [some.length, cameras.length];
    text = n === all ? say("page.all", { n, state: text }) : say("page.some", { n, all, state: text });
  } else if (over) {
    text = say("page.some_ended", { state: text, n: over });
  }
  const why = state === "live" ? "" : some.map((camera) => camera.display_name + (camera.reason ? `: ${reason(camera.reason)}` : "")).join("\n");
  return { state, text, why };
}

/** Of so many frames, how many were skipped or lost; and what that means, for who asks. */
export function skipped(frames, dropped, reasons) {
  const lost = reasons.missing ?? 0;
  const over = dropped - lost;
  const all = frames + dropped;
  const parts = [];
  if (over) parts.push(say("camera.skipped", { share: share(over, all) }));
  if (lost) parts.push(say("camera.lost", { n: lost }));
  const details = Object.entries(reasons).filter(([, count]) => count);
  return {
    share: dropped ? share(dropped, all) : percent(0),
    text: parts.join(", "),
    details: details.map(([name, count]) => ({ count, name, means: named("skipped", name) })),
    metric: METRIC,
  };
}

/** What is kept of the results, what goes next, and whether a disk is full; empty where results are not kept so. */
export function kept(told) {
  if (!told) return { text: "", more: "", full: false };
  const parts = [say("kept.size", { size: bytes(told.size) })];
  if (told.oldest !== null) parts.push(say("kept.since", { time: dayAndTime(told.oldest) }));
  if (told.room !== null) parts.push(say("kept.room", { size: bytes(told.room) }));
  const full = told.paused.length > 0;
  if (full) parts.push(say("kept.full", { outputs: told.paused.join(", ") }));
  else if (told.next && told.next_at !== null) parts.push(say("kept.next", { time: dayAndTime(told.next_at) }));
  return { text: parts.join(" · "), more: told.next ? say("kept.which", { name: told.next }) : "", full };
}

function bytes(value) {
  if (value >= 2 ** 30) return say("units.gib", { n: decimal(value / 2 ** 30) });
  return say("units.mib", { n: decimal(value / 2 ** 20) });
}

function share(part, all) {
  const value = part / Math.max(1, all);
  return value < 0.01 ? say("units.little") : percent(value);
}
