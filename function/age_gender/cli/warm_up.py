"""Starts the engine before any progress is shown, since it prints a line when it starts."""

import numpy as np

from age_gender.cli.streams import without_native_notes
from age_gender.runtime import Runtime


def start_engine(runtime: Runtime) -> None:
    """Load the age and gender model and run it once.

    Raises:
        ModelUnavailable: it cannot be loaded.
    """
    estimator = runtime.estimator()
    side = estimator.spec.chip.size
    with without_native_notes():
        estimator.estimate(np.zeros((1, side, side, 3), np.uint8))
