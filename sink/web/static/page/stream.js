// The one connection to the server. Browsers open six to a server at the most, so nine cameras with a stream each would
// not all come; here everything comes over one: results, timelines, and the pictures of the cameras in view.

import { reason, say } from "./language.js";
import { reload } from "./unsaved.js";

const TELL_EVERY = 400; // ms
const SILENCE = 6000; // ms; the server says something every second

export class Stream extends EventTarget {
  #wish = "";
  #stop = null;
  #pause = 500;
  #on = false;
  #restarts = false;

  /** Ask for these cameras (none: all) at this width and rate; connects anew where that is something else. */
  wish(cameras, width, fps) {
    const query = new URLSearchParams({ width, fps });
    for (const name of cameras) query.append("camera", name);
    if (query.toString() === this.#wish) return;
    this.#wish = query.toString();
    if (this.#on) {
      this.stop();
      this.start();
    }
  }

  start() {
    if (this.#on) return;
    this.#on = true;
    const stop = new AbortController();
    this.#stop = stop;
    this.#keep(stop.signal);
  }

  stop() {
    this.#on = false;
    this.#stop?.abort();
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  async #keep(signal) {
    while (!signal.aborted) {
      try {
        if (await this.#read(signal)) return;
      } catch (error) {
        if (signal.aborted) return;
        const why = error instanceof TypeError ? say("page.no_answer") : error.message;
        this.#tell("lost", this.#restarts ? say("page.restarts") : why);
      }
      await new Promise((done) => setTimeout(done, this.#pause));
      this.#pause = Math.min(this.#pause * 2, 5000);
    }
  }

  /** Read until the connection ends; true: the run has. */
  async #read(signal) {
    const own = new AbortController();
    const give = () => own.abort();
    signal.addEventListener("abort", give);
    let timer = setTimeout(give, SILENCE);
    const viewer = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const tell = teller(viewer, own.signal);
    try {
      const response = await fetch(`api/live?${this.#wish}&viewer=${viewer}`, { signal: own.signal, cache: "no-store" });
      if (!response.ok) {
        if (response.status === 401) reload(); // it asks for the token
        const told = await response.json().catch(() => ({}));
        throw new Error(told.detail ? reason(told.detail) : say("page.bad_answer", { status: String(response.status) }));
      }
      for await (const { head, body } of records(response.body.getReader())) {
        clearTimeout(timer);
        timer = setTimeout(give, SILENCE);
        if (signal.aborted) return true;
        tell();
        this.#pause = 500;
        this.#tell(head.kind, { ...head, body });
        if (head.kind === "end") return true;
        this.#restarts = head.kind === "restart";
      }
      throw new Error(say("page.cut_off"));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", give);
      own.abort();
    }
  }
}

/** Counts what has come, and tells the server twice a second: a proxy in between takes everything at once, so that the
 * server cannot see by itself that this viewer is slow. */
function teller(viewer, signal) {
  let come = 0;
  let waiting = 0;
  const send = () => {
    waiting = 0;
    if (!signal.aborted) fetch(`api/seen?viewer=${viewer}&number=${come}`, { signal, cache: "no-store" }).catch(() => {});
  };
  return () => {
    come += 1;
    if (!waiting) waiting = setTimeout(send, come === 1 ? 0 : TELL_EVERY);
  };
}

/** Records of two lengths, a JSON object and a picture. */
async function* records(reader) {
  let held = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
    while (held.length >= 8) {
      const view = new DataView(held.buffer, held.byteOffset, 8);
      const head = view.getUint32(0);
      const whole = 8 + head + view.getUint32(4);
      if (held.length < whole) break;
      yield {
        head: JSON.parse(new TextDecoder().decode(held.subarray(8, 8 + head))),
        body: held.slice(8 + head, whole),
      };
      held = held.subarray(whole);
    }
  }
}
