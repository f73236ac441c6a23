// A TypeScript program over the generated types: node client.js URL PICTURE
import { readFile } from "node:fs/promises";

import createClient from "openapi-fetch";

import type { paths } from "./schema.js";

const [baseUrl = "", file = ""] = process.argv.slice(2);
const headers = { Authorization: `Basic ${btoa("sugar:kubes")}` };
const client = createClient<paths>({ baseUrl, headers });
const picture = await readFile(file);

const fromJson = await client.POST("/predict", {
  body: { b64: picture.toString("base64"), face_detector: "accurate", return_image: false },
});
if (fromJson.error) throw new Error(fromJson.error.detail);

// The generator calls binary bodies strings; what is sent is up to the serialiser.
const asItIs = () => new Blob([new Uint8Array(picture)]);
const raw = await client.POST("/predict", {
  params: { query: { face_detector: "accurate", return_image: false } },
  headers: { "Content-Type": "application/octet-stream" },
  body: "",
  bodySerializer: asItIs,
});
if (raw.error) throw new Error(raw.error.detail);

const form = new FormData();
form.append("image", asItIs(), "photo.jpg");
const fromForm = await client.POST("/predict", {
  params: { query: { face_detector: "accurate", return_image: false } },
  body: {},
  bodySerializer: () => form,
});
if (fromForm.error) throw new Error(fromForm.error.detail);

const several = await client.POST("/predict", {
  body: {
    images: [{ b64: picture.toString("base64") }, { b64: "AAAA" }],
    face_detector: "accurate",
    return_image: false,
  },
});
if (several.error) throw new Error(several.error.detail);
const results = "results" in several.data ? several.data.results : [];

const refused = await client.POST("/predict", { body: { b64: "AAAA", confidence: 2 } });
const health = await client.GET("/health");
const model = await client.GET("/model");

console.log(
  JSON.stringify({
    // One picture has an answer, several have results, and the types know it.
    answers: [fromJson.data, raw.data, fromForm.data].flatMap((data) =>
      "faces" in data
        ? [{
            faces: data.faces,
            ages: data.details.map((face) => face.age ?? null),
            warnings: data.warnings ?? [],
          }]
        : [],
    ),
    several: results.map((result) =>
      "error" in result ? result.error.code : result.faces.length,
    ),
    refused: refused.error?.code,
    health: health.data?.status,
    model: model.data?.name,
  }),
);
