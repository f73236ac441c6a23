"""The model card: what each of our models is for, how well it does, and for whom worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from age_gender.vision.model_spec import ModelSpec, load_spec
from modelbuild.catalogue import OWN
from training.plots import EXACT, RANGED
from training.report import share, table, years

_HEAD = """\
# Model card

Written by `make evaluate` (`python -m training.evaluate`) from the metrics beside the weights; do
not edit by hand. How the models were made, and what was tried in vain, is in [model.md](model.md).

All numbers are of the validation part (a fixed tenth of each data set, split by file name; copies
of its photos are left out of training), through the product's own path: `accurate` detector,
alignment, LiteRT, calibration. In brackets: 95 % confidence intervals. "Bucket" is one of the nine
age ranges of FairFace. Calibration is fitted on the same part; for this card each half of it was
judged by a calibration fitted on the other half.

## Use

**Meant for** statistics over many faces (how old is an audience, how mixed are the photos of a
collection), for sorting photos, and for help where a person decides.

**Not meant for** decisions about a person: access, age checks that the law asks for, hiring, police
work. The mean error of some years and the sexes told wrong make that unfit, whoever the person is.
"Sex" is what annotators guessed from a picture, as one of two; it says nothing about anybody's
gender identity. An age is the age that a face looks like.
"""


def write_card(models: Path, target: Path) -> None:
    """Write the card of all models of our own that have metrics.

    Args:
        models: folder of the models.
        target: the Markdown file.
    """
    files = sorted(OWN.glob("*.metrics.json"))
    parts = [_HEAD]
    for file in files:
        numbers = json.loads(file.read_text(encoding="utf-8"))
        parts.append(_section(load_spec(models, numbers["model"]), numbers))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(parts), encoding="utf-8")


def _section(spec: ModelSpec, numbers: dict[str, Any]) -> str:
    calibration, limits = spec.calibration, spec.reliability
    cost = numbers["milliseconds"]
    lines = [
        f"## `{spec.name}` {spec.version}",
        "",
        f"- **Data**: {spec.data}",
        f"- **Licence**: {spec.licence}",
        f"- **Network**: MobileNet-v1 on chips of {spec.chip.size} px that show"
        f" {spec.chip.scale:g} times the face's box; {cost['in_8']:.1f} ms a face in a batch of"
        f" eight, {cost['alone']:.1f} ms alone (two cores, LiteRT)",
        f"- **Calibration**: temperature {calibration.age_temperature:.2f} (age),"
        f" {calibration.gender_temperature:.2f} (sex); margins of the 80 % intervals by the age"
        " told",
        f"- **Reliable** means: face of at least {limits.min_size:g} px, sharpness of at least"
        f" {limits.min_sharpness:g}, turned aside by at most {limits.max_yaw:g}"
        " (see `age_gender/vision/quality.py`)",
        "",
    ]
    for name, part in numbers["sets"].items():
        lines += _set(name, part)
    lines += ["### By face size", ""]
    for name, groups in numbers["by_size"].items():
        lines += [table(groups, name), ""]
    lines += [
        "### By sharpness",
        "",
        "The same pictures blurred more and more; `quality.sharpness` as the service tells it.",
        "",
    ]
    for name, groups in numbers["by_sharpness"].items():
        lines += [table(groups, name), ""]
    image = f"img/model/{spec.name}"
    lines += [
        f"![Mean error and share of sexes wrong by face size]({image}-size.png)",
        "",
        f"![Told probability against share right, and coverage by age]({image}-calibration.png)",
        "",
        "### With the `fast` detector",
        "",
    ]
    for name, part in numbers["fast_detector"].items():
        missed = f"{part['missed']} of {part['pictures']} faces not found"
        lines += [table({f"{name}; {missed}": part["all"]}, "sample"), ""]
    return "\n".join(lines)


def _set(name: str, part: dict[str, Any]) -> list[str]:
    what = {EXACT: "Exact ages (UTKFace)", RANGED: "Age ranges (FairFace)"}[name]
    rows = {"all": part["all"]}
    if "ages_21_60" in part:
        rows["21 to 60 years"] = part["ages_21_60"]
    headline = [f"sex {share(part['all']['sex'])}"]
    if "mae" in part["all"]:
        headline.insert(0, f"mean error {years(part['all']['mae'])} years")
    if "bucket" in part["all"]:
        headline.insert(0, f"bucket {share(part['all']['bucket'])}")
    return [
        f"### {what}",
        "",
        f"{part['pictures']} pictures, {part['missed']} faces not found by the detector"
        f" (not counted below). {'; '.join(headline)}.",
        "",
        table({**rows, **part["reliable"]}, "faces"),
        "",
        table(part["by_age"], "age"),
        "",
        table(part["by_race"], "group, as labelled"),
        "",
        table(part["by_sex"], "sex, as labelled"),
        "",
        "<details><summary>By age, group and sex</summary>",
        "",
        table(part["by_cell"], "age / group / sex"),
        "",
        "</details>",
        "",
    ]
