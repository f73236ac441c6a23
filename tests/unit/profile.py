"""A Hypothesis profile for shared machines: without deadlines, and repeatable.

``FUZZ=50 pytest tests/contract tests/unit/test_inputs.py`` tries 50 times the examples, and
different ones each time.
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
    """Run ``count`` examples, times ``FUZZ``."""
    return settings(max_examples=count * TIMES)
