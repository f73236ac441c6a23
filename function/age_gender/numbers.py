"""What numbers in requests, settings and events must not be, for pydantic."""

from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def _no_boolean(given: Any) -> Any:
    if isinstance(given, bool):
        raise PydanticCustomError("boolean", "Input should be a number, not true or false")
    return given


NO_BOOLEAN = BeforeValidator(_no_boolean)
"""Annotates a number: pydantic would take ``true`` for 1. The last annotation, or else the JSON
schema would lack those before it."""
