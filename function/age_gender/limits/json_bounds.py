"""Bounds the work of parsing JSON, before it is parsed.

A parser builds every value, even those that are ignored then: 31 MiB of ``[]`` take more than a
gigabyte and hold the interpreter's lock for seconds. No request that we know has more than a few
dozen values, so those with too many marks of structure are refused. Marks inside of texts count,
too; a base64 text has none.
"""

MAX_MARKS = 20_000
"""Enough for thousands of ignored values; parsing these takes milliseconds."""
MAX_DEPTH = 100
"""Arrays and objects inside each other; Python's own parser fails at about a thousand."""

_MARKS = b'[{,:"'
_BLOCK_BYTES = 1 << 18
_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def is_excessive(text: bytes) -> bool:
    """Whether a JSON text has more than `MAX_MARKS`; stops counting there."""
    marks = 0
    for start in range(0, len(text), _BLOCK_BYTES):
        block = text[start : start + _BLOCK_BYTES]
        marks += len(block) - len(block.translate(None, _MARKS))
        if marks > MAX_MARKS:
            return True
    return False


def is_too_deep(text: bytes) -> bool:
    """Whether a JSON text without too many marks may be nested deeper than `MAX_DEPTH`.

    Brackets inside of texts count, too.
    """
    depth = 0
    for bracket in text.translate(None, _BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
