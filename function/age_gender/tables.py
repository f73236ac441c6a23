"""Faces as flat rows, for tables: the same columns in CSV files, in reports and in pandas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

FACE_COLUMNS = (
    *("face", "x1", "y1", "x2", "y2", "confidence"),
    *("age", "age_low", "age_high", "gender", "gender_probability", "reliable", "reasons"),
)
"""Keys of a face's row: its number from 1, the box in pixels, and the rest as the response has it.
Reasons are joined by spaces."""


def face_row(number: int, details: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten one face.

    Args:
        number: of the face in its image, from 1.
        details: an entry of the response's ``details``.

    Returns:
        A dict with `FACE_COLUMNS` as keys; None for what was not estimated.
    """
    low, high = details.get("age_interval") or (None, None)
    reasons = details.get("reasons")
    values = (
        *(number, *details["box"], details["confidence"]),
        *(details.get("age"), low, high, details.get("gender")),
        *(details.get("gender_probability"), details.get("reliable")),
        None if reasons is None else " ".join(reasons),
    )
    return dict(zip(FACE_COLUMNS, values, strict=True))


def dataframe(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> "DataFrame":
    """Build a table of rows, which may be none.

    Args:
        rows: one dict for each face.
        columns: names of the columns, in order.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        raise ImportError(
            "pandas is not installed: pip install 'age-gender-estimation[pandas]'"
        ) from None
    return pandas.DataFrame(list(rows), columns=list(columns))
