"""Fits what makes a face reliable and the margins of its age interval, and reports on both.

::

    python -m training.reliability --name agn-v2 --models DIR --prepared DIR --images DIR
        --animals animals.csv --packages DIR --rendered DIR --clean clean.csv --cache DIR
        --docs docs [--free]

The last of the steps that write a model's specification, after `training.calibrate`, whose
temperatures it fits anew on the same faces as all else. A new network
takes one pass over the chips, which is cached, and a few minutes. Everything is fitted on one half
of the validation part (`training.data.in_second_half`) and evaluated on the other; classifiers of
the embedding are fitted on faces of the training part.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from age_gender.vision.face import Reason
from age_gender.vision.model_spec import Calibration, Head, ModelSpec, Reliability, Risk, load_spec
from age_gender.vision.reliability import features, risk
from training.calibration import fit_intervals, trained_on
from training.data import Prepared, in_second_half, load_prepared, merged_sets
from training.evaluated import TRUE_EDGES, Sample, evaluated, large_errors, observed_attributes
from training.export import LAST_BLOCK, write_spec
from training.intervals import meets
from training.logistic import fit_logistic
from training.looks import (
    EDITED,
    LISTED,
    PACKAGES,
    RENDERED,
    WITHOUT_PEOPLE,
    Looks,
    observe_all,
)
from training.perceptron import fit_perceptron
from training.probabilities import fit_probabilities
from training.reliability_report import write_report
from training.without_people import in_folder, listed, of_packages, sampled

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

CLEAN = 16_000
"""Unchanged faces of the training part, for the classifiers of the embedding."""
DEFECTIVE = {
    "covered": 26_000,
    "beside": 3000,
    "cut": 700,
    "drawn": 10_000,
    "retouched": 16_000,
} | dict.fromkeys(("motion", "defocus", "overexposed", "underexposed", "small"), 250)
"""Faces of the training part with each defect, and some that are only edited. With a fifth of the
coverings, three times as many of the drawn glasses were missed, and twice as many of the masks,
hands and drawings."""
EVALUATED = 200
"""Faces of the validation part with each defect."""
A_PACKAGE = 600
"""Pictures of one package that are observed, at most."""
FOLDS = 4
"""Parts of the pictures without people. One of those listed is fitted on, and all but one of the
others, which show more. The rest is evaluated: listed pictures mostly from other sources, the
others from the same."""
DRAWN_APART = ("mask", "glasses", "hand", "bar", "half")
"""Evaluated apart from all coverings."""


@dataclass(frozen=True)
class Task:
    """What a classifier of the embedding is fitted on.

    Attributes:
        shown: kinds of faces that show the reason.
        others: kinds of those that do not, and how many of each are used: more of those that are
            easy to tell apart would outweigh the rest.
        share: of the ordinary faces that it may be given to, wrongly or not.
        features: how many of the first it sees; None: all.
    """

    shown: tuple[str, ...]
    others: dict[str, int]
    share: float
    features: int | None = None


HEADS: dict[Reason, Task] = {
    "covered": Task(
        ("covered",),
        {"clean": CLEAN, "beside": 3000, "retouched": 16_000}
        | dict.fromkeys(("motion", "defocus", "small"), 250),
        share=0.006,
    ),
    "cut-off": Task(
        ("cut",),
        {"clean": 3500, "beside": 500, "covered": 4500}
        | dict.fromkeys(("motion", "defocus", "small"), 250),
        share=0.001,
        # Earlier layers see the border itself, and so a face that only touches it.
        features=LAST_BLOCK,
    ),
    "not-a-face": Task(
        (*WITHOUT_PEOPLE, *EDITED.values(), "drawn"),
        {"clean": CLEAN, "beside": 500, "covered": 4500, "cut": 700}
        | {"retouched": 16_000, "motion": 250},
        share=0.005,
    ),
}
SHARES = {
    "turned": 0.0006,
    "blurred": 0.002,
    "dark": 0.001,
    "overexposed": 0.001,
}
"""Share of ordinary faces beyond each limit; a quarter of it for pitch, half for brightness, and
hardly any for noise. With few faces, a limit is that of the most extreme one."""
MIN_CONFIDENCE = 0.85
"""Of a detection. Animals that pass for faces have less, as most drawings have, and one clear face
in a hundred."""
MIN_SIZE = 22.0
"""Pixels, as `quality` measures the size: in smaller faces, ages are off by a quarter more."""
MAX_OUTSIDE = 0.33
"""Share of a face outside the picture. Tightly cropped whole faces, mostly profiles, reach 0.3; of
half faces it is 0.334 and more."""

UNCERTAIN = {"age": 0.02, "gender": 0.04}
"""Share of all faces that is age-uncertain, and of each band of predicted ages that is
gender-uncertain. By band for gender, because its risk is much higher for children."""
RISK_EDGES = (3.0, 8.0, 14.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
RISK_RIDGE = 3.0
MIN_BAND = 40
"""Faces that a band of ages needs for a limit of its own."""
MAX_LOST_MORE = 0.03
"""Share that a group may lose to uncertainty beyond what all faces lose."""
MAX_ROUNDS = 60


def wanted_rows(data: Prepared, unclean: Bools, usable: Bools) -> dict[str, Rows]:
    """Rows of the prepared folder to observe, by kind.

    Args:
        data: prepared images.
        unclean: bool ``[N]``, whose labels are likely wrong.
        usable: bool ``[N]``, that the model may learn from.
    """
    random = np.random.default_rng(0)
    validation = np.flatnonzero(data.detected & data.validation)
    training = random.permutation(
        np.flatnonzero(data.detected & usable & ~data.validation & ~unclean)
    )
    tested = random.permutation(validation)
    portraits = np.char.startswith(data.labels.name, "portraits/")
    good = np.flatnonzero(data.detected & portraits & ~data.validation)
    wanted = {"clean": np.concatenate([validation, np.sort(training[:CLEAN]), good])}
    start = CLEAN
    for kind, count in DEFECTIVE.items():
        mine = np.sort(training.take(range(start, start + count), mode="wrap"))
        wanted[kind] = np.concatenate([mine, tested[:EVALUATED]])
        start += count
    return wanted | dict.fromkeys(DRAWN_APART, tested[EVALUATED : 2 * EVALUATED])


def fit_head(
    looks: Looks, training: Bools, reason: Reason, ordinary: Looks, weights: Float
) -> Head:
    """Fit one classifier of the embedding.

    Args:
        looks: of all kinds.
        training: bool ``[N]``, those to fit on.
        reason: a key of `HEADS`.
        ordinary: unchanged faces that it was not fitted on, for the limit.
        weights: of the same.
    """
    task = HEADS[reason]
    random = np.random.default_rng(0)
    others = [
        random.permutation(np.flatnonzero(training & (looks.kind == kind)))[:most]
        for kind, most in task.others.items()
    ]
    rows = np.concatenate([np.flatnonzero(training & np.isin(looks.kind, task.shown)), *others])
    head = fit_perceptron(
        looks.embedding[rows, : task.features].astype(np.float32),
        np.isin(looks.kind[rows], task.shown),
    )
    logits = head.logits(ordinary.embedding.astype(np.float32))
    limit = 1 / (1 + np.exp(-quantile(logits, weights, 1 - task.share)))
    return head.model_copy(update={"limit": round(float(np.clip(limit, 0.001, 0.999)), 4)})


def quantile(values: Float, weights: Float, share: float) -> float:
    """Weighted quantile."""
    order = np.argsort(values)
    cumulative = weights[order].cumsum()
    at = min(int(np.searchsorted(cumulative, share * cumulative[-1])), len(values) - 1)
    return float(values[order[at]])


def fit_limits(ordinary: Looks, weights: Float) -> dict[str, float]:
    """Fit the limits of quality so that few ordinary faces are beyond them."""

    def upper(values: Float, share: float) -> float:
        return quantile(values, weights, 1 - share)

    contrast = np.maximum(ordinary.of("contrast"), 0.01)
    dark = SHARES["dark"]
    return {
        "min_size": MIN_SIZE,
        "min_confidence": MIN_CONFIDENCE,
        "max_yaw_degrees": round(upper(np.abs(ordinary.of("yaw_degrees")), SHARES["turned"]), 1),
        "max_pitch_degrees": round(
            upper(np.abs(ordinary.of("pitch_degrees")), SHARES["turned"] / 4), 1
        ),
        "min_sharpness_along": round(-upper(-ordinary.of("sharpness_along"), SHARES["blurred"]), 3),
        "min_contrast": round(-upper(-contrast, dark), 3),
        "min_brightness": round(-upper(-ordinary.of("brightness"), dark / 2), 3),
        # Compression looks like noise, too: only what is far from ordinary counts.
        "max_noise": round(2 * upper(ordinary.of("noise") / contrast, dark), 4),
        "max_burnt_out": round(upper(ordinary.of("burnt_out"), SHARES["overexposed"]), 3),
        "max_outside": MAX_OUTSIDE,
    }


def fit_risk(
    values: dict[str, NDArray[np.float32]],
    wrong: Bools,
    ages: Float,
    sets: NDArray[np.str_],
    weights: Float,
    usable: Bools,
    groups: Sequence[Bools],
    share: float,
    *,
    by_band: bool,
) -> Risk:
    """Fit a logistic model and its limits.

    Args:
        values: from `age_gender.vision.reliability.features`, of N faces.
        wrong: bool ``[N]``.
        ages: predicted, ``[N]``.
        sets: ``[N]``, the data set of each. Each has an intercept of its own, for its labels are
            more or less exact, so that no feature stands in for it.
        weights: of the faces, ``[N]``.
        usable: bool ``[N]``, that nothing else speaks against: the limits are for these.
        groups: bool ``[N]`` each: none may lose much more of its faces than all do.
        share: of the usable faces that become uncertain, at first.
        by_band: whether the share holds for each band. Otherwise it holds for all faces together:
            one limit, which is raised for the bands in which a group would lose too many.
    """
    x = np.stack(list(values.values()), axis=1)
    own = (sets[:, None] == np.unique(sets)).astype(np.float32)
    slopes, intercept = fit_logistic(
        np.concatenate([x, own], axis=1),
        wrong,
        ridge=RISK_RIDGE,
        weights=weights / weights.mean(),
    )
    intercept += float(slopes[x.shape[1] :].mean())
    named = {name: round(float(w), 4) for name, w in zip(values, slopes, strict=False)}
    model = Risk(intercept=round(intercept, 4), weights=named, edges=(), limits=(1.0,))
    risks, bands = risk(values, model), np.digitize(ages, RISK_EDGES)
    members = [usable & (bands == band) for band in range(len(RISK_EDGES) + 1)]
    members = [  # too few for a limit of their own are joined by their neighbours
        rows if rows.sum() >= MIN_BAND else usable & (np.abs(bands - band) <= 1)
        for band, rows in enumerate(members)
    ]

    def limit(rows: Bools, share: float) -> float:
        return quantile(risks[rows], weights[rows], 1 - share)

    if by_band:
        shares = np.full(len(members), share)
        limits = np.array([limit(rows, share) for rows in members])
    else:
        common = limit(usable, share)
        over = risks >= common
        shares = np.array([weights[rows & over].sum() / weights[rows].sum() for rows in members])
        limits = np.full(len(members), common)
    for _ in range(MAX_ROUNDS):
        lost = usable & (risks >= limits[bands])
        allowed = lost[usable].mean() + MAX_LOST_MORE
        short = [g & usable for g in groups if lost[g & usable].mean() > allowed]
        if not short:
            break
        for group in short:
            most = np.bincount(bands[group & lost], minlength=len(shares)).argmax()
            shares[most] *= 0.93
            limits[most] = max(limits[most], limit(members[most], shares[most]))
    rounded = tuple(round(float(highest), 4) for highest in limits)
    return model.model_copy(update={"edges": RISK_EDGES, "limits": rounded})


def fit_reliability(looks: Looks, training: Bools, fitting: Sample, spec: ModelSpec) -> Reliability:
    """Fit everything that `reliable` depends on.

    Args:
        looks: of all kinds, for the classifiers.
        training: bool ``[N]``, those to fit them on.
        fitting: unchanged faces.
        spec: with its calibration.
    """
    weights = fitting.weights
    heads = {reason: fit_head(looks, training, reason, fitting.looks, weights) for reason in HEADS}
    limits = Reliability.model_validate(
        fit_limits(fitting.looks, weights)
        | {"heads": {k: h.model_dump() for k, h in heads.items()}}
    )
    spec = spec.model_copy(update={"reliability": limits})
    attributes, qualities, reasons = evaluated(fitting.looks, spec)
    usable = np.array([not why for why in reasons])
    values = features(attributes, qualities)
    wrong_gender = (attributes.male >= 0.5) != fitting.labels.male
    far_off = large_errors(attributes.ages, fitting.labels)
    bands = np.digitize(fitting.labels.low, TRUE_EDGES)
    faces = fitting.sets == "fairface"
    groups = [bands == band for band in np.unique(bands)]
    groups += [faces & (fitting.labels.race == race) for race in np.unique(fitting.labels.race)]
    groups = [group for group in groups if group.sum() >= MIN_BAND]
    return limits.model_copy(
        update={
            f"{kind}_risk": fit_risk(
                values,
                wrong,
                attributes.ages,
                fitting.sets,
                weights,
                usable,
                groups,
                UNCERTAIN[kind],
                by_band=kind == "gender",
            )
            for kind, wrong in (("age", far_off), ("gender", wrong_gender))
        }
    )


def samples(looks: Looks, data: Prepared, unclean: Bools) -> tuple[Sample, Bools]:
    """Unchanged faces of the validation part, and which of all looks are for training."""
    known = looks.row >= 0
    rows = np.maximum(looks.row, 0)
    fold = looks.row % FOLDS
    from_list = np.isin(looks.kind, (LISTED, EDITED[LISTED]))
    shown = np.where(from_list, fold == 0, fold != 0)
    training = np.where(known, ~data.validation[rows] & ~unclean[rows], shown)
    clean = known & (looks.kind == "clean") & data.validation[rows]
    labels = data.labels[rows[clean]]
    second = in_second_half(list(labels.name))
    return Sample(looks[clean], labels, merged_sets(labels), second), training


def margins(sample: Sample, spec: ModelSpec) -> Calibration:
    """Fit the margins of the interval."""
    return fit_intervals(sample.looks, sample.labels, sample.sets, spec)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit and report reliability and intervals.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of the tables' `file`")
    parser.add_argument("--animals", type=Path, required=True, help="table without people")
    parser.add_argument("--packages", type=Path, help="folder of unpacked packages, see README")
    parser.add_argument("--rendered", type=Path, help="folder of training.figures.render")
    parser.add_argument("--clean", type=Path, help="table of pictures to leave out of fitting")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--free", action="store_true", help="fit on commercially free data only")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(arguments)
    data = load_prepared(args.prepared)
    unclean = np.zeros(len(data.labels), bool)
    if args.clean:
        with args.clean.open(newline="", encoding="utf-8") as lines:
            unclean = np.isin(data.labels.name, [row["file"] for row in csv.DictReader(lines)])
    usable = np.ones(len(data.labels), bool)
    if args.free:
        usable = np.array([n.startswith(("fairface", "portraits")) for n in data.labels.name])
    pictures = {LISTED: [p for p in listed(args.animals, args.images) if p.free or not args.free]}
    if args.packages:
        unpacked = of_packages(args.packages)
        pictures[PACKAGES] = list(sampled(unpacked, A_PACKAGE, np.random.default_rng(0)))
    if args.rendered:
        pictures[RENDERED] = in_folder(args.rendered)
    looks = observe_all(
        args.prepared,
        args.models,
        args.name,
        wanted_rows(data, unclean, usable),
        pictures,
        args.cache,
        args.workers,
    )
    everything, training = samples(looks, data, unclean)
    fittable = ~np.isin(everything.labels.name, data.labels.name[unclean])
    spec = load_spec(args.models, args.name)
    half = everything[~everything.second & fittable]
    known = half[trained_on(half.labels, spec.name)]
    calibration = fit_probabilities(known.looks, known.labels, spec)
    spec = spec.model_copy(update={"calibration": calibration})
    spec = spec.model_copy(update={"calibration": margins(half, spec)})
    spec = spec.model_copy(update={"reliability": fit_reliability(looks, training, half, spec)})
    other = everything[everything.second]
    left_out = {}
    for name in np.unique(everything.sets).tolist():
        rest = everything[(everything.sets != name) & fittable]
        alone = spec.model_copy(update={"calibration": margins(rest, spec)})
        apart = everything[everything.sets == name]
        left_out[str(name)] = meets(observed_attributes(apart.looks, alone).intervals, apart.labels)
    write_report(args.docs, spec, other, looks[~training], left_out)
    final = margins(everything[fittable], spec)
    write_spec(spec.model_copy(update={"calibration": final}), args.models)


if __name__ == "__main__":
    main()
