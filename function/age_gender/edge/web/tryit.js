/** Sends requests from the reference: a form from the OpenAPI document, and the answer as it came. */

import { make, save } from "./dom.js";
import { curlOf } from "./snippets.js";
import { duration } from "./words.js";

/** @typedef {Record<string, any>} Json one object of the document */
/** @typedef {import("./account.js").Account} Account */
/** @typedef {import("./service.js").Source} Source */

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {HTMLInputElement | HTMLSelectElement} input
 * @property {"file" | "text" | "number" | "list" | "choice"} kind
 */

/** Longer texts in an answer, such as pictures, are shortened on the screen. */
const LONGEST_TEXT = 120;
const BARE = "application/octet-stream";
const WAYS = /** @type {const} */ ({
  "multipart/form-data": "Form",
  "application/json": "JSON",
  [BARE]: "Picture",
});
/** @typedef {keyof typeof WAYS} Way */

/**
 * A form that sends one operation.
 *
 * @param {{method: string, path: string, operation: Json, resolved: (node: Json) => Json}} described
 * @param {Account} account
 */
export function tryIt({ method, path, operation, resolved }, account) {
  const content = operation.requestBody ? resolved(operation.requestBody).content : {};
  const ways = /** @type {Way[]} */ (Object.keys(WAYS).filter((way) => way in content));
  const id = `try-${method}${path.replaceAll(/\W+/g, "-")}`;
  const properties = content["multipart/form-data"]
    ? resolved(content["multipart/form-data"].schema).properties
    : {};
  const fields = Object.entries(properties).map(([name, schema]) => field(name, schema, resolved));
  const send = make("button", { type: "submit", className: "button primary" }, "Send");
  const stop = make("button", { type: "button", className: "button", hidden: true }, "Stop");
  const answer = make("div", { className: "try-answer", "aria-live": "polite" });
  const code = make("code");
  const form = /** @type {HTMLFormElement} */ (
    make(
      "form",
      { className: "try-form" },
      ...(ways.length > 1 ? [wayChoice(id, ways)] : []),
      ...(fields.length ? [make("div", { className: "try-fields" }, ...fields.map(labelled))] : []),
      make("pre", { tabIndex: 0, "aria-label": `${method.toUpperCase()} ${path}: as curl` }, code),
      make("div", { className: "row" }, send, stop),
    )
  );
  let abort = new AbortController();

  function request() {
    return build(path, method, chosenWay(form, ways), fields);
  }

  function renderCode() {
    code.textContent = asCurl(request(), operation, account);
  }

  async function submit() {
    abort = new AbortController();
    /** @type {HTMLButtonElement} */ (send).disabled = true;
    stop.hidden = false;
    answer.replaceChildren(make("p", {}, "Sending…"));
    try {
      let response = await deliver(request(), operation, account, abort.signal);
      if (response.status === 401 && (await account.asked())) {
        response = await deliver(request(), operation, account, abort.signal);
      }
      answer.replaceChildren(...shown(response, path));
    } catch {
      const words = abort.signal.aborted ? "Stopped." : "The service cannot be reached. Try again.";
      answer.replaceChildren(make("p", {}, words));
    } finally {
      /** @type {HTMLButtonElement} */ (send).disabled = false;
      stop.hidden = true;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  form.addEventListener("input", renderCode);
  account.addEventListener("change", renderCode);
  stop.addEventListener("click", () => abort.abort());
  renderCode();
  return make("details", { className: "try", id }, make("summary", {}, "Try it"), form, answer);
}

/**
 * @param {string} name
 * @param {Json} described
 * @param {(node: Json) => Json} resolved
 * @returns {Field}
 */
function field(name, described, resolved) {
  const parts = (described.anyOf ?? [described]).map(resolved);
  const schema = parts.find((/** @type {Json} */ part) => part.type !== "null") ?? {};
  const choices = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  if (choices) {
    const standard = described.default === undefined ? "" : ` (${described.default})`;
    const options = choices.map((/** @type {unknown} */ choice) =>
      make("option", { value: String(choice) }, String(choice)),
    );
    const select = make("select", { name }, make("option", { value: "" }, `default${standard}`));
    select.append(...options);
    return { name, input: /** @type {HTMLSelectElement} */ (select), kind: "choice" };
  }
  const kind = kindOf(schema);
  const input = /** @type {HTMLInputElement} */ (
    make("input", { name, type: kind === "list" ? "text" : kind, autocomplete: "off" })
  );
  if (kind === "file") input.accept = "image/*";
  if (kind === "number") {
    input.min = schema.minimum ?? "";
    input.max = schema.maximum ?? "";
    input.step = schema.type === "integer" ? "1" : "any";
  }
  if (kind !== "file") input.placeholder = placeholder(described, kind);
  return { name, input, kind };
}

/** @param {Json} schema */
function kindOf(schema) {
  if (schema.format === "binary") return "file";
  if (schema.type === "array") return "list";
  return ["number", "integer"].includes(schema.type) ? "number" : "text";
}

/**
 * @param {Json} described
 * @param {Field["kind"]} kind
 */
function placeholder({ default: standard, examples = [] }, kind) {
  const [example] = examples;
  if (typeof standard === "number") return `default ${standard}`;
  if (kind === "list") return `such as ${[example ?? []].flat().join(",")}`;
  return example === undefined ? "" : `such as ${String(example).slice(0, 40)}`;
}

/** @param {Field} one */
function labelled({ name, input }) {
  return make("label", {}, make("code", {}, name), input);
}

/**
 * @param {string} id
 * @param {Way[]} ways
 */
function wayChoice(id, ways) {
  const choices = ways.map((way, index) =>
    make(
      "label",
      {},
      make("input", { type: "radio", name: `${id}-way`, value: way, checked: index === 0 }),
      make("span", {}, WAYS[way]),
    ),
  );
  return make(
    "fieldset",
    { className: "segments small" },
    make("legend", {}, "Send as"),
    ...choices,
  );
}

/**
 * @param {HTMLFormElement} form
 * @param {Way[]} ways
 */
function chosenWay(form, ways) {
  const radio = /** @type {HTMLInputElement | null} */ (
    form.querySelector('input[type="radio"]:checked')
  );
  return /** @type {Way | undefined} */ (radio?.value ?? ways[0]);
}

/**
 * @typedef {object} Built
 * @property {string} url
 * @property {string} method
 * @property {Way | undefined} way
 * @property {File | null} file
 * @property {Record<string, string | number | boolean | number[]>} values
 */

/**
 * @param {string} path
 * @param {string} method
 * @param {Way | undefined} way
 * @param {Field[]} fields
 * @returns {Built}
 */
function build(path, method, way, fields) {
  /** @type {Built["values"]} */
  const values = {};
  let file = null;
  for (const { name, input, kind } of fields) {
    if (kind === "file") file = /** @type {HTMLInputElement} */ (input).files?.[0] ?? null;
    else if (input.value.trim()) values[name] = typed(input.value.trim(), kind);
  }
  const url = new URL(path.slice(1), document.baseURI);
  if (way === BARE) {
    for (const [name, value] of Object.entries(values)) url.searchParams.set(name, String(value));
  }
  return { url: url.href, method: method.toUpperCase(), way, file, values };
}

/**
 * @param {string} text
 * @param {Field["kind"]} kind
 */
function typed(text, kind) {
  if (kind === "number") return Number(text);
  if (kind === "list") return text.split(",").map(Number);
  return ["true", "false"].includes(text) ? text === "true" : text;
}

/**
 * @param {Built} request
 * @param {Json} operation
 * @param {Account} account
 * @param {AbortSignal} signal
 */
async function deliver(request, operation, account, signal) {
  const { body, type } = await bodyOf(request);
  const start = performance.now();
  const response = await fetch(request.url, {
    method: request.method,
    body,
    signal,
    headers: {
      ...(type ? { "Content-Type": type } : {}),
      ...(operation.security && account.authorization
        ? { Authorization: account.authorization }
        : {}),
    },
    credentials: "omit",
  });
  const text = await response.text();
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).sort();
  const { status, statusText } = response;
  return { status, statusText, text, headers, milliseconds: performance.now() - start };
}

/** @param {Built} request */
async function bodyOf({ way, file, values }) {
  if (way === BARE) return { body: file, type: file?.type || BARE };
  if (way === "application/json") {
    const b64 = file ? { b64: await base64(file) } : {};
    return { body: JSON.stringify({ ...b64, ...values }), type: "application/json" };
  }
  if (!way) return { body: undefined, type: "" };
  const form = new FormData();
  if (file) form.set("image", file);
  for (const [name, value] of Object.entries(values)) form.set(name, String(value));
  return { body: form, type: "" };
}

/** @param {Blob} file */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1]);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/**
 * @param {Built} request
 * @param {Json} operation
 * @param {Account} account
 */
function asCurl({ url, way, file, values }, operation, account) {
  const username = operation.security ? account.username || "USER" : "";
  return curlOf({ endpoint: url, username, way, file: file?.name ?? "", fields: values });
}

/**
 * @param {Awaited<ReturnType<typeof deliver>>} response
 * @param {string} path
 */
function shown({ status, statusText, text, headers, milliseconds }, path) {
  const bytes = new TextEncoder().encode(text).length;
  const facts = [`${status} ${statusText}`.trim(), duration(milliseconds), `${bytes} bytes`];
  const value = parsed(text);
  const keep = make("button", { type: "button", className: "button" }, "Save the answer");
  keep.addEventListener("click", () => {
    save(new Blob([text], { type: "application/json" }), `${path.slice(1) || "answer"}.json`);
  });
  const picture = typeof value?.image === "string" ? [returned(value.image)] : [];
  const pretty = value === null ? text : readable(value);
  return [
    make("p", { className: status < 400 ? "try-good" : "try-bad" }, facts.join(" · ")),
    ...picture,
    make("pre", { tabIndex: 0, "aria-label": "Answer" }, make("code", {}, pretty)),
    make(
      "details",
      {},
      make("summary", {}, "Response headers"),
      make("pre", { tabIndex: 0, "aria-label": "Response headers" }, headers.join("\n")),
    ),
    make("div", { className: "row" }, keep),
  ];
}

/**
 * @param {string} text
 * @returns {Json | null}
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {string} image base64 */
function returned(image) {
  return make("img", {
    className: "try-picture",
    src: `data:image/jpeg;base64,${image}`,
    alt: "The picture in the answer",
  });
}

/**
 * JSON with each list of plain values in one line.
 *
 * @param {Json} value
 */
function readable(value) {
  const text = JSON.stringify(value, shortened, 2);
  // A line can only break outside a text, so this never changes one.
  return text.replaceAll(/\[\n([^[\]{}]+)\n\s*\]/g, (_, list) => {
    return `[${list.trim().replaceAll(/\n\s*/g, " ")}]`;
  });
}

/**
 * @param {string} _
 * @param {unknown} value
 */
function shortened(_, value) {
  if (typeof value !== "string" || value.length <= LONGEST_TEXT) return value;
  return `${value.slice(0, 24)}… (${value.length} characters)`;
}
