/** The request that the page made, as code to copy. */

/**
 * @typedef {object} Request
 * @property {string} endpoint
 * @property {string} username
 * @property {{file: Blob, name: string} | {url: string, name: string}} source
 * @property {Record<string, string | number | boolean>} fields
 * @property {string} saveAs file for the returned picture; empty when none is wanted
 */

/**
 * The password is never written out: curl and Python ask for it.
 *
 * @param {Request} request
 */
export function curl({ endpoint, username, source, fields, saveAs }) {
  const picture = "file" in source ? `image=@${quoteFileName(source.name)}` : `url=${source.url}`;
  // --form-string takes a value as it is; with -F a leading @ or < would name a file.
  const option = "file" in source ? "-F" : "--form-string";
  const lines = [
    `curl -u ${shell(username || "USER")} ${shell(endpoint)}`,
    `${option} ${shell(picture)}`,
    ...Object.entries(fields).map(([name, value]) => `-F ${name}=${value}`),
  ];
  const pipe = saveAs ? ` \\\n  | jq -r .image | base64 --decode > ${shell(saveAs)}` : "";
  return lines.join(" \\\n  ") + pipe;
}

/** @param {Request} request */
export function python({ endpoint, username, source, fields, saveAs }) {
  const data = { ...("url" in source ? { url: source.url } : {}), ...fields };
  const entries = Object.entries(data).map(
    ([name, value]) => `        "${name}": ${literal(value)},`,
  );
  return [
    ...(saveAs ? ["import base64"] : []),
    "from getpass import getpass",
    ...(saveAs ? ["from pathlib import Path"] : []),
    "",
    "import requests",
    "",
    "response = requests.post(",
    `    ${literal(endpoint)},`,
    `    auth=(${literal(username || "USER")}, getpass()),`,
    ...("file" in source ? [`    files={"image": open(${literal(source.name)}, "rb")},`] : []),
    "    data={",
    ...entries,
    "    },",
    "    timeout=60,",
    ")",
    "response.raise_for_status()",
    "answer = response.json()",
    'for face in answer["details"]:',
    '    print(face["box"], face["age"], face["age_interval"], face["gender"])',
    ...(saveAs ? [`Path(${literal(saveAs)}).write_bytes(base64.b64decode(answer["image"]))`] : []),
  ].join("\n");
}

/** @param {string} text */
function shell(text) {
  return /^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * curl splits a form's file name at `,` and `;` unless it is in quotes.
 *
 * @param {string} name
 */
function quoteFileName(name) {
  return /[,;"\\]/.test(name) ? `"${name.replaceAll(/["\\]/g, "\\$&")}"` : name;
}

/**
 * JSON's strings and numbers are Python's too; in a form, truth is a word.
 *
 * @param {string | number | boolean} value
 */
function literal(value) {
  return typeof value === "boolean" ? `"${value}"` : JSON.stringify(value);
}
