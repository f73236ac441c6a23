"""Fits the probability that a box is a human face: see ``age_gender.vision.face_check``.

Both detectors, the face mesh, the second detector and the networks for age and gender run, as in
the service, over pictures that a program varies: faces as they are, small in a scene, turned, half
outside, blurred, dark, overexposed, covered; and animals, things, drawings, statues, textures and
fragments of faces, which are none::

    python -m training.face_check --images DIR --packages DIR --models DIR --cache FILE

The folder of images has the sets and their tables, ``NAME.csv``; that of packages has pictures of
unpacked packages, see ``training/README.md``. Only what allows commercial use is fitted on; the
rest shows how it does on pictures of other sources. It writes ``face_check.json`` and the
classifiers in the networks' specifications.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.face_check import (
    FEATURES,
    PARAMETERS,
    FaceCheck,
    FaceCheckParameters,
    Variant,
    features,
    offsets,
)
from age_gender.vision.model_spec import FaceClassifiers, Linear, load_spec
from age_gender.vision.verification import SURE, UNLIKELY
from training.boxes import TEXTURES, Boxes, Task, collect
from training.export import LAST_BLOCK, halves, write_spec
from training.logistic import fit_logistic
from training.without_people import listed, of_packages, sampled

FITTED = {"fairface_train": 600, "portraits": 250}
"""Sets of faces that may be used commercially, and how many pictures of each."""
HELD_OUT = {"fairface_more": 80, "utk_train": 80, "aaf_train": 80}
ANIMALS = "animals"
FACE_SHARE = 0.87
"""Of all boxes. Detectors find more faces than others in the pictures that people send; it decides
what a probability of 0.5 means."""
LESS = 0.005
"""Weight of a kind of pictures that show human features, which may be found as well as not, so they
must not cost the faces that look like them."""
SHOWING_FEATURES = ("drawing", "cartoon", "statue", "texture", "fragment")
FIGURES = "-figures"
"""End of the names of folders with drawn people, which are such a kind, too."""
LIVING = "-animals"
"""End of the names of folders with animals, whose pictures are varied: there are few."""
WHOLE_KIND = 40
"""Boxes from which a kind counts fully; of fewer, each would count too much."""
RIDGE = 150.0
"""Of the classifiers, which have a thousand features. With 40, half as many clear faces need the
mesh, but a tenth more boxes on animals pass, on pictures apart from the fit."""
L2 = 1e-3
"""Weight of the squared parameters of a regression, beside a mean loss."""
SIGNS = {"score": 1, "mesh": 1, "embedding": 1, "second": 1, "overlap": 1} | dict.fromkeys(
    ("mesh_low", "turned", "distance", "cut_off"), -1
)
"""Of the weights of inputs of which more is always better, or worse."""
A_PACKAGE = 300
"""Pictures of one package that are used, at most."""
FOLDS = 3
"""Parts by picture, so that a regression sees logits of boxes that no classifier was fitted on."""
SURELY_SEEN = 10.0
"""Logit of the mesh from which it is right about the turn."""

LICENCE = "Apache-2.0"
DATA = (
    "Faces: FairFace (CC BY 4.0, Kärkkäinen and Joo 2021) and official portraits (US Congress: "
    "public domain; House of Commons: CC BY 3.0, Chris McAndrew), varied by a program. Others: "
    "cats (BSD), drawings of Wesnoth (GPL or CC BY-SA 4.0), cartoons (MIT), a statue (CC BY 4.0), "
    "pictures of Debian packages with free licences (see training/README.md), textures. All allow "
    "commercial use."
)

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]


def shows_features(kind: str) -> bool:
    """Whether pictures of a kind show human features without being of a person."""
    return kind in SHOWING_FEATURES or kind.endswith(FIGURES)


def sample_weights(boxes: Boxes) -> NDArray[np.float64]:
    """Weigh boxes so that faces and others, and among these each kind, have their share.

    Returns:
        float64 ``[N]``, that sum to 1, those of faces to `FACE_SHARE`.
    """
    weights = np.zeros(len(boxes))
    weights[boxes.faces] = FACE_SHARE / max(1, boxes.faces.sum())
    kinds = {kind: ~boxes.faces & (boxes.group == kind) for kind in np.unique(boxes.group)}
    others = {kind: rows for kind, rows in kinds.items() if rows.any()}
    shares = {
        kind: LESS if shows_features(kind) else min(1.0, rows.sum() / WHOLE_KIND)
        for kind, rows in others.items()
    }
    for kind, rows in others.items():
        weights[rows] = (1 - FACE_SHARE) * shares[kind] / sum(shares.values()) / rows.sum()
    return weights


def fit_classifier(features: NDArray[np.float16], y: Bools, weights: Float) -> Linear:
    """Fit a linear classifier of a network's features.

    Args:
        features: ``[N, E]``, of which it sees those of the last block.
        y: bool ``[N]``.
        weights: of the rows, ``[N]``.
    """
    rows = features[:, :LAST_BLOCK].astype(np.float32)
    vector, bias = fit_logistic(rows, y, ridge=RIDGE, weights=weights * len(y))
    return Linear(weights=halves(vector), bias=round(bias, 4))


def fit_classifiers(boxes: Boxes, name: str) -> FaceClassifiers:
    """Fit what a network's features say of a face.

    Args:
        boxes: of the `accurate` detector, which has landmarks of its own.
        name: of the network.
    """
    # What is drawn like a face must not teach that smooth faces are none.
    clear = boxes[boxes.faces | ~np.array([shows_features(kind) for kind in boxes.group])]
    known = boxes.faces & (boxes.evidence.best >= SURELY_SEEN)
    balanced = np.where(boxes.turned[known], 1 / max(1, boxes.turned[known].sum()), 0.0)
    balanced += np.where(boxes.turned[known], 0.0, 3 / max(1, (~boxes.turned[known]).sum()))
    return FaceClassifiers(
        face=fit_classifier(clear.final[name], clear.faces, sample_weights(clear)),
        turned=fit_classifier(boxes.first[name][known], boxes.turned[known], balanced / 4),
    )


def with_features(boxes: Boxes, name: str, classifiers: FaceClassifiers, *, first: bool) -> Boxes:
    """Add what classifiers say to the evidence: of the first chips, or of the final ones."""
    rows = (boxes.first if first else boxes.final)[name].astype(np.float32)
    return replace(boxes, evidence=boxes.evidence.with_embedding(rows, classifiers))


def without_mesh(boxes: Boxes) -> Boxes:
    """Forget what the mesh says."""
    unknown = np.full(len(boxes), np.nan, np.float32)
    evidence = replace(boxes.evidence, own=unknown, best=unknown, overlap=unknown, distance=unknown)
    return without_second(replace(boxes, evidence=evidence))


def without_second(boxes: Boxes) -> Boxes:
    """Forget what the second detector says."""
    unknown = np.full(len(boxes), np.nan, np.float32)
    return replace(boxes, evidence=replace(boxes.evidence, second=unknown))


def cross_fitted(boxes: Boxes, others: Boxes, name: str) -> tuple[Boxes, Boxes]:
    """Add what classifiers say that were fitted on other pictures.

    Args:
        boxes: N boxes.
        others: to fit the classifiers on, of a detector with landmarks.
        name: of the network.

    Returns:
        The boxes, with features of the first chips, and with those of the final ones.
    """
    first, final = [], []
    for fold in range(FOLDS):
        inside = boxes[boxes.picture % FOLDS == fold]
        classifiers = fit_classifiers(others[others.picture % FOLDS != fold], name)
        first.append(with_features(inside, name, classifiers, first=True))
        final.append(with_features(inside, name, classifiers, first=False))
    return Boxes.concatenated(first), Boxes.concatenated(final)


def fit(inputs: Float, base: Float, faces: Bools, weights: Float) -> NDArray[np.float64]:
    """Fit a logistic regression by Newton's method.

    Args:
        inputs: ``[N, K]``, the first of them without a penalty.
        base: ``[N]``, added to the logits.
        faces: ``[N]``.
        weights: ``[N]``, that sum to 1.

    Returns:
        float64 ``[K]``.
    """
    rows = inputs.astype(np.float64)
    penalty = np.full(rows.shape[1], L2)
    penalty[0] = 0
    signs = np.where(faces, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        surprise = np.logaddexp(0, -signs * (rows @ parameters + base))
        return float(weights @ surprise + 0.5 * penalty @ parameters**2)

    parameters = np.zeros(rows.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(rows @ parameters + base, -30, 30)))
        gradient = rows.T @ (weights * (p - faces)) + penalty * parameters
        curvature = (rows.T * (weights * p * (1 - p))) @ rows + np.diag(penalty + 1e-6)
        step = np.linalg.solve(curvature, gradient)
        while loss(parameters - step) > loss(parameters) and np.abs(step).max() > 1e-9:
            step /= 2
        parameters = parameters - step
    return parameters


def fit_variant(boxes: Boxes, variant: Variant) -> tuple[float, ...]:
    """Fit the regression of one variant to boxes of which that is known.

    Inputs whose weights come out with the wrong sign are left out, one after the other, the worst
    first: a better score never makes a box less of a face, even if drawings have the best scores.
    """
    inputs, base = features(boxes.evidence, variant), offsets(boxes.evidence)
    signs = np.array([SIGNS.get(name, 0) for name in FEATURES[variant]])
    used, row = np.ones(len(signs), bool), np.zeros(len(signs))
    weights = sample_weights(boxes)
    while True:
        row[used] = fit(inputs[:, used], base, boxes.faces, weights)
        wrong = row * signs < 0
        if not wrong.any():
            return tuple(round(float(weight), 4) for weight in row)
        worst = int(np.argmax(np.where(wrong, np.abs(row), 0)))
        used[worst], row[worst] = False, 0.0


def fit_detector(
    boxes: Boxes, others: Boxes, names: Sequence[str]
) -> dict[Variant, tuple[float, ...]]:
    """Fit the regressions of one detector, over what all networks say.

    Args:
        boxes: that it found.
        others: see `cross_fitted`.
        names: of the networks.
    """
    pairs = [cross_fitted(boxes, others, name) for name in names]
    first, final = (Boxes.concatenated(part) for part in zip(*pairs, strict=True))
    upright = first[~(first.faces & first.turned)]
    return {
        "mesh": fit_variant(boxes, "mesh"),
        "embedding": fit_variant(without_mesh(upright), "embedding"),
        "both": fit_variant(final, "both"),
        "all": fit_variant(final, "all"),
    }


def served(
    boxes: Boxes, detector: str, name: str, check: FaceCheck, spec: FaceClassifiers
) -> Float:
    """Return the probabilities as the service has them, float32 ``[N]``."""
    first = without_mesh(with_features(boxes, name, spec, first=True)).evidence
    final = with_features(boxes, name, spec, first=False)
    sure = check.probabilities(detector, first)
    both = check.probabilities(detector, without_second(final).evidence)
    every = check.probabilities(detector, final.evidence)
    unasked = (sure >= SURE) & ~first.turned & (detector == "accurate")
    settled = (both >= SURE) | (both < UNLIKELY)
    return np.asarray(np.where(unasked, sure, np.where(settled, both, every)), np.float32)


def report(boxes: Boxes, probabilities: Float) -> str:
    """Tabulate the share of boxes kept at 0.5 by detector alone and by probability, by group."""
    lines = ["| boxes | faces | n | detector | checked |", "| --- | --- | --- | --- | --- |"]
    for group in np.unique(boxes.group):
        for faces in (True, False):
            rows = (boxes.group == group) & (boxes.faces == faces)
            if rows.any():
                before = (boxes.evidence.scores[rows] >= 0.5).mean()
                after = (probabilities[rows] >= 0.5).mean()
                word = "yes" if faces else "no"
                lines.append(f"| {group} | {word} | {rows.sum()} | {before:.1%} | {after:.1%} |")
    return "\n".join(lines)


def tasks(images: Path, packages: Path, left_out: Sequence[str], *, free: bool) -> list[Task]:
    """List the pictures to vary.

    Args:
        images: folder of the sets and their tables.
        packages: folder of unpacked packages.
        left_out: parts of the packages' paths that show people.
        free: whether those to fit on, or the others.
    """
    rng = np.random.default_rng(0 if free else 1)
    numbers = count(0 if free else 10**6)
    found: list[Task] = []
    for name, wanted in (FITTED if free else HELD_OUT).items():
        with (images / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
            files = sorted(row["file"] for row in csv.DictReader(lines))
        found += [
            Task(next(numbers), images / files[i], name, face=True)
            for i in rng.permutation(len(files))[:wanted]
        ]
    animals = listed(images / f"{ANIMALS}.csv", images)
    found += [
        Task(next(numbers), picture.path, picture.kind, varied=True)
        for picture in animals
        if picture.free == free
    ]
    if free:
        unpacked = of_packages(packages, left_out)
        found += [
            Task(next(numbers), picture.path, picture.kind, varied=picture.kind.endswith(LIVING))
            for picture in sampled(unpacked, A_PACKAGE, rng)
        ]
    return found + [Task(next(numbers), None, "texture") for _ in range(TEXTURES)]


def observed(folder: Path, wanted: Sequence[Task], args: argparse.Namespace) -> dict[str, Boxes]:
    """Collect boxes, or read those that an earlier call collected.

    Args:
        folder: of the arrays, one file for each detector.
        wanted: the pictures.
        args: of the command line.
    """
    if not folder.exists():
        found = collect(wanted, args.models, args.names, args.workers)
        new = folder.with_suffix(".new")
        new.mkdir(parents=True, exist_ok=True)
        for detector, boxes in found.items():
            np.savez(new / f"{detector}.npz", **boxes.arrays())
        new.rename(folder)
    read = {}
    for file in sorted(folder.iterdir()):
        with np.load(file) as arrays:
            read[file.stem] = Boxes.of_arrays(arrays)
    return read


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit the probability that a box is a face.")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--left-out", type=Path, help="file with parts of paths, a line each")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=["agn-v2", "agn-v2-research"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    left_out = args.left_out.read_text(encoding="utf-8").split() if args.left_out else []
    fitted, held_out = (
        observed(
            args.cache / f"boxes-{'free' if free else 'other'}",
            tasks(args.images, args.packages, left_out, free=free),
            args,
        )
        for free in (True, False)
    )
    weights = {
        name: fit_detector(boxes, fitted["accurate"], args.names) for name, boxes in fitted.items()
    }
    parameters = FaceCheckParameters(licence=LICENCE, data=DATA, features=FEATURES, weights=weights)
    PARAMETERS.write_text(parameters.model_dump_json(indent=1) + "\n", encoding="utf-8")
    check = FaceCheck(parameters)
    for name in args.names:
        classifiers = fit_classifiers(fitted["accurate"], name)
        spec = load_spec(args.models, name)
        write_spec(spec.model_copy(update={"face_check": classifiers}), args.models)
        for title, found in (("fitted on", fitted), ("held out", held_out)):
            for detector, boxes in found.items():
                print(f"\n{name}, {detector}, {title}:\n")
                print(report(boxes, served(boxes, detector, name, check, classifiers)))


if __name__ == "__main__":
    main()
