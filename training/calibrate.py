"""Calibrates models on validation data and writes their specifications.

::

    python -m training.calibrate --names agn-v2 --models DIR --images DIR --labels a.csv b.csv

Uses the rows of the validation part (see `training.data.is_validation`). A model without limits of
quality takes those of `LIMITS_OF`: they say what a picture shows, not what a network makes of it,
and a few hundred pictures of one's own could not tell them. `training.reliability` fits them all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from age_gender.limits.cpus import CpuShares
from age_gender.networks.engine import LiteRTEngine
from age_gender.vision.model_spec import ModelSpec, Reliability, load_spec
from training.calibration import fit
from training.data import is_validation, read_tables, set_names
from training.export import write_spec
from training.observe import detect_faces, make_detector, observe, set_threads

LIMITS_OF = "agn-v2"


def with_limits(spec: ModelSpec, models: Path) -> ModelSpec:
    """Give a model without limits those of quality that `LIMITS_OF` has, if that is built.

    What `LIMITS_OF` reads in its own features is left out: another network has others.

    Args:
        spec: of the model.
        models: folder of the models.
    """
    if spec.reliability != Reliability() or not (models / "specs" / f"{LIMITS_OF}.json").exists():
        return spec
    limits = load_spec(models, LIMITS_OF).reliability.model_copy(
        update={"heads": {}, "age_risk": None, "gender_risk": None}
    )
    return spec.model_copy(update={"reliability": limits})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Calibrate models on the validation part.")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True)
    parser.add_argument("--leave-out", type=Path, help="CSV whose column file names bad images")
    parser.add_argument("--without", nargs="*", default=[], help="data sets to leave out")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    set_threads(args.threads)
    labels = read_tables(args.labels, args.leave_out)
    use = is_validation(list(labels.name)) & ~np.isin(set_names(labels.name), args.without)
    labels = labels[use]
    detector = make_detector("accurate", args.models, args.threads)
    faces = detect_faces([args.images / name for name in labels.name], detector)
    for name in args.names:
        spec = load_spec(args.models, name)
        engine = LiteRTEngine(args.models / f"{name}.tflite", CpuShares(args.threads))
        observed = observe(faces, engine, spec)
        found = observed.detected
        calibration = fit(observed[found], labels[found], spec)
        spec = spec.model_copy(update={"calibration": calibration})
        write_spec(with_limits(spec, args.models), args.models)
        print(spec.calibration.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
