"""Set-up of the unit tests."""

from tests.unit import profile  # noqa: F401 - loads it
