// The events of one camera: small marks on its timeline, and their words.

import { colour } from "./emotions.js";
import { emotion, reason, say } from "./language.js";

const KEPT = 500; // as many as the server tells a new viewer
const NEAR = 1.5; // seconds of the timeline within which an event belongs to a point
const SIZE = 8; // pixels

/** Pixels above the plot in which marks stand. */
export const ROOM = SIZE + 3;

const WORDS = {
  face_appeared: ({ track }) => say("timeline.face_appeared", { track: String(track) }),
  face_left: ({ track }) => say("timeline.face_left", { track: String(track) }),
  emotion_changed: ({ track, from, to }) => say("timeline.emotion_changed", { track: String(track), from: emotion(from), to: emotion(to) }),
  scene_cut: () => say("timeline.scene_cut"),
  camera_lost: (event) => say("timeline.camera_lost", { reason: reason(event.reason) }),
  camera_back: () => say("timeline.camera_back"),
};

export class Marks {
  #events = new Map();

  /** Take in an event; one that came before, as after a reconnection, is known by its id. */
  add(event) {
    if (!(event.kind in WORDS)) return false;
    this.#events.delete(event.id);
    this.#events.set(event.id, event);
    if (this.#events.size > KEPT) this.#events.delete(this.#events.keys().next().value);
    return true;
  }

  /** Forget all: the timeline begins anew. */
  clear() {
    this.#events.clear();
  }

  /** What happened around this time of the axis, for people. */
  words(at, axis) {
    const near = [...this.#events.values()].filter((event) => Math.abs(placeOf(event, axis) - at) <= NEAR);
    return near.slice(-3).map((event) => WORDS[event.kind](event)).join(", ");
  }

  /** Draw them above the plot: who comes points down into it, who goes up, a change is a dot in its new colour. */
  draw(plot, axis, ink) {
    const { ctx } = plot;
    const unit = devicePixelRatio;
    const size = SIZE * unit;
    const { top: floor, height } = plot.bbox;
    const top = floor - size - unit;
    ctx.save();
    for (const event of this.#events.values()) {
      const at = placeOf(event, axis);
      if (!(at >= plot.scales.x.min && at <= plot.scales.x.max)) continue;
      const x = plot.valToPos(at, "x", true);
      ctx.fillStyle = event.kind === "emotion_changed" ? colour(event.to) : ink;
      ctx.strokeStyle = ink;
      ctx.lineWidth = unit;
      ctx.beginPath();
      if (event.kind === "scene_cut" || event.kind.startsWith("camera_")) {
        ctx.setLineDash(event.kind === "scene_cut" ? [2 * unit, 3 * unit] : []);
        ctx.moveTo(x, top);
        ctx.lineTo(x, floor + height);
      } else if (event.kind === "emotion_changed") {
        ctx.setLineDash([]);
        ctx.arc(x, top + size / 2, size / 2, 0, 2 * Math.PI);
        ctx.fill();
      } else {
        const [from, to] = event.kind === "face_appeared" ? [top, top + size] : [top + size, top];
        ctx.setLineDash([]);
        ctx.moveTo(x - size / 2, from);
        ctx.lineTo(x + size / 2, from);
        ctx.lineTo(x, to);
        ctx.closePath();
        ctx.fill();
      }
      ctx.stroke();
    }
    ctx.restore();
  }
}

/** Where an event lies on the axis: of a recording in its own time, else on the clock. */
function placeOf(event, axis) {
  if (axis !== "clock") return event.time ?? NaN;
  return Date.parse(event.captured_at ?? event.told_at) / 1000;
}
