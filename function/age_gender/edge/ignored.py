"""What of a request has no effect, so that a misspelt field does not quietly mean its default."""

from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import ValidationError

from age_gender.edge.problems import FieldError, Problem
from age_gender.schema import PredictRequest

MAX_NAMED = 10
"""Fields named in one answer; more are only counted."""
MAX_NAME_LENGTH = 40
MIN_PART_LENGTH = 3
"""Letters of a part of a field's name from which it means that field."""
LIKENESS = 0.7
"""From 0 to 1, from which two names are alike."""
NAMES = tuple(PredictRequest.model_fields)
OTHER_WORDS = {
    **dict.fromkeys(("base64", "image", "picture"), "b64"),
    "iou": "nms",
    "threshold": "confidence",
}
"""What others call some fields."""
NOTHING: Mapping[str, str] = {}


def check_ignored(fields: PredictRequest, unused_query: Mapping[str, str] = NOTHING) -> list[str]:
    """Name what a request contains without effect.

    Args:
        fields: of the request.
        unused_query: its query, if its body has the fields. Generated clients repeat all defaults
            there, which is harmless.

    Returns:
        Warnings, in sentences for people.

    Raises:
        Problem: 422, if there is anything and the request is ``strict``.
    """
    unused = [name for name, value in unused_query.items() if not _is_default(name, value)]
    count = len(fields.unknown) + len(unused)
    if not count:
        return []
    # Only these are compared with known names, which takes time.
    named = [
        *((name, _unknown(name)) for name in fields.unknown[:MAX_NAMED]),
        *((name, "is in the query: send it in the body") for name in unused[:MAX_NAMED]),
    ][:MAX_NAMED]
    errors = [FieldError(field=cut(name), message=message) for name, message in named]
    if fields.strict:
        detail = "; ".join(f"{error.field!r} {error.message}" for error in errors)
        raise Problem("invalid-field", detail, errors=errors)
    warnings = [f"ignored: {error.field!r} {error.message}" for error in errors]
    more = count - len(errors)
    return [*warnings, f"ignored: {more} more"] if more else warnings


def nearest(name: str) -> str | None:
    """Return the field that a misspelt one may mean, or None."""
    given = name.lower()[:MAX_NAME_LENGTH]
    if given in OTHER_WORDS:
        return OTHER_WORDS[given]
    if len(given) >= MIN_PART_LENGTH:
        for candidate in sorted(NAMES, key=len):
            if given in candidate.split("_"):
                return candidate
    close = get_close_matches(given, NAMES, 1, LIKENESS)
    return close[0] if close else None


def _is_default(name: str, value: str) -> bool:
    if name not in PredictRequest.model_fields:
        return False
    try:
        return PredictRequest.model_validate({name: value}) == PredictRequest.model_validate({})
    except ValidationError:
        return False


def _unknown(name: str) -> str:
    meant = nearest(name)
    return "is unknown" + (f"; did you mean {meant!r}?" if meant else "")


def cut(name: str) -> str:
    """Shorten a name that came with a request, to be repeated in its answer."""
    return name if len(name) <= MAX_NAME_LENGTH else name[:MAX_NAME_LENGTH] + "…"
