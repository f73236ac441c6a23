"""Compares two models' answers to the same labelled pictures: each set, gender, age and group.

::

    python -m training.compare --labels a.csv b.csv [--leave-out clean.csv]
        --pairs "1.1.0: agn-v1-ccby" old.csv agn-v2 new.csv ... --out docs/notes/before-after.md

Answers are tables of `training.evaluate`, also those of an older version. Only faces that both
found count. Since both answered the same pictures, the interval is that of the difference.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.answers import Answers, read_answers
from training.data import AGE_BANDS, Labels, age_band, read_tables, set_names
from training.evaluate import SETS
from training.metrics import mean_interval

Float = NDArray[np.floating]
Bools = NDArray[np.bool_]

MIN_FACES = 30
"""Faces that a group needs for a row."""
_HEAD = """\
# Before and after

**What became better, and for whom?**

Written by `python -m training.compare`; do not edit. Answers to the validation part as served, each
version with its own detector, alignment and calibration. Only faces that both found count: {faces}.
Differences are after minus before, with the 95 % interval of the difference between two answers to
the same picture; **bold** where zero lies outside it to the worse side. Groups are the labels of
the data sets; those with fewer than {least} faces are left out.

**Threat to validity:** of some two hundred differences, a few are beyond their interval by chance;
and the newer models were chosen on these pictures.
"""


def groups(labels: Labels) -> Iterator[tuple[str, Bools]]:
    """All faces of N, then by gender, age, and race where there are several; name and rows."""
    yield "all", np.ones(len(labels), bool)
    yield from (("F", ~labels.male), ("M", labels.male))
    bands = age_band(labels.low)
    for i, band in enumerate(AGE_BANDS):
        yield f"age {band}", bands == i
    races = np.unique(labels.race)
    for race in races if len(races) > 1 else ():
        yield str(race) or "not given", labels.race == race


def scores(answers: Answers, labels: Labels) -> dict[str, tuple[Float, bool]]:
    """Each face's contribution to each measure, ``[N]``, and whether more is better."""
    right = (answers.male >= 0.5) == labels.male
    found = {"gender": (100.0 * right, True)}
    if labels.exact.all():
        found["years"] = (np.abs(answers.ages - labels.low), False)
    else:
        found["bucket"] = (100.0 * (age_band(answers.ages) == age_band(labels.low)), True)
    return found


def rows_of(
    labels: Labels, before: Answers, after: Answers
) -> Iterator[tuple[str, int, list[str], bool]]:
    """A row for each group of one data set: name, faces, cells, and whether anything is worse.

    Args:
        labels: of N faces of one kind of ages.
        before: answers to the same.
        after: answers to the same.
    """
    old, new = scores(before, labels), scores(after, labels)
    for name, rows in groups(labels):
        if rows.sum() < MIN_FACES:
            continue
        cells, any_worse = [], False
        for measure, unit in (("years", ""), ("bucket", " %"), ("gender", " %")):
            if measure not in old:
                continue
            (first, more_is_better), (second, _) = old[measure], new[measure]
            low, high = mean_interval(second[rows] - first[rows])
            worse = high < 0 if more_is_better else low > 0
            digits = 2 if measure == "years" else 1
            difference = f"{low:+.{digits}f} to {high:+.{digits}f}"
            cells.append(
                f"{first[rows].mean():.{digits}f}{unit} → {second[rows].mean():.{digits}f}{unit}"
            )
            cells.append(f"**{difference}**" if worse else difference)
            any_worse |= worse
        yield name, int(rows.sum()), cells, any_worse


def compared(labels: Labels, before: Answers, after: Answers, names: tuple[str, str]) -> str:
    """Tables of one pair of models.

    Args:
        labels: of N pictures.
        before: answers to the same.
        after: answers to the same.
        names: of the two.
    """
    sets = np.array([SETS.get(name, name) for name in set_names(labels.name).tolist()], str)
    parts, worse = [], []
    for name in dict.fromkeys(sets.tolist()):
        rows = np.flatnonzero(sets == name)
        measure = "mean error, years" if labels[rows].exact.all() else "right bucket"
        title = name or "own pictures"
        lines = [
            f"### {title}\n",
            f"| faces | number | {measure} | difference | right gender | difference |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for group, count, cells, any_worse in rows_of(labels[rows], before[rows], after[rows]):
            lines.append(f"| {group} | {count} | {' | '.join(cells)} |")
            if any_worse:
                worse.append(f"{title} {group}")
        parts.append("\n".join(lines) + "\n")
    verdict = "Nothing is worse beyond chance."
    if worse:
        verdict = f"Worse beyond chance in one measure: {', '.join(worse)}."
    return "\n".join([f"## {names[0]} → {names[1]}\n", f"{verdict}\n", *parts])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compare answers before and after.")
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument(
        "--pair",
        nargs=4,
        action="append",
        required=True,
        metavar=("BEFORE", "TABLE", "AFTER", "TABLE"),
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    labels = read_tables(args.labels, args.leave_out)
    parts, faces = [], 0
    for before, old, after, new in args.pair:
        first, second = (read_answers(Path(path), labels.name) for path in (old, new))
        both = np.flatnonzero(first.found & second.found)
        parts.append(compared(labels[both], first[both], second[both], (before, after)))
        faces = len(both)
    head = _HEAD.format(faces=faces, least=MIN_FACES)
    args.out.write_text("\n".join([head, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
