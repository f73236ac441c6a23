"""Text for terminals: file names of any bytes, counts with nouns."""


def printable(name: str) -> str:
    """Escape characters that move the cursor, break a line or cannot be encoded."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Format a count with its noun: ``1 face``, ``2 faces``."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"
