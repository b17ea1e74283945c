// The description of the interface, /openapi.json, for people. Small on purpose: there are eight things to read.

import { say } from "./page/language.js";

const text = await (await fetch("openapi.json")).json();

function make(tag, content = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = content;
  if (name) made.className = name;
  return made;
}

/** A text with `code` in it, a paragraph for every blank line. */
function prose(told) {
  const box = make("div");
  box.lang = "en"; // as the interface itself
  for (const part of (told ?? "").split(/\n\s*\n/).filter(Boolean)) {
    const line = box.appendChild(make("p"));
    part.split(/`([^`]+)`/).forEach((piece, i) => line.append(i % 2 ? make("code", piece) : piece));
  }
  return box;
}

const KINDS = { integer: "docs.whole", number: "docs.number", boolean: "docs.yes_no", null: "docs.nothing", string: "docs.text" };

function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kind).join(` ${say("docs.or")} `);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(` ${say("docs.or")} `);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return say("docs.list", { kind: kind(schema.items) });
  if (schema.additionalProperties) return say("docs.names", { kind: kind(schema.additionalProperties) });
  return schema.type in KINDS ? say(KINDS[schema.type]) : (schema.type ?? "");
}

function table(head, rows) {
  const box = make("div", "", "scroll");
  const made = box.appendChild(make("table"));
  const top = made.appendChild(make("tr"));
  for (const name of head) top.append(make(name ? "th" : "td", name));
  for (const row of rows) {
    const line = made.appendChild(make("tr"));
    row.forEach((cell, i) => line.appendChild(make("td")).append(i === 0 ? make("code", cell) : i === 1 ? cell : prose(cell)));
  }
  return box;
}

document.getElementById("title").textContent = `${text.info.title} ${text.info.version}`;
document.getElementById("about").append(prose(text.info.description));

for (const [path, methods] of Object.entries(text.paths)) {
  for (const [method, call] of Object.entries(methods)) {
    const box = document.getElementById("paths").appendChild(make("section", "", "call"));
    const title = box.appendChild(make("h2"));
    title.lang = "en";
    title.append(make("code", `${method.toUpperCase()} ${path}`), ` ${call.summary}`);
    box.append(prose(call.description));
    const given = (call.parameters ?? []).map((p) => [p.name, kind(p.schema), p.description ?? "", `${p.schema.default ?? ""}`]);
    if (given.length) box.append(table([say("docs.parameter"), say("docs.type"), "", say("docs.default")], given));
    const answers = Object.entries(call.responses).filter(([code]) => code === "200");
    for (const [, answer] of answers) {
      const forms = Object.entries(answer.content ?? {}).map(([form, { schema }]) => [form, kind(schema)].filter(Boolean).join(": "));
      if (forms.length) box.append(make("p", say("docs.answers", { forms: forms.join(`, ${say("docs.or")} `) }), "muted"));
    }
    if (!path.includes("{") && !/events|live/.test(path)) {
      const link = box.appendChild(make("a", say("docs.try")));
      link.href = path.slice(1); // below the path that a proxy serves this by
    }
  }
}

for (const [name, schema] of Object.entries(text.components?.schemas ?? {})) {
  if (/Validation/.test(name)) continue;
  const box = document.getElementById("schemas").appendChild(make("section", "", "call"));
  box.append(make("h3", name), prose(schema.description));
  box.append(table([say("docs.field"), say("docs.type"), ""], Object.entries(schema.properties ?? {}).map(([field, about]) => [field, kind(about), about.description ?? ""])));
}
