// The words of the page, in the language that the server chose for this viewer, and numbers as people write them there.

const { language, texts, reasons } = JSON.parse(document.getElementById("words").textContent);
const plural = new Intl.PluralRules(language);
const whole = new Intl.NumberFormat(language);
const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(language, { hourCycle: "h23", timeStyle: "medium" });
const moment = new Intl.DateTimeFormat(language, { hourCycle: "h23", dateStyle: "medium", timeStyle: "short" });
const said = reasons.map(([pattern, own]) => [new RegExp(`^${pattern}$`, "s"), own]);

/** The text of a key, with values in its places; a number `n` chooses the plural form. */
export function say(key, values = {}) {
  let text = texts[key];
  if (text === undefined) throw new Error(`there is no text called ${key}`);
  if (typeof text !== "string") text = text[plural.select(values.n)] ?? text.other;
  return filled(text, values);
}

/** A text of this section, or what stands for it where there is none: names that come from a model or a metric. */
export const named = (section, name) => texts[`${section}.${name}`] ?? name;

/** An emotion's name; a label that nobody translated stays as it is. */
export const emotion = (label) => named("emotions", label);

/** What the pipeline says in English of what went wrong, in this language where it is one of our sentences. */
export function reason(text) {
  for (const [pattern, own] of said) {
    const found = pattern.exec(text);
    if (found) {
      const { why, ...rest } = found.groups ?? {};
      return filled(own, why === undefined ? rest : { ...rest, why: reason(why) }); // yet another part says why
    }
  }
  const lasted = /^(.+), (\d+ s)$/s.exec(text);
  return lasted ? `${reason(lasted[1])}, ${lasted[2]}` : text;
}

/** A whole number, or one with a digit after the comma. */
export const number = (value) => whole.format(value);
export const decimal = (value) => tenths.format(value);

/** A day and a time, seconds since 1970. */
export const dayAndTime = (at) => moment.format(new Date(at * 1000));

/** The time of the day, seconds since 1970. */
export const timeOfDay = (at) => clock.format(new Date(at * 1000));

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, place) => (typeof values[place] === "number" ? number(values[place]) : values[place]));
}
