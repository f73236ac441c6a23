"""Checks and errors that all sources of pictures share, and the buffer that they fill."""

import io
from collections.abc import Callable
from typing import Any

from age_gender.errors import ImageTooLarge, SourceError

NOT_ALLOWED = "url-not-allowed"
"""Code of the errors that refuse an address."""

_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})


def refuse(message: str) -> SourceError:
    """Build the error that refuses an address."""
    return SourceError(message, code=NOT_ALLOWED)


def too_large(max_bytes: int) -> ImageTooLarge:
    """Build the error for a picture with more than ``max_bytes`` bytes."""
    return ImageTooLarge(
        f"the picture is too large: at most {max_bytes:,} bytes are accepted; make it smaller"
    )


def check_not_compressed(encodings: str) -> None:
    """Refuse a compressed picture: a few kilobytes could unpack to gigabytes.

    We never ask for compression, and pictures are compressed already.

    Args:
        encodings: a ``Content-Encoding``.

    Raises:
        SourceError: the picture is compressed.
    """
    if _COMPRESSIONS & {name.strip().lower() for name in encodings.split(",")}:
        raise SourceError(
            "the picture's server compressed it (Content-Encoding) without being asked: "
            "have it deliver the file as it is"
        )


class BoundedBuffer(io.BytesIO):
    """Collects a picture; every byte is booked before it is kept.

    ``getvalue`` returns the content without a copy.
    """

    def __init__(self, max_bytes: int, reserve: Callable[[int], None], expected: int = 0):
        """Hold nothing yet.

        Args:
            max_bytes: largest picture accepted.
            reserve: called with each number of bytes before they are kept; may raise.
            expected: bytes that are announced, booked at once: of several pictures that have to
                wait for bytes, none keeps a part of what another needs.
        """
        super().__init__()
        self._max_bytes = max_bytes
        self._reserve = reserve
        self._booked = expected
        if expected:
            reserve(expected)

    def write(self, data: Any) -> int:
        """Append ``data``.

        Raises:
            ImageTooLarge: there would be more than ``max_bytes`` bytes.
        """
        if self.tell() + len(data) > self._max_bytes:
            raise too_large(self._max_bytes)
        missing = self.tell() + len(data) - self._booked
        if missing > 0:
            self._reserve(missing)
            self._booked += missing
        return super().write(data)
