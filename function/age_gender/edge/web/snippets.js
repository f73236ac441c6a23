/** The request that the page made, as code to copy. */

/**
 * @typedef {Record<string, string | number | boolean | number[]>} Fields
 *
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
  const isFile = "file" in source;
  const command = curlOf({
    endpoint,
    username: username || "USER",
    way: "multipart/form-data",
    file: isFile ? source.name : "",
    fields: isFile ? fields : { url: source.url, ...fields },
  });
  const pipe = saveAs ? ` \\\n  | jq -r .image | base64 --decode > ${shell(saveAs)}` : "";
  return command + pipe;
}

/**
 * Any request to the service as a command.
 *
 * @param {object} request
 * @param {string} request.endpoint
 * @param {string} request.username empty where none is needed
 * @param {string} [request.way] type of the body; none for a request without one
 * @param {string} request.file name; empty for none
 * @param {Fields} request.fields
 */
export function curlOf({ endpoint, username, way, file, fields }) {
  const user = username ? `-u ${shell(username)} ` : "";
  const lines = [`curl ${user}${shell(endpoint)}`];
  if (way === "application/json") {
    const type = "-H 'Content-Type: application/json'";
    const json = JSON.stringify(fields);
    if (!file) return join([...lines, type, `-d ${shell(json)}`]);
    // A picture as text is too long for a command; it goes in through a pipe.
    const text = `base64 < ${shell(file)} | tr -d '\\n'`;
    return `${text} | jq -R ${shell(`${json} + {b64: .}`)} \\\n  | ${join([...lines, type, "-d @-"])}`;
  }
  if (way === "multipart/form-data") lines.push(...formBody(file, fields));
  else if (way) {
    const body = shell(`@${file || "photo.jpg"}`);
    lines.push("-H 'Content-Type: application/octet-stream'", `--data-binary ${body}`);
  }
  return join(lines);
}

/** @param {string[]} lines */
function join(lines) {
  return lines.join(" \\\n  ");
}

/**
 * @param {string} file
 * @param {Fields} fields
 */
function formBody(file, fields) {
  return [
    ...(file ? [`-F ${shell(`image=@${quoteFileName(file)}`)}`] : []),
    // --form-string takes a value as it is; with -F a leading @ or < would name a file.
    ...Object.entries(fields).map(([name, value]) =>
      name === "url" || name === "b64"
        ? `--form-string ${shell(`${name}=${value}`)}`
        : `-F ${shell(`${name}=${value}`)}`,
    ),
  ];
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
