// Send a picture to the service: node predict.mjs http://127.0.0.1:8080 photo.jpg
//
// Needs only Node.js 18 or later; in a browser, use the File of an <input> as the picture.
// User name and password come from AGE_GENDER_USER and AGE_GENDER_PASSWORD.

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const ATTEMPTS = 5;

/** Returns the response for a picture (a Blob); retries while the service is busy. */
async function predict(service, picture, options) {
  const { AGE_GENDER_USER: user = "sugar", AGE_GENDER_PASSWORD: password = "kubes" } = process.env;
  const credentials = Buffer.from(`${user}:${password}`).toString("base64");
  const form = new FormData();
  form.set("image", picture);
  for (const [name, value] of Object.entries(options)) form.set(name, value);
  let response;
  for (let attempt = 1; ; attempt++) {
    response = await fetch(`${service}/predict`, {
      method: "POST",
      headers: { Authorization: `Basic ${credentials}` },
      body: form,
      signal: AbortSignal.timeout(60_000),
    });
    if (response.status !== 429 || attempt === ATTEMPTS) break;
    await sleep(Number(response.headers.get("Retry-After") ?? 1) * 1000);
  }
  if (response.ok) return response.json();
  if (response.headers.get("Content-Type") === "application/problem+json") {
    const { status, code, detail } = await response.json();
    throw new Error(`${status} ${code}: ${detail}`);
  }
  throw new Error(`${response.status} ${(await response.text()).slice(0, 200)}`); // a proxy's, say
}

const [service, path] = process.argv.slice(2);
try {
  const picture = new Blob([await readFile(path)]);
  const answer = await predict(service, picture, { face_detector: "accurate", return_image: false });
  for (const { age, age_interval, gender, gender_probability, box } of answer.details) {
    const [low, high] = age_interval.map((years) => years.toFixed(1));
    const attributes = `${gender} ${gender_probability.toFixed(2)}`;
    console.log(`${age.toFixed(1)} ${low}-${high} ${attributes} ${box}`);
  }
} catch (error) {
  console.error(`no answer: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
