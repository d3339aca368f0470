// Shows /openapi.json and sends requests to this worker. Text goes into text nodes only.
"use strict";

const make = (tag, attributes, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};

const resolve = (api, schema) =>
  schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema || {};

// A value that shows the shape of a schema.
const example = (api, given, depth = 0) => {
  const schema = resolve(api, given);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => example(api, part, depth)));
  if (schema.oneOf) return example(api, schema.oneOf.find((part) => part.type !== "null"), depth);
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  if (type === "array") return depth > 5 ? [] : [example(api, schema.items, depth + 1)];
  if (type === "object" || schema.properties) {
    const object = {};
    for (const [name, part] of Object.entries(schema.properties || {})) object[name] = example(api, part, depth + 1);
    if (typeof schema.additionalProperties === "object") object["…"] = example(api, schema.additionalProperties, depth + 1);
    return object;
  }
  return { string: "text", integer: 0, number: 0, boolean: true }[type] ?? null;
};

const bodySchema = (part) => part && part.content && (part.content["application/json"] || {}).schema;

const pretty = (api, schema) => JSON.stringify(example(api, schema), null, 2);

const responses = (api, operation) => {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const schema = bodySchema(response);
    const cell = make("td", {}, response.description || "");
    if (schema) cell.append(make("pre", {}, pretty(api, schema)));
    return make("tr", {}, make("td", {}, make("code", {}, status)), cell);
  });
  return make("table", {}, ...rows);
};

const tryIt = (api, path, verb, operation) => {
  const fields = (operation.parameters || []).map((parameter) => {
    const input = make("input", { name: parameter.name, placeholder: parameter.description || parameter.in });
    return { parameter, input, label: make("label", {}, parameter.name + " ", input) };
  });
  const schema = bodySchema(operation.requestBody);
  const body = schema && make("textarea", { value: pretty(api, schema), spellcheck: false });
  const answer = make("pre", { hidden: true });
  const send = make("button", { type: "button" }, "Send");
  send.onclick = async () => {
    let target = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of fields) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.append(parameter.name, input.value);
    }
    if ([...query].length) target += "?" + query;
    const request = { method: verb.toUpperCase() };
    if (body) Object.assign(request, { body: body.value, headers: { "Content-Type": "application/json" } });
    answer.hidden = false;
    try {
      const response = await fetch(target, request);
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON: shown as it came */ }
      answer.textContent = `${request.method} ${target}\n${response.status} ${response.statusText}\n\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  return [...fields.map((field) => field.label), ...(body ? [body] : []), send, answer];
};

const operationOf = (api, path, verb, operation) =>
  make("details", {},
    make("summary", {}, make("span", { className: "verb" }, verb.toUpperCase()), make("code", {}, path),
      " " + (operation.summary || "")),
    make("div", { className: "inside" },
      make("p", {}, operation.description || ""),
      responses(api, operation), make("h4", {}, "Try it"), ...tryIt(api, path, verb, operation)));

const show = (api) => {
  document.getElementById("about").textContent = `${api.info.description} Version ${api.info.version}.`;
  const main = document.getElementById("operations");
  for (const tag of api.tags) {
    main.append(make("h2", {}, tag.name), make("p", {}, tag.description || ""));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [verb, operation] of Object.entries(item)) {
        if ((operation.tags || []).includes(tag.name)) main.append(operationOf(api, path, verb, operation));
      }
    }
  }
};

fetch("/openapi.json").then((response) => response.json()).then(show);
