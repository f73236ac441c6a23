"""Text for terminals: file names of any bytes, counts with nouns, probabilities."""


def printable(name: str) -> str:
    """Escape characters that move the cursor, break a line or cannot be encoded."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Format a count with its noun: ``1 face``, ``2 faces``."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def ending(text: str, width: int) -> str:
    """Shorten a text from the left, so that the end of a path stays."""
    return text if len(text) <= width else f"…{text[1 - width :]}"


def percent(probability: float) -> str:
    """Format a probability from 0.5 to 1, never as certain."""
    return ">99%" if probability >= 0.995 else f"{probability:.0%}"
