/** Shows the service's OpenAPI document, so that the reference always matches it, and sends requests. */

import { Account } from "./account.js";
import { byId, make } from "./dom.js";
import { tryIt } from "./tryit.js";

/** @typedef {Record<string, any>} Json one object of the document */

const METHODS = ["get", "post", "put", "patch", "delete"];

const account = new Account();
/** @type {Json} */
let api = {};

/**
 * Follow a `$ref` within the document.
 *
 * @param {Json} node
 * @returns {Json}
 */
function resolved(node) {
  if (!node?.$ref) return node ?? {};
  const steps = node.$ref.replace(/^#\//, "").split("/");
  return resolved(
    steps.reduce((/** @type {Json} */ at, /** @type {string} */ step) => at[step], api),
  );
}

/**
 * Text in which `code` is marked as in Markdown.
 *
 * @param {string} text
 */
function prose(text) {
  return text
    .split(/`+([^`]+)`+/)
    .map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

/**
 * A schema's type in a few words, such as "integer, 1 to 10000" or "fast | accurate".
 *
 * @param {Json} schema
 * @returns {string}
 */
function typeWords(schema) {
  const node = resolved(schema);
  const choices = node.anyOf ?? node.oneOf;
  if (choices) {
    const words = new Set(choices.map(typeWords));
    words.delete("null"); // clients leave the field out instead
    return [...words].join(" | ");
  }
  if (node.enum) return node.enum.map(String).join(" | ");
  if (node.const !== undefined) return String(node.const);
  if (node.prefixItems) return `[${node.prefixItems.map(typeWords).join(", ")}]`;
  if (node.type === "array") return `array of ${typeWords(node.items ?? {})}`;
  if (node.type === "object") return node.title ?? "object";
  const type = node.format === "binary" ? "file" : [node.type ?? "any"].flat().join(" | ");
  const { minimum, maximum } = node;
  if (minimum !== undefined && maximum !== undefined) return `${type}, ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `${type}, at least ${minimum}`;
  return maximum === undefined ? type : `${type}, at most ${maximum}`;
}

/**
 * The fields of a schema; those that an earlier table has shown are only mentioned.
 *
 * @param {Json} schema of an object
 * @param {string} caption
 * @param {Set<string>} shown the rows so far; grows
 * @param {string} where names the part of the page, for those who jump from region to region
 */
function fieldTable(schema, caption, shown, where) {
  const fields = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const { default: standard, description = "" } = { ...resolved(field), ...field };
    const parts = [typeWords(field)];
    if (standard !== undefined && standard !== null) {
      parts.push(`default ${JSON.stringify(standard)}`);
    }
    if (schema.required?.includes(name)) parts.push("always there");
    return { name, type: parts.join("; "), description, key: `${name} ${parts} ${description}` };
  });
  const fresh = fields.filter((field) => !shown.has(field.key));
  for (const field of fresh) shown.add(field.key);
  if (fresh.length === 0) {
    return make("p", { className: "hint" }, `${caption}: the fields above.`);
  }
  const rows = fresh.map(({ name, type, description }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, make("code", {}, name)),
      make("td", {}, type),
      make("td", {}, ...prose(description)),
    ),
  );
  const head = ["Field", "Type", "Meaning"].map((text) => make("th", { scope: "col" }, text));
  const and = fresh.length < fields.length ? ": the fields above and" : "";
  return scrolling(
    `${where}: ${caption}`,
    make(
      "table",
      {},
      make("caption", {}, caption + and),
      make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...rows),
    ),
  );
}

/**
 * Wide content scrolls by itself, and with the keyboard.
 *
 * @param {string} label
 * @param {HTMLElement} content
 */
function scrolling(label, content) {
  return make(
    "div",
    { className: "scrolling", tabIndex: 0, role: "region", "aria-label": label },
    content,
  );
}

/**
 * The schema and every object schema in it, each once.
 *
 * @param {Json} schema
 * @param {Json[]} [schemas]
 */
function objectSchemas(schema, schemas = []) {
  const node = resolved(schema);
  if (schemas.includes(node)) return schemas;
  if (node.properties) schemas.push(node);
  const inner = [
    ...Object.values(node.properties ?? {}),
    ...(node.anyOf ?? node.oneOf ?? []),
    ...(node.items ? [node.items] : []),
  ];
  for (const part of inner) objectSchemas(part, schemas);
  return schemas;
}

/**
 * @param {string} heading
 * @param {Json} content by media type
 * @param {Set<string>} shown see `fieldTable`
 * @param {string} operation
 */
function body(heading, content, shown, operation) {
  const where = `${operation}, ${heading.toLowerCase()}`;
  /** @type {Json[]} */
  const schemas = [];
  /** @type {HTMLElement[]} */
  const tables = [];
  /** @type {Map<string, string>} example to media type, each example once */
  const examples = new Map();
  for (const [kind, media] of Object.entries(content)) {
    const from = schemas.length;
    objectSchemas(media.schema, schemas);
    tables.push(
      ...schemas
        .slice(from)
        .map((schema) => fieldTable(schema, schema.title ?? kind, shown, where)),
    );
    const named = Object.values(media.examples ?? {}).map((example) => resolved(example).value);
    const all = [media.example, ...named, ...(resolved(media.schema).examples ?? [])];
    for (const example of all.filter((one) => one !== undefined)) {
      const text = typeof example === "string" ? example : JSON.stringify(example, null, 2);
      if (!examples.has(text)) examples.set(text, kind);
    }
  }
  const kinds = Object.keys(content).map((kind) => `\`${kind}\``);
  return [
    make("h3", {}, heading),
    make("p", { className: "hint" }, ...prose(kinds.join(", "))),
    ...tables,
    ...[...examples].map(([text, kind]) =>
      make(
        "pre",
        { tabIndex: 0, "aria-label": `${where}: example, ${kind}` },
        make("code", {}, text),
      ),
    ),
  ];
}

/**
 * @param {string} path
 * @param {string} method
 * @param {Json} operation
 */
function operationPanel(path, method, operation) {
  const id = `${method}${path.replaceAll(/\W+/g, "-")}`;
  const name = `${method.toUpperCase()} ${path}`;
  /** @type {Json[]} */
  const responses = Object.entries(operation.responses ?? {}).map(([status, given]) => ({
    status,
    ...resolved(given),
  }));
  const good = responses.find(({ status, content }) => status.startsWith("2") && content);
  const statuses = responses.flatMap(({ status, description = "" }) => [
    make("dt", {}, make("code", {}, status)),
    make("dd", {}, ...prose(description)),
  ]);
  const parameters = (operation.parameters ?? []).map(resolved);
  const fields = Object.fromEntries(
    parameters.map((/** @type {Json} */ one) => [
      one.name,
      { description: one.description, ...one.schema },
    ]),
  );
  /** @type {Set<string>} */
  const shown = new Set();
  return make(
    "section",
    { className: "code operation", id, "aria-labelledby": `${id}-title` },
    make(
      "h2",
      { id: `${id}-title` },
      make("span", { className: "method" }, method.toUpperCase()),
      ` ${path}`,
    ),
    ...(operation.summary ? [make("p", {}, ...prose(operation.summary))] : []),
    ...(operation.description
      ? [make("p", { className: "hint" }, ...prose(operation.description))]
      : []),
    tryIt({ method, path, operation, resolved }, account),
    ...(operation.requestBody
      ? body("Request", resolved(operation.requestBody).content ?? {}, shown, name)
      : []),
    ...(parameters.length
      ? [fieldTable({ properties: fields }, "Parameters in the address", shown, name)]
      : []),
    ...(good?.content ? body("Answer", good.content, new Set(), name) : []),
    make("h3", {}, "Status codes"),
    make("dl", {}, ...statuses),
  );
}

function show() {
  byId("title").textContent = `${api.info.title} ${api.info.version}`;
  byId("description").replaceChildren(...prose(api.info.description ?? ""));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS) {
      if (item[method]) byId("operations").append(operationPanel(path, method, item[method]));
    }
  }
  byId("status").remove();
}

try {
  const response = await fetch(new URL("openapi.json", document.baseURI));
  if (!response.ok) throw new Error(`status ${response.status}`);
  api = await response.json();
  show();
} catch (error) {
  console.error(error);
  byId("status").textContent = "The reference could not be loaded. Reload the page to try again.";
}
