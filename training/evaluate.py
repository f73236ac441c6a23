"""Judge models on labelled pictures through the product's path, and write the model card.

::

    python -m training.evaluate --names agn-v1 --models DIR --images DIR --labels a.csv b.csv
        --docs docs [--logs RUN/log.csv ...] [--part validation]

Writes ``own/NAME.metrics.json`` for each model, the pictures in ``docs/img/model`` and
``docs/model-card.md`` about all models that have metrics.
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
from training.calibrate import BLUR, SHRINK, cross_fitted, learnt_from, pooled
from training.card import write_card
from training.data import Labels, concatenated, is_validation, read_labels
from training.observe import Faces, Observations, find, make_detector, observe, set_threads
from training.report import (
    by_group,
    gender_calibration,
    group_numbers,
    select,
    sharpness_names,
    size_names,
    tables,
)

TIMED_RUNS = 30


def _sets(labels: Labels) -> dict[str, NDArray[np.bool_]]:
    both = {plots.EXACT: labels.exact, plots.RANGED: ~labels.exact}
    return {name: index for name, index in both.items() if index.any()}


def _told(observed: Observations, spec: ModelSpec) -> Attributes:
    return calibrate(observed.distributions, observed.male, spec)


@dataclass(frozen=True)
class Views:
    """What the detectors found, which all models share.

    Attributes:
        labels: of N pictures.
        faces: found in them by ``accurate``.
        few: labels of a sample.
        fast: faces of the sample, found by ``fast``.
        shrunk: faces of the sample at several sizes, found by ``accurate``.
        blurred: faces of the sample less and less sharp, found by ``accurate``.
    """

    labels: Labels
    faces: Faces
    few: Labels
    fast: Faces
    shrunk: list[Faces]
    blurred: list[Faces]


def look(labels: Labels, images: Path, models: Path, sample: int, threads: int) -> Views:
    """Run the detectors.

    Args:
        labels: of the pictures to judge by.
        images: folder that the labels' names are in.
        models: folder of the models.
        sample: how many pictures are looked at made worse, and by ``fast``.
        threads: of the network.
    """
    accurate = make_detector("accurate", models, threads)
    paths = [images / name for name in labels.name]
    few = np.random.default_rng(1).permutation(len(labels))[:sample]
    some = [paths[i] for i in few]
    return Views(
        labels,
        find(paths, accurate),
        labels[few],
        find(some, make_detector("fast", models, threads)),
        [find(some, accurate, shrink=s) for s in SHRINK],
        [find(some, accurate, blur=s) for s in BLUR],
    )


def judge(spec: ModelSpec, engine: LiteRTEngine, views: Views, crossed: bool) -> dict[str, Any]:
    """All numbers of one model.

    Args:
        spec: of the model.
        engine: runs it.
        views: of the pictures to judge by.
        crossed: whether these are the pictures that the model was calibrated on: each half of them
            is then judged as calibrated on the other.
    """
    observed = observe(views.faces, engine, spec)
    if crossed:
        told = cross_fitted(observed, views.labels, spec, learnt_from(views.labels, spec.name))
    else:
        told = _told(observed, spec)
    fast = observe(views.fast, engine, spec)
    smaller, smaller_labels = pooled(views.shrunk, views.few, engine, spec)
    blurred, blurred_labels = pooled(views.blurred, views.few, engine, spec)
    return {
        "model": spec.name,
        "version": spec.version,
        "milliseconds": _milliseconds(engine, spec),
        "sets": {
            name: _judged_set(observed, told, views.labels, index, spec)
            for name, index in _sets(views.labels).items()
        },
        "fast_detector": {
            name: {
                **_missed(fast, index),
                "all": group_numbers(
                    _told(fast[index & fast.found], spec), views.few[index & fast.found]
                ),
            }
            for name, index in _sets(views.few).items()
        },
        "by_size": _grouped(smaller, smaller_labels, size_names(smaller.size), spec),
        "by_sharpness": _grouped(blurred, blurred_labels, sharpness_names(blurred.sharpness), spec),
    }


def _missed(observed: Observations, index: NDArray[np.bool_]) -> dict[str, int]:
    return {"pictures": int(index.sum()), "missed": int((index & ~observed.found).sum())}


def _judged_set(
    observed: Observations,
    told: Attributes,
    labels: Labels,
    index: NDArray[np.bool_],
    spec: ModelSpec,
) -> dict[str, Any]:
    seen = index & observed.found
    known, said = labels[seen], select(told, seen)
    return {
        **_missed(observed, index),
        **tables(said, known),
        "gender_calibration": gender_calibration(said.male, known.male),
        "reliable": by_group(said, known, _reliability(observed[seen], spec)),
    }


def _grouped(
    observed: Observations, labels: Labels, groups: list[str], spec: ModelSpec
) -> dict[str, Any]:
    """Numbers of each group, for each kind of labels."""
    told, names = _told(observed, spec), np.array(groups)
    return {
        name: by_group(select(told, index), labels[index], names[index].tolist())
        for name, index in _sets(labels).items()
    }


def _reliability(observed: Observations, spec: ModelSpec) -> list[str]:
    """Whether each face counts as reliable, in words."""
    limits = spec.reliability
    holds = (
        (observed.size >= limits.min_size)
        & (observed.sharpness >= limits.min_sharpness)
        & (np.abs(observed.yaw) <= limits.max_yaw)
    )
    return [str(word) for word in np.where(holds, "reliable", "not reliable")]


def _milliseconds(engine: LiteRTEngine, spec: ModelSpec) -> dict[str, float]:
    """Median time of a face, alone and in a batch of eight."""
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
    """Command line."""
    parser = argparse.ArgumentParser(description="Judge models and write the model card.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--logs", type=Path, nargs="*", default=[], help="of the first model")
    parser.add_argument("--part", choices=("validation", "all"), default="validation")
    parser.add_argument("--sample", type=int, default=1000, help="pictures looked at made worse")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    set_threads(args.threads)
    labels = concatenated([read_labels(table) for table in args.labels])
    if args.part == "validation":
        labels = labels[is_validation(list(labels.name))]
    views = look(labels, args.images, args.models, args.sample, args.threads)
    own, pictures = OWN, args.docs / "img" / "model"
    for name in args.names:
        spec = load_spec(args.models, name)
        engine = LiteRTEngine(args.models / f"{name}.tflite", CpuShares(args.threads))
        numbers = _rounded(judge(spec, engine, views, crossed=args.part == "validation"))
        text = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
        (own / f"{name}.metrics.json").write_text(text, encoding="utf-8")
        plots.calibration(numbers, pictures / f"{name}-calibration.png")
        plots.error_by_size(numbers, pictures / f"{name}-size.png")
    if args.logs:
        plots.learning_curve(args.logs, pictures / f"{args.names[0]}-learning.png")
    write_card(args.models, args.docs / "model-card.md")


if __name__ == "__main__":
    main()
