"""Report on `reliable` and the intervals: tables and the curve of error against share kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
import matplotlib.pyplot as plt

from age_gender.vision.model_spec import ModelSpec
from age_gender.vision.reliability import REASONS, features, risk
from training.evaluated import TRUE_EDGES, Bools, Float, Sample, age_errors, evaluated
from training.intervals import meets
from training.looks import EDITED, WITHOUT_PEOPLE, Looks

UNCERTAIN = {"age-uncertain", "gender-uncertain"}
MIN_ROWS = 25
"""Faces from which a group is reported."""


def write_report(
    docs: Path, spec: ModelSpec, sample: Sample, looks: Looks, left_out: Mapping[str, Bools]
) -> None:
    """Write ``docs/reliability-NAME.md`` and its plot.

    Args:
        docs: folder of the documents.
        spec: fitted.
        sample: unchanged faces that nothing was fitted on.
        looks: of all kinds, likewise.
        left_out: whether the intervals met the labels of a data set that was left out of fitting.
    """
    attributes, qualities, reasons = evaluated(sample.looks, spec)
    kept = np.array([not why for why in reasons])
    clear = np.array([not set(why) - UNCERTAIN for why in reasons])
    off = age_errors(attributes.ages, sample.labels)
    wrong = (attributes.male >= 0.5) != sample.labels.male
    held = meets(attributes.intervals, sample.labels)
    width = attributes.intervals[:, 1] - attributes.intervals[:, 0]
    bands = np.digitize(sample.labels.low, TRUE_EDGES)
    starts = (0, *TRUE_EDGES)
    names = [f"{a}-{b - 1}" for a, b in zip(starts, TRUE_EDGES, strict=False)] + ["80+"]

    by_set = []
    for name in np.unique(sample.sets):
        rows = sample.sets == name
        inside, outside = rows & kept, rows & ~kept
        by_set.append(
            (
                name,
                int(rows.sum()),
                percent(kept[rows].mean()),
                f"{percent(mean(wrong[inside]))} / {percent(mean(wrong[outside]))}",
                times(mean(wrong[outside]), mean(wrong[inside])),
                f"{years(mean(off[inside]))} / {years(mean(off[outside]))}",
                times(mean(off[outside]), mean(off[inside])),
            )
        )
    kinds = []
    empty = {*WITHOUT_PEOPLE, *EDITED.values()}
    for kind in dict.fromkeys(looks.kind.tolist()):
        if kind == "clean":
            continue
        _, _, why = evaluated(looks[looks.kind == kind], spec)
        counts = {name: np.mean([name in r for r in why]) for name in REASONS}
        common = sorted(counts, key=lambda name: -counts[name])[:3]
        kinds.append(
            (
                f"{kind}, without people" if kind in empty else kind,
                len(why),
                percent(np.mean([not r for r in why])),
                ", ".join(f"{name} {percent(counts[name])}" for name in common if counts[name]),
            )
        )
    ages = [
        (
            name,
            int(rows.sum()),
            percent(kept[rows].mean()),
            percent(kept[rows & clear].mean()),
            percent(held[rows].mean()),
            f"{width[rows].mean():.1f}",
        )
        for name, rows in ((name, bands == i) for i, name in enumerate(names))
        if rows.sum() >= MIN_ROWS
    ]
    races = [
        (name, int(rows.sum()), percent(kept[rows].mean()), percent(kept[rows & clear].mean()))
        for name, rows in (
            (str(race), (sample.labels.race == race) & (sample.sets == "fairface"))
            for race in np.unique(sample.labels.race)
        )
        if rows.sum() >= MIN_ROWS
    ]
    given = {name: np.array([name in against for against in reasons]) for name in REASONS}
    by_reason = [
        [str(name), *(percent(rows[sample.sets == each].mean()) for each in np.unique(sample.sets))]
        for name, rows in given.items()
    ]
    sharpness = sample.looks.of("sharpness_along")
    size = sample.looks.of("size")
    poor = {
        "the least sharp tenth": sharpness <= np.quantile(sharpness, 0.1),
        "the sharpest half": sharpness >= np.median(sharpness),
        "the smallest quarter": size <= np.quantile(size, 0.25),
        "reliable": kept,
        "not reliable": ~kept,
    }
    coverage = [
        (name, percent(held[sample.sets == name].mean()), percent(left_out[name].mean()))
        for name in np.unique(sample.sets).tolist()
    ] + [("exact ages, each set alike", percent(_alike(held, sample, sample.labels.exact)), "")]
    coverage += [(name, percent(mean(held[rows])), "") for name, rows in poor.items()]

    image = Path("img") / "model" / f"{spec.name}-risk.png"
    values = features(attributes, qualities)
    _plot_curve(docs / image, sample, off, wrong, risks_of(values, spec), kept)
    parts = [
        f"# Reliability of {spec.label}",
        "**Which faces are left out as unreliable, and is that right?**",
        "Written by `python -m training.reliability`. Faces of the validation part whose half was "
        "not used for fitting, detected in their whole pictures; defects are drawn over them.",
        "**Threat to validity:** defects are drawn, not photographed, and rows with few faces say "
        "little: a share of 50 faces is uncertain by some ten points. Limits were fitted on the "
        "other half; how strict they are, and which edited photos and figures are fitted on, was "
        "chosen by results on both.",
        "## Left out, and why it is right",
        table(
            (
                "set",
                "faces",
                "reliable",
                "gender wrong, reliable / not",
                "ratio",
                "years off, reliable / not",
                "ratio",
            ),
            by_set,
        ),
        f"![Error against the share of faces kept]({image.as_posix()})",
        "## By age and group",
        "*Of clear pictures*: of those that nothing but uncertainty speaks against.",
        table(
            ("age", "faces", "reliable", "of clear pictures", "interval holds", "its years"), ages
        ),
        table(("group (FairFace's labels)", "faces", "reliable", "of clear pictures"), races),
        "## Reasons",
        table(("reason", *np.unique(sample.sets).tolist()), by_reason),
        "## Defects",
        table(("drawn", "faces", "reliable", "reasons"), kinds),
        "## Intervals",
        "An exact age has to lie inside; a range of ages, which is all that FairFace has, counts "
        "where the interval meets it. *Left out*: with margins fitted on the other sets.",
        table(("faces", "interval holds", "left out"), coverage),
    ]
    (docs / f"reliability-{spec.name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def risks_of(values: Mapping[str, NDArray[np.float32]], spec: ModelSpec) -> Float:
    """The larger of both risks in relation to its mean; ``[N]``."""
    models = [m for m in (spec.reliability.age_risk, spec.reliability.gender_risk) if m]
    return np.asarray(np.max([risk(values, m) / risk(values, m).mean() for m in models], axis=0))


def _alike(held: Bools, sample: Sample, rows: Bools) -> float:
    return float(np.average(held[rows], weights=sample.weights[rows]))


def _plot_curve(
    path: Path, sample: Sample, off: Float, wrong: Bools, risks: Float, kept: Bools
) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6))
    for name in np.unique(sample.sets):
        rows = sample.sets == name
        if rows.sum() < 10 * MIN_ROWS:
            continue
        order = np.argsort(risks[rows])
        counts = np.arange(1, len(order) + 1)
        shares = counts / len(order)
        for axis, values in ((left, off), (right, wrong * 100.0)):
            means = values[rows][order].cumsum() / counts
            line = axis.plot(shares[50:], means[50:], label=name)
            mark = (kept[rows].mean(), values[rows & kept].mean())
            axis.plot(*mark, "o", color=line[0].get_color())
    left.set(
        xlabel="share of faces kept, least risk first", ylabel="mean years off", ylim=(0, None)
    )
    right.set(
        xlabel="share of faces kept; dots: reliable", ylabel="gender wrong, %", ylim=(0, None)
    )
    if left.lines:
        left.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean(values: Bools | Float) -> float:
    """Mean; NaN for no values."""
    return float(values.mean()) if len(values) else float("nan")


def years(error: float) -> str:
    """Two decimals; a dash for no faces."""
    return "-" if np.isnan(error) else f"{error:.2f}"


def percent(share: float | np.floating) -> str:
    """One decimal; a dash for no faces."""
    return "-" if np.isnan(share) else f"{100 * share:.1f} %"


def times(a: float | np.floating, b: float | np.floating) -> str:
    """How many times ``b`` is ``a``."""
    return "-" if np.isnan(a) or np.isnan(b) or b == 0 else f"{a / b:.1f}"
