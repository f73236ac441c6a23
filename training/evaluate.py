"""Evaluates models on labelled images through the service's own code; writes the model card.

::

    python -m training.evaluate --names agn-v2 --models DIR --images DIR --labels a.csv b.csv
        --docs docs [--log RUN/log.csv] [--part validation]

Writes ``modelbuild/own/NAME.metrics.json`` for each model, the plots in ``docs/img/model`` and
``docs/model-card.md`` for all models with metrics.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.attributes import Attributes, calibrate
from age_gender.vision.model_spec import ModelSpec, load_spec
from modelbuild.catalogue import OWN
from training import plots
from training.calibrate import BLUR, SCALES, cross_fitted, fit, pooled, trained_on
from training.card import write_card
from training.data import Labels, is_validation, read_tables, set_names
from training.observe import (
    Faces,
    Observations,
    detect_faces,
    make_detector,
    observe,
    set_threads,
)
from training.report import (
    by_group,
    gender_calibration,
    group_metrics,
    over_age,
    select,
    sharpness_names,
    size_names,
    tables,
)

TIMED_RUNS = 30


SETS = {
    "utk_train": "UTKFace",
    "fairface_train": "FairFace",
    "fairface_more": "FairFace",
    "aaf_train": "All-Age-Faces",
    "portraits": "official portraits",
}
"""Data sets as the card names them; two folders can be one set."""


def _data_sets(labels: Labels) -> dict[str, NDArray[np.bool_]]:
    """Rows of each data set, by its name in the card; sets of one kind of ages only."""
    names = np.array([SETS.get(name, name) or "own pictures" for name in set_names(labels.name)])
    sets = {}
    for name in dict.fromkeys(names.tolist()):
        rows = names == name
        exact = labels.exact[rows]
        if exact.all() or not exact.any():
            sets[name] = rows
        else:
            sets[f"{name}, exact ages"] = rows & labels.exact
            sets[f"{name}, age ranges"] = rows & ~labels.exact
    return sets


def _kinds(labels: Labels) -> dict[str, NDArray[np.bool_]]:
    both = {plots.EXACT: labels.exact, plots.RANGED: ~labels.exact}
    return {name: index for name, index in both.items() if index.any()}


def _predict(observed: Observations, spec: ModelSpec) -> Attributes:
    return calibrate(observed.distributions, observed.male, spec)


@dataclass(frozen=True)
class TestSet:
    """Labelled images and the detected faces, shared by all models.

    Attributes:
        labels: of N images.
        faces: detected in them by ``accurate``.
        sample_labels: of a sample of the images.
        fast: faces of the sample, detected by ``fast``.
        smaller: faces of the sample at several sizes, detected by ``accurate``.
        blurred: faces of the sample at several sharpnesses, detected by ``accurate``.
    """

    labels: Labels
    faces: Faces
    sample_labels: Labels
    fast: Faces
    smaller: list[Faces]
    blurred: list[Faces]


def detect_test_set(
    labels: Labels, images: Path, models: Path, sample: int, threads: int
) -> TestSet:
    """Run the detectors.

    Args:
        labels: of the images.
        images: folder of the images that the labels name.
        models: folder of the models.
        sample: number of images to degrade, and to run ``fast`` on.
        threads: of the network.
    """
    accurate = make_detector("accurate", models, threads)
    paths = [images / name for name in labels.name]
    index = np.random.default_rng(1).permutation(len(labels))[:sample]
    sampled = [paths[i] for i in index]
    return TestSet(
        labels,
        detect_faces(paths, accurate),
        labels[index],
        detect_faces(sampled, make_detector("fast", models, threads)),
        [detect_faces(sampled, accurate, scale=scale) for scale in SCALES],
        [detect_faces(sampled, accurate, blur=blur) for blur in BLUR],
    )


def evaluate(
    spec: ModelSpec, engine: LiteRTEngine, test_set: TestSet, cross_fit: bool
) -> dict[str, Any]:
    """Compute all metrics of one model.

    Args:
        spec: of the model.
        engine: runs it.
        test_set: labelled images and faces.
        cross_fit: whether the model was calibrated on these images; each half is then evaluated
            with a calibration fitted on the other.
    """
    observed = observe(test_set.faces, engine, spec)
    if cross_fit:
        rows = trained_on(test_set.labels, spec.name)
        predicted = cross_fitted(observed, test_set.labels, spec, rows)
    else:
        predicted = _predict(observed, spec)
    fast = observe(test_set.fast, engine, spec)
    smaller, smaller_labels = pooled(test_set.smaller, test_set.sample_labels, engine, spec)
    blurred, blurred_labels = pooled(test_set.blurred, test_set.sample_labels, engine, spec)
    return {
        "model": spec.name,
        "version": spec.version,
        "milliseconds": _milliseconds(engine, spec),
        "sets": {
            name: {
                **_evaluate_set(observed, predicted, test_set.labels, index, spec),
                **_apart(observed, test_set.labels, index, spec, cross_fit),
            }
            for name, index in _data_sets(test_set.labels).items()
        },
        "fast_detector": {
            name: {
                **_missed(fast, index),
                "all": group_metrics(
                    _predict(fast[index & fast.detected], spec),
                    test_set.sample_labels[index & fast.detected],
                ),
            }
            for name, index in _kinds(test_set.sample_labels).items()
        },
        "by_size": _grouped(smaller, smaller_labels, size_names(smaller.size), spec),
        "by_sharpness": _grouped(blurred, blurred_labels, sharpness_names(blurred.sharpness), spec),
    }


def _missed(observed: Observations, index: NDArray[np.bool_]) -> dict[str, int]:
    return {"images": int(index.sum()), "missed": int((index & ~observed.detected).sum())}


def _evaluate_set(
    observed: Observations,
    predicted: Attributes,
    labels: Labels,
    index: NDArray[np.bool_],
    spec: ModelSpec,
) -> dict[str, Any]:
    rows = index & observed.detected
    truth, answers = labels[rows], select(predicted, rows)
    return {
        **_missed(observed, index),
        **tables(answers, truth),
        "over_age": over_age(answers, truth),
        "gender_calibration": gender_calibration(answers.male, truth.male),
        "reliable": by_group(answers, truth, _reliability(observed[rows], spec)),
    }


def _apart(
    observed: Observations,
    labels: Labels,
    index: NDArray[np.bool_],
    spec: ModelSpec,
    cross_fit: bool,
) -> dict[str, Any]:
    """Whether the model was trained on a set, and the set with a calibration fitted on the others.

    Each set is left out once: what the calibration is worth on pictures from elsewhere.
    """
    known = trained_on(labels, spec.name)
    result: dict[str, Any] = {"trained_on": bool(known[index].any())}
    others = observed.detected & known & ~index
    rows = index & observed.detected
    if cross_fit and result["trained_on"] and others.any() and rows.any():
        calibration = fit(observed[others], labels[others], spec)
        apart = spec.model_copy(update={"calibration": calibration})
        result["left_out_of_calibration"] = group_metrics(
            _predict(observed[rows], apart), labels[rows]
        )
    return result


def _grouped(
    observed: Observations, labels: Labels, groups: list[str], spec: ModelSpec
) -> dict[str, Any]:
    """Metrics of each group, for each kind of labels."""
    predicted, names = _predict(observed, spec), np.array(groups)
    return {
        name: by_group(select(predicted, index), labels[index], names[index].tolist())
        for name, index in _kinds(labels).items()
    }


def _reliability(observed: Observations, spec: ModelSpec) -> list[str]:
    """Group of each face: reliable or not."""
    limits = spec.reliability
    holds = (
        (observed.size >= limits.min_size)
        & (observed.sharpness >= limits.min_sharpness)
        & (np.abs(observed.yaw) <= limits.max_yaw)
    )
    return [str(word) for word in np.where(holds, "reliable", "not reliable")]


def _milliseconds(engine: LiteRTEngine, spec: ModelSpec) -> dict[str, float]:
    """Median time per face, alone and in a batch of eight."""
    result = {}
    for name, count in (("alone", 1), ("in_8", 8)):
        chips = np.zeros((count, spec.chip.size, spec.chip.size, 3), np.float32)
        engine.run(chips)
        times = []
        for _ in range(TIMED_RUNS):
            start = time.perf_counter()
            engine.run(chips)
            times.append((time.perf_counter() - start) * 1000 / count)
        result[name] = float(np.median(times))
    return result


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Evaluate models and write the model card.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="log.csv of the first model's training")
    parser.add_argument("--part", choices=("validation", "all"), default="validation")
    parser.add_argument("--sample", type=int, default=1000, help="images to degrade")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    set_threads(args.threads)
    labels = read_tables(args.labels, args.leave_out)
    if args.part == "validation":
        labels = labels[is_validation(list(labels.name))]
    test_set = detect_test_set(labels, args.images, args.models, args.sample, args.threads)
    images = args.docs / "img" / "model"
    for name in args.names:
        spec = load_spec(args.models, name)
        engine = LiteRTEngine(args.models / f"{name}.tflite", CpuShares(args.threads))
        cross_fit = args.part == "validation"
        metrics = _rounded(evaluate(spec, engine, test_set, cross_fit))
        text = json.dumps(metrics, indent=1, ensure_ascii=False) + "\n"
        (OWN / f"{name}.metrics.json").write_text(text, encoding="utf-8")
        plots.calibration(metrics, images / f"{name}-calibration.png")
        plots.error_by_size(metrics, images / f"{name}-size.png")
    if args.log and args.log.exists():
        plots.learning_curve(args.log, images / f"{args.names[0]}-learning.png")
    write_card(args.models, args.docs / "model-card.md")


if __name__ == "__main__":
    main()
