"""Names of files as text that can be shown, whatever bytes they are made of."""


def printable(name: str) -> str:
    """Escape what would move the cursor, break a line or cannot be encoded."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Give a count with its noun, such as ``1 face`` or ``2 faces``."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"
