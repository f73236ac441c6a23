"""What of a request has no effect, so that a misspelt field does not quietly mean its default."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from age_gender.edge.problems import FieldError, Problem
from age_gender.schema import PredictRequest

MAX_NAMED = 10
"""Fields named in one answer; more are only counted."""
MAX_NAME_LENGTH = 40
MIN_PART_LENGTH = 3
"""Letters of a part of a field's name from which it means that field."""
NAMES = (*PredictRequest.model_fields, "image")
"""What a request may contain; `image` is a form's file."""


def check_ignored(fields: PredictRequest, unused_query: Iterable[str] = ()) -> list[str]:
    """Name what a request contains without effect.

    Args:
        fields: of the request.
        unused_query: names in its query, if its body has the fields.

    Returns:
        Warnings, in sentences for people.

    Raises:
        Problem: 422, if there is anything and the request is ``strict``.
    """
    errors = [FieldError(field=_cut(name), message=_unknown(name)) for name in fields.unknown]
    errors += [
        FieldError(field=_cut(name), message="is in the query: send it in the body")
        for name in unused_query
    ]
    if not errors:
        return []
    named, more = errors[:MAX_NAMED], len(errors) - MAX_NAMED
    if fields.strict:
        detail = "; ".join(f"{error.field!r} {error.message}" for error in named)
        raise Problem("invalid-field", detail, errors=named)
    warnings = [f"ignored: {error.field!r} {error.message}" for error in named]
    return [*warnings, f"ignored: {more} more"] if more > 0 else warnings


def nearest(name: str, known: Sequence[str] = NAMES) -> str | None:
    """Return the known name that a misspelt one may mean, or None."""
    given = name.lower()[:MAX_NAME_LENGTH]
    if len(given) >= MIN_PART_LENGTH:
        for candidate in sorted(known, key=len):
            if given in candidate.split("_"):
                return candidate
    close = get_close_matches(given, known, 1)
    return close[0] if close else None


def _unknown(name: str) -> str:
    meant = nearest(name)
    return "is unknown" + (f"; did you mean {meant!r}?" if meant else "")


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else name[:MAX_NAME_LENGTH] + "…"
