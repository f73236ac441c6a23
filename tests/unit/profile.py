"""Hypothesis on machines that have other things to do, too: no deadlines, and no surprises.

``FUZZ=50 pytest tests/contract tests/unit/test_inputs.py`` tries 50 times as much, and something
else every time.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))

settings.register_profile(
    "steady",
    deadline=None,
    derandomize=TIMES == 1,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("steady")


def examples(count: int) -> settings:
    """Settings for so many examples, or as many times more as asked for."""
    return settings(max_examples=count * TIMES)
