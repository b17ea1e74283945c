// The page: all cameras in a grid, and how the run does.

import { Camera } from "./camera.js";
import { forgetColours, milliseconds, seconds, USUAL } from "./emotions.js";
import { Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const WIDTHS = [320, 480, 640, 960, 1280, 1920];

const cameras = new Map();
const inView = new Set();
const fresh = new Map();
const stream = new Stream();
let labels = USUAL;
let paused = false;
let ended = false;
let large = null;
let wishing = 0;

// --- what comes from the server -----------------------------------------------------------------------------------

stream.addEventListener("status", ({ detail: status }) => {
  if (status.labels.length) labels = status.labels;
  for (const each of status.cameras) {
    const camera = cameras.get(each.name) ?? add(each.name);
    if (camera.status(each) && each.state !== "waiting") tell(`Camera ${each.name}: ${each.state}`);
  }
  $("fps").textContent = `${status.fps.toFixed(1)} fps`;
  $("p50").textContent = milliseconds(status.latency_ms.p50);
  $("p99").textContent = milliseconds(status.latency_ms.p99);
  $("lag").textContent = seconds(status.lag_seconds);
  $("dropped").textContent = String(status.dropped);
  $("notice").textContent = status.notice;
  $("notice").hidden = !status.notice;
  if (!ended) state("live");
  banner("");
});
stream.addEventListener("result", ({ detail }) => {
  if (!fresh.size) requestAnimationFrame(paint);
  fresh.set(detail.camera, detail);
});
stream.addEventListener("picture", ({ detail }) => cameras.get(detail.camera)?.picture(detail));
stream.addEventListener("timeline", ({ detail }) => cameras.get(detail.camera)?.timeline(detail, labels));
stream.addEventListener("lost", ({ detail }) => {
  state("lost", "no connection");
  banner(`${detail}: trying again`);
});
stream.addEventListener("end", () => {
  ended = true;
  document.body.dataset.still = "true";
  state("ended");
  banner("The run has ended. The last pictures stay until you close this page.");
  tell("The run has ended");
  $("pause").disabled = true;
  keepResults();
  setInterval(lookForNext, 10000);
});

/** Show the newest results; those that came in between, no screen could have shown. */
function paint() {
  for (const [name, result] of fresh) cameras.get(name)?.result(result);
  fresh.clear();
}

/** The server goes away now: fetch what can be downloaded while it is still there. */
async function keepResults() {
  for (const format of ["jsonl", "csv"]) {
    const link = $(`get-${format}`);
    try {
      const response = await fetch(link.href);
      if (!response.ok) throw new Error(String(response.status));
      const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "");
      link.href = URL.createObjectURL(await response.blob());
      link.download = name ? name[1] : `emotions.${format}`;
    } catch {
      link.removeAttribute("href");
      link.title = "no longer there: the run has ended";
    }
  }
}

/** Where another run begins at the same address, show it. */
async function lookForNext() {
  const response = await fetch("/api/run", { cache: "no-store" }).catch(() => null);
  if (response?.ok) location.reload();
}

// --- cameras ------------------------------------------------------------------------------------------------------

function add(name) {
  const camera = new Camera(name);
  cameras.set(name, camera);
  const after = [...cameras.keys()].sort().find((other) => other > name && cameras.get(other).root.isConnected);
  $("cameras").insertBefore(camera.root, after ? cameras.get(after).root : null);
  $("cameras").dataset.count = String(cameras.size);
  $("cameras").classList.toggle("dense", cameras.size > 4);
  $("cameras").classList.toggle("crowd", cameras.size > 6);
  $("empty").hidden = true;
  camera.addEventListener("enlarge", () => enlarge(large === camera ? null : camera));
  camera.root.querySelector(".screen").addEventListener("dblclick", () => enlarge(large === camera ? null : camera));
  watcher.observe(camera.root);
  return camera;
}

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.add(target.dataset.name);
    else inView.delete(target.dataset.name);
  }
  wishSoon();
}, { rootMargin: "100px" });

/** Ask for the cameras in view only, no wider than they are shown, and less often where there are many. */
function wish() {
  const names = [...inView].sort();
  const all = names.length === 0 || names.length === cameras.size;
  const widest = Math.max(0, ...names.map((name) => cameras.get(name).pixels)) || 640;
  const width = WIDTHS.find((step) => step >= widest * 0.9) ?? WIDTHS.at(-1);
  stream.wish(all ? [] : names, width, names.length <= 2 ? 30 : names.length <= 4 ? 20 : 12);
}

function wishSoon() {
  clearTimeout(wishing);
  wishing = setTimeout(wish, 300);
}

function enlarge(camera) {
  large?.enlarged(false);
  camera?.enlarged(true);
  large = camera;
  $("cameras").classList.toggle("one", camera !== null);
  camera?.root.scrollIntoView({ block: "nearest" });
  wishSoon();
}

/** The camera in focus, else the enlarged one, else the first. */
function chosen() {
  const focused = document.activeElement?.closest(".camera")?.dataset.name;
  return cameras.get(focused) ?? large ?? cameras.get([...cameras.keys()].sort()[0]);
}

// --- how it goes --------------------------------------------------------------------------------------------------

function state(kind, text = kind) {
  if (paused && kind !== "ended") return;
  $("run-state").textContent = text;
  $("run-state").dataset.state = kind;
}

function banner(text) {
  if (ended && !text) return;
  $("banner").textContent = text;
  $("banner").hidden = !text;
}

function tell(text) {
  $("told").textContent = text;
}

function pause(yes) {
  if (ended) return;
  paused = false;
  state(yes ? "paused" : "live");
  paused = yes;
  document.body.dataset.still = String(yes);
  $("pause").setAttribute("aria-pressed", String(yes));
  $("pause").querySelector("span").textContent = yes ? "Go on" : "Pause";
  tell(yes ? "Paused" : "Live again");
  if (yes) stream.stop();
  else stream.start();
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // it lasts as long as this page, then
  }
  redraw();
}

function redraw() {
  forgetColours();
  for (const camera of cameras.values()) camera.redraw(labels);
}

// --- what people do -----------------------------------------------------------------------------------------------

const KEYS = {
  " ": () => pause(!paused),
  s: () => chosen()?.save(),
  f: () => enlarge(large ? null : chosen() ?? null),
  d: () => $("download").toggleAttribute("open"),
  t: changeTheme,
  "?": () => $("keys").showModal(),
  Escape: () => {
    enlarge(null);
    $("download").open = false;
  },
};

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("button, a, summary, input, dialog") && (event.key === " " || event.key === "Enter");
  if (event.ctrlKey || event.metaKey || event.altKey || busy || $("keys").open) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  if (event.key === " ") event.preventDefault();
  action();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("#download summary")) $("download").open = false;
});
$("pause").addEventListener("click", () => pause(!paused));
$("theme").addEventListener("click", changeTheme);
$("help").addEventListener("click", () => $("keys").showModal());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("resize", wishSoon);

// A page that nobody sees takes nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.stop();
  else if (!paused && !ended) stream.start();
});
setInterval(() => {
  if (!paused && !ended) for (const camera of cameras.values()) camera.tick();
}, 250);

wish();
if (!document.hidden) stream.start();
