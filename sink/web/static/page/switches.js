// What is drawn over the pictures, as the viewer wants it; remembered by the browser.

const KEY = "shown";
const USUAL = { boxes: true, labels: true, percentages: true, landmarks: false, paths: false, areas: true };

export class Switches extends EventTarget {
  now = { ...USUAL };

  /** @param box holds a checkbox for each, named like it. */
  constructor(box) {
    super();
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      for (const name of Object.keys(USUAL)) if (typeof kept[name] === "boolean") this.now[name] = kept[name];
    } catch {
      // storage may be forbidden: the usual will do
    }
    this.inputs = new Map([...box.querySelectorAll("input")].map((input) => [input.name, input]));
    for (const [name, input] of this.inputs) {
      input.checked = this.now[name];
      input.addEventListener("change", () => this.#set(name, input.checked));
    }
  }

  toggle(name) {
    const input = this.inputs.get(name);
    input.checked = !input.checked;
    this.#set(name, input.checked);
  }

  #set(name, yes) {
    this.now[name] = yes;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.now));
    } catch {
      // it lasts as long as this page, then
    }
    this.dispatchEvent(new Event("change"));
  }
}
