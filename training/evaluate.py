"""Evaluates models on labelled images through the service's own code; writes the model card.

::

    python -m training.evaluate --names agn-v2 --models DIR --images DIR --labels a.csv b.csv
        --docs docs [--log RUN/log.csv] [--part validation] [--answers DIR]

Writes ``modelbuild/own/NAME.metrics.json`` for each model, the plots in ``docs/img/model`` and
``docs/model-card.md`` for all models with metrics; with ``--answers``, a table of the answers to
single pictures, ``NAME.csv``, for `training.compare`. ``--retime`` only measures the time again, on
an idle machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
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
from training.answers import write_answers
from training.calibration import cross_fitted, fit, trained_on
from training.card import write_card
from training.data import (
    Labels,
    concatenated,
    in_second_half,
    is_validation,
    read_tables,
    set_names,
)
from training.evaluated import evaluated
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
    sharpness_names,
    size_names,
    tables,
)

TIMED_RUNS = 200
SCALES = (1.0, 0.6, 0.4, 0.3, 0.22, 0.16)
"""Resize factors, to measure the error by face size."""
BLUR = (0.0, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0)
"""Standard deviations in pixels, for faces of about 100 pixels, to measure it by sharpness."""

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
    spec: ModelSpec,
    engine: LiteRTEngine,
    test_set: TestSet,
    cross_fit: bool,
    answers: Path | None = None,
) -> dict[str, Any]:
    """Compute all metrics of one model.

    Args:
        spec: of the model.
        engine: runs it.
        test_set: labelled images and faces.
        cross_fit: whether the model was calibrated on these images; each half is then evaluated
            with a calibration fitted on the other.
        answers: folder for the table of the answers, if wanted.
    """
    observed = observe(test_set.faces, engine, spec)
    if cross_fit:
        predicted = cross_fitted(observed, test_set.labels, spec, observed.detected)
    else:
        predicted = _predict(observed, spec)
    if answers:
        write_answers(
            answers / f"{spec.name}.csv", test_set.labels.name, observed.detected, predicted
        )
    fast = observe(test_set.fast, engine, spec)
    smaller, smaller_labels = _pooled(test_set.smaller, test_set.sample_labels, engine, spec)
    blurred, blurred_labels = _pooled(test_set.blurred, test_set.sample_labels, engine, spec)
    return {
        "model": spec.name,
        "version": spec.version,
        "sets": {
            name: {
                **_evaluate_set(observed, predicted, test_set.labels, index),
                "reliable": _reliable(observed, predicted, test_set.labels, index, spec),
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
        "by_size": _grouped(smaller, smaller_labels, size_names(smaller.of("size")), spec),
        "by_sharpness": _grouped(
            blurred, blurred_labels, sharpness_names(blurred.of("sharpness")), spec
        ),
    }


def _missed(observed: Observations, index: NDArray[np.bool_]) -> dict[str, int]:
    return {"images": int(index.sum()), "missed": int((index & ~observed.detected).sum())}


def _pooled(
    versions: list[Faces], labels: Labels, engine: LiteRTEngine, spec: ModelSpec
) -> tuple[Observations, Labels]:
    """Observe the faces detected in several versions of the same images."""
    observed = [observe(faces, engine, spec) for faces in versions]
    return (
        Observations.concatenated([part[part.detected] for part in observed]),
        concatenated([labels[part.detected] for part in observed]),
    )


def _evaluate_set(
    observed: Observations, predicted: Attributes, labels: Labels, index: NDArray[np.bool_]
) -> dict[str, Any]:
    rows = index & observed.detected
    truth, answers = labels[rows], predicted[rows]
    return {
        **_missed(observed, index),
        **tables(answers, truth),
        "over_age": over_age(answers, truth),
        "gender_calibration": gender_calibration(answers.male, truth.male),
    }


def _reliable(
    observed: Observations,
    predicted: Attributes,
    labels: Labels,
    index: NDArray[np.bool_],
    spec: ModelSpec,
) -> dict[str, Any]:
    """Faces that the service calls reliable and the others, of the half it was not fitted on."""
    rows = index & observed.detected & in_second_half(list(labels.name))
    _, _, reasons = evaluated(observed[rows], spec)
    names = ["not reliable" if why else "reliable" for why in reasons]
    return by_group(predicted[rows], labels[rows], names)


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
    others = observed.detected & ~index
    rows = index & observed.detected
    if cross_fit and (others & known).any() and rows.any():
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
        name: by_group(predicted[index], labels[index], names[index].tolist())
        for name, index in _kinds(labels).items()
    }


def milliseconds(engines: Mapping[str, LiteRTEngine], size: int) -> dict[str, dict[str, float]]:
    """Fastest time per face of each network, alone and in a batch of eight.

    The networks take turns, and the fastest of many runs is the one that other work on the machine
    disturbed least.

    Args:
        engines: by name.
        size: side of the chips, pixels.
    """
    times: dict[str, dict[str, float]] = {name: {} for name in engines}
    for key, count in (("alone", 1), ("in_8", 8)):
        chips = np.zeros((count, size, size, 3), np.float32)
        for _ in range(TIMED_RUNS):
            for name, engine in engines.items():
                start = time.perf_counter()
                engine.run(chips)
                elapsed = (time.perf_counter() - start) * 1000 / count
                times[name][key] = min(elapsed, times[name].get(key, elapsed))
    return times


def write_metrics(name: str, metrics: Mapping[str, Any]) -> None:
    """Write the metrics of one model, from which the card is made."""
    text = json.dumps(_rounded(metrics), indent=1, ensure_ascii=False) + "\n"
    (OWN / f"{name}.metrics.json").write_text(text, encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Evaluate models and write the model card.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--labels", type=Path, nargs="+")
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="log.csv of the first model's training")
    parser.add_argument("--answers", type=Path, help="folder for the answers to single pictures")
    parser.add_argument("--part", choices=("validation", "all"), default="validation")
    parser.add_argument("--sample", type=int, default=1000, help="images to degrade")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--retime", action="store_true", help="only measure the time again")
    args = parser.parse_args()
    if not args.retime and (args.images is None or not args.labels):
        parser.error("--images and --labels are needed to evaluate")
    set_threads(args.threads)
    labels = None if args.retime else read_tables(args.labels, args.leave_out)
    specs = {name: load_spec(args.models, name) for name in args.names}
    engines = {
        name: LiteRTEngine(args.models / f"{name}.tflite", CpuShares(args.threads))
        for name in args.names
    }
    costs = milliseconds(engines, next(iter(specs.values())).chip.size)
    timing = {"threads": args.threads, "timed_runs": TIMED_RUNS}
    if labels is None:
        for name in args.names:
            known = json.loads((OWN / f"{name}.metrics.json").read_text(encoding="utf-8"))
            write_metrics(name, {**known, **timing, "milliseconds": costs[name]})
        write_card(args.models, args.docs / "model-card.md")
        return
    if args.part == "validation":
        labels = labels[is_validation(list(labels.name))]
    test_set = detect_test_set(labels, args.images, args.models, args.sample, args.threads)
    images = args.docs / "img" / "model"
    for name, spec in specs.items():
        metrics = evaluate(spec, engines[name], test_set, args.part == "validation", args.answers)
        metrics = {**metrics, **timing, "milliseconds": costs[name]}
        write_metrics(name, metrics)
        plots.calibration(metrics, images / f"{name}-calibration.png")
        plots.error_by_size(metrics, images / f"{name}-size.png")
    if args.log and args.log.exists():
        plots.learning_curve(args.log, images / f"{args.names[0]}-learning.png")
    write_card(args.models, args.docs / "model-card.md")


if __name__ == "__main__":
    main()
