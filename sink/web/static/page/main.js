// The page: all cameras in a grid, and how the run does.

import { Camera } from "./camera.js";
import { colour, forgetColours, milliseconds, rate, seconds, USUAL } from "./emotions.js";
import { arrange, GAP } from "./grid.js";
import { emotion, say } from "./language.js";
import { Stream } from "./stream.js";
import { Switches } from "./switches.js";
import { reload } from "./unsaved.js";
import { kept, nameOf, overall, skipped } from "./words.js";

const $ = (id) => document.getElementById(id);
const WIDTHS = [320, 480, 640, 960, 1280, 1920];

const cameras = new Map();
const inView = new Set();
const fresh = new Map();
const stream = new Stream();
const switches = new Switches($("shown"));
let labels = USUAL;
let order = [];
let paused = false;
let ended = false;
let large = null;
let wishing = 0;

// --- what comes from the server -----------------------------------------------------------------------------------

stream.addEventListener("status", ({ detail: status }) => {
  if (status.labels.length && status.labels.join() !== labels.join()) {
    labels = status.labels;
    legend();
  }
  order = status.cameras.map(({ name }) => name);
  for (const name of cameras.keys()) if (!order.includes(name)) remove(name);
  for (const each of status.cameras) {
    const camera = cameras.get(each.name) ?? add(each.name);
    if (camera.status({ ...each, editable: status.editable }) && camera.state !== "waiting") tell(say("page.told", { name: each.display_name, state: nameOf(camera.state) }));
  }
  arrangeAnew();
  const { state: worst, text, why } = overall(status.cameras);
  const moves = status.cameras.some(({ name }) => cameras.get(name).state === "live");
  $("fps").textContent = moves ? rate(status.fps) : "–";
  $("p50").textContent = moves ? milliseconds(status.latency_ms.p50) : "–";
  $("p99").textContent = moves ? milliseconds(status.latency_ms.p99) : "–";
  $("lag").textContent = moves ? seconds(status.lag_seconds) : "–";
  dropped(status);
  $("notice").textContent = status.notice;
  $("notice").hidden = !status.notice;
  keeps(status.kept);
  if (!ended) state(worst, text, why);
  banner("");
});
stream.addEventListener("result", ({ detail }) => {
  if (!fresh.size) requestAnimationFrame(paint);
  fresh.set(detail.camera, detail);
});
stream.addEventListener("picture", ({ detail }) => cameras.get(detail.camera)?.picture(detail));
stream.addEventListener("timeline", ({ detail }) => cameras.get(detail.camera)?.timeline(detail, labels));
stream.addEventListener("event", ({ detail }) => cameras.get(detail.camera)?.event(detail.event));
stream.addEventListener("lost", ({ detail }) => {
  state("lost", say("page.no_connection"));
  banner(say("page.again", { why: detail }));
});
stream.addEventListener("end", () => {
  ended = true;
  document.body.dataset.still = "true";
  state("ended");
  banner(say("page.over_stays"));
  tell(say("page.over"));
  $("pause").disabled = true;
  keepResults();
  setInterval(lookForNext, 10000);
});

/** Show the newest results; those that came in between, no screen could have shown. */
function paint() {
  for (const [name, result] of fresh) cameras.get(name)?.result(result);
  fresh.clear();
}

/** How many frames were skipped, of all cameras. */
function keeps(told) {
  const { text, more, full } = kept(told);
  $("kept").hidden = !text;
  $("kept").textContent = text;
  $("kept").title = more;
  $("kept").toggleAttribute("data-full", full);
}

function dropped(status) {
  const reasons = {};
  for (const camera of status.cameras) {
    for (const [name, count] of Object.entries(camera.reasons)) reasons[name] = (reasons[name] ?? 0) + count;
  }
  const { share, text } = skipped(status.frames, status.dropped, reasons);
  $("dropped").textContent = share;
  $("dropped").parentElement.title = text ? say("page.skipped_told", { text }) : say("page.skipped_means");
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
      link.title = say("page.results_gone");
    }
  }
}

/** Where another run begins at the same address, show it. */
async function lookForNext() {
  const response = await fetch("api/run", { cache: "no-store" }).catch(() => null);
  if (response?.ok) reload();
}

// --- cameras ------------------------------------------------------------------------------------------------------

function add(name) {
  const camera = new Camera(name, switches, tell);
  cameras.set(name, camera);
  const after = order.slice(order.indexOf(name) + 1).find((other) => cameras.has(other));
  $("cameras").insertBefore(camera.root, after ? cameras.get(after).root : null);
  $("empty").hidden = true;
  camera.addEventListener("enlarge", () => (large === camera ? leave() : visit(camera)));
  camera.addEventListener("more", () => (large === camera ? camera.root.querySelector(".faces").scrollBy({ top: 200, left: 200 }) : visit(camera)));
  camera.addEventListener("alone", () => large !== camera && cameras.size > 1 && visit(camera));
  camera.addEventListener("full", fullScreen);
  camera.pause(paused);
  watcher.observe(camera.root);
  if (named() === name) enlarge(camera, false);
  fit();
  return camera;
}

/** A camera that is no more: the address of one that filled the window leads back to all. */
function remove(name) {
  const camera = cameras.get(name);
  const focused = camera.root.contains(document.activeElement);
  if (large === camera) {
    if (document.fullscreenElement) document.exitFullscreen();
    history.replaceState(null, "", location.pathname + location.search);
    enlarge(null, false);
  } else camera.enlarged(false); // one that is alone may be drawn on without
  cameras.delete(name);
  inView.delete(name);
  fresh.delete(name);
  watcher.unobserve(camera.root);
  camera.root.remove();
  $("empty").hidden = cameras.size > 0;
  if (focused) $("cameras").focus();
  tell(say("page.removed", { name: camera.title }));
  fit();
}

/** Put the cameras into the order that the server tells, where it has become another one. */
function arrangeAnew() {
  const roots = order.map((name) => cameras.get(name).root);
  if (roots.every((root, n) => $("cameras").children[n] === root)) return;
  const focused = document.activeElement;
  $("cameras").append(...roots);
  if (document.activeElement !== focused) focused.focus({ preventScroll: true });
  fit();
}

/** All cameras as they stand on the page. */
const inOrder = () => [...$("cameras").children].map((root) => cameras.get(root.dataset.name));

/** Lay the cameras out in the room that there is. */
function fit() {
  const box = $("cameras");
  const style = getComputedStyle(box);
  const others = [...document.body.children].filter((e) => e !== box && getComputedStyle(e).position !== "absolute");
  const used = others.reduce((sum, e) => sum + e.offsetHeight, 0) + parseFloat(style.paddingTop) + parseFloat(style.paddingBottom);
  const width = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const count = large ? 1 : cameras.size;
  const { level, columns, last, height, beside, side } = arrange(count, width, document.documentElement.clientHeight - used - 1);
  box.dataset.level = level;
  box.dataset.fits = String(height !== null);
  box.dataset.beside = String(beside);
  box.dataset.count = String(count);
  box.dataset.columns = String(columns);
  box.style.gap = `${GAP}px`;
  box.style.setProperty("--tracks", columns * last);
  box.style.setProperty("--span", last);
  box.style.setProperty("--last-span", columns);
  box.style.setProperty("--height", height === null ? "auto" : `${height}px`);
  box.style.setProperty("--side", `${side}px`);
  const roots = [...box.children];
  roots.forEach((root, n) => root.classList.toggle("last-row", !large && n >= roots.length - last));
  wishSoon();
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

// --- one camera fills the window; its address is #NAME ----------------------------------------------------------------

/** The camera that the address names, or an empty text. */
function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

const addressOf = (camera) => `#${encodeURIComponent(camera.name)}`;

/** Show one camera, from the grid or from another one. */
function visit(camera) {
  if (large !== camera && large?.holds()) return;
  const address = addressOf(camera);
  if (large) history.replaceState(history.state, "", address);
  else history.pushState({ fromGrid: true }, "", address);
  enlarge(camera);
}

/** Back to all cameras, as the browser's Back does. */
function leave() {
  if (!large || large.holds()) return;
  if (document.fullscreenElement) document.exitFullscreen();
  if (history.state?.fromGrid) {
    history.back();
    return;
  }
  history.replaceState(null, "", location.pathname + location.search);
  enlarge(null);
}

function enlarge(camera, moved = true) {
  if (large === camera) return;
  const before = large;
  large?.enlarged(false);
  camera?.enlarged(true);
  large = camera;
  $("cameras").classList.toggle("one", camera !== null);
  document.title = camera ? `${camera.name} · Emotion Stream` : "Emotion Stream";
  fit();
  if (moved) (camera ?? before).root.focus({ preventScroll: camera !== null });
}

addEventListener("popstate", () => {
  const camera = cameras.get(named()) ?? null;
  // The browser does not ask before it goes back within a page, and has gone already: forth again.
  if (large !== camera && large?.holds()) history.pushState({ fromGrid: camera === null }, "", addressOf(large));
  else enlarge(camera);
});

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => tell(say("page.no_full_screen")));
}

document.addEventListener("fullscreenchange", () => {
  document.body.classList.toggle("full-screen", document.fullscreenElement !== null);
  fit();
});

/** The camera in focus, else the enlarged one, else the first. */
function chosen() {
  const focused = document.activeElement?.closest(".camera")?.dataset.name;
  return cameras.get(focused) ?? large ?? inOrder()[0];
}

/** `F`: from the grid to one camera, and from there to the whole screen. */
function grow() {
  const camera = chosen();
  if (!camera) return;
  if (large || cameras.size === 1) fullScreen();
  else visit(camera);
}

/** To the camera that is so many further; in the grid, with the focus. */
function walk(step) {
  const all = inOrder();
  if (all.length < 2) return;
  if (large) {
    visit(all[(all.indexOf(large) + step + all.length) % all.length]);
    return;
  }
  const focused = document.activeElement?.closest(".camera");
  const at = focused ? all.indexOf(cameras.get(focused.dataset.name)) + step : 0;
  all[at]?.root.focus();
}

// --- how it goes --------------------------------------------------------------------------------------------------

function state(kind, text = nameOf(kind), why = "") {
  if (paused && kind !== "ended") return;
  $("run-state").textContent = text;
  $("run-state").dataset.state = kind;
  $("run-state").title = why;
}

function banner(text) {
  if (ended && !text) return;
  $("banner").textContent = text;
  $("banner").hidden = !text;
}

function tell(text) {
  $("told").textContent = text;
}

function legend() {
  $("legend").replaceChildren(
    ...labels.map((name, n) => {
      const item = document.createElement("li");
      const swatch = item.appendChild(document.createElement("i"));
      swatch.style.background = colour(name, n);
      item.append(emotion(name));
      return item;
    }),
  );
}

function pause(yes) {
  if (ended) return;
  paused = false;
  state(yes ? "paused" : "waiting", yes ? nameOf("paused") : say("page.connecting"));
  paused = yes;
  document.body.dataset.still = String(yes);
  for (const camera of cameras.values()) camera.pause(yes);
  $("pause").setAttribute("aria-pressed", String(yes));
  $("pause").querySelector("span").textContent = say(yes ? "page.go_on" : "page.pause");
  tell(say(yes ? "page.is_paused" : "page.goes_on"));
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
  legend();
  for (const camera of cameras.values()) camera.redraw(labels);
}

const showAreas = () => $("cameras").classList.toggle("no-areas", !switches.now.areas);
switches.addEventListener("change", showAreas);
showAreas();

// --- what people do -----------------------------------------------------------------------------------------------

const MENUS = ["download", "overlays"];
const menu = (id) => {
  const open = !$(id).open;
  for (const each of MENUS) $(each).open = each === id && open;
};

const KEYS = {
  " ": () => pause(!paused),
  s: () => chosen()?.save(),
  f: grow,
  d: () => menu("download"),
  o: () => menu("overlays"),
  b: () => switches.toggle("boxes"),
  l: () => switches.toggle("labels"),
  p: () => switches.toggle("percentages"),
  m: () => switches.toggle("landmarks"),
  a: () => switches.toggle("areas"),
  e: () => (large ?? (cameras.size === 1 && chosen()))?.edit?.(),
  t: changeTheme,
  "?": () => $("keys").showModal(),
  ArrowLeft: () => walk(-1),
  ArrowRight: () => walk(1),
  ArrowUp: () => !large && walk(-Number($("cameras").dataset.columns)),
  ArrowDown: () => !large && walk(Number($("cameras").dataset.columns)),
  Enter: () => document.activeElement?.classList.contains("camera") && !large && cameras.size > 1 && visit(chosen()),
  Escape: () => {
    if (MENUS.some((id) => $(id).open)) for (const id of MENUS) $(id).open = false;
    else leave();
  },
};

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("button, a, summary, input, dialog") && (event.key === " " || event.key === "Enter");
  if (event.ctrlKey || event.metaKey || event.altKey || busy || $("keys").open) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  if (event.key === " ") event.preventDefault();
  if (event.key.startsWith("Arrow") && document.activeElement?.closest(".camera")) event.preventDefault();
  action();
});
document.addEventListener("click", (event) => {
  for (const id of MENUS) if (!event.target.closest(`#${id}`) || event.target.closest("a")) $(id).open = false;
  for (const open of document.querySelectorAll(".why[open]")) if (!open.contains(event.target)) open.open = false;
});
$("pause").addEventListener("click", () => pause(!paused));
$("theme").addEventListener("click", changeTheme);
$("help").addEventListener("click", () => $("keys").showModal());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names cameras
  $("cameras").focus();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("resize", fit);
const room = new ResizeObserver(() => requestAnimationFrame(fit));
for (const element of document.querySelectorAll(".top, #notice, #banner, footer")) room.observe(element);

// A page that nobody sees takes nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.stop();
  else if (!paused && !ended) stream.start();
});
setInterval(() => {
  if (!ended) for (const camera of cameras.values()) camera.tick();
}, 250);

legend();
fit();
wish();
if (!document.hidden) stream.start();
