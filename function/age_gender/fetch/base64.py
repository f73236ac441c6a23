"""Decodes a picture that is part of the request itself: base64 text or a ``data:`` URL.

Apart from `urls`, so that a request without an address imports no HTTP client.
"""

from contextlib import suppress

import pybase64

from age_gender.errors import ImageError
from age_gender.fetch.checks import too_large

_MAX_DATA_PREFIX = 256
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\r\n\f\v"


def from_base64(text: str, max_bytes: int) -> bytes:
    """Decode base64 text.

    Args:
        text: base64 in the standard or the URL-safe alphabet, with or without padding, line
            breaks and a ``data:…;base64,`` prefix.
        max_bytes: largest picture accepted; checked before decoding.

    Raises:
        ImageError: with code ``bad-base64``.
        ImageTooLarge: more than ``max_bytes`` bytes.
    """
    text = _without_data_prefix(text)
    is_padded = len(text) % 4 == 0 and not text.endswith("===")
    if text and is_padded and len(text) * 3 // 4 <= max_bytes:
        with suppress(ValueError):  # most texts are as they should be
            return pybase64.b64decode(text, validate=True)
    try:
        data = text.encode("ascii")
    except UnicodeEncodeError:
        raise _bad_base64("it has characters that are not ASCII") from None
    data = data.translate(_URL_SAFE_TO_STANDARD, _WHITESPACE)
    body = data.rstrip(b"=")
    if not body:
        raise _bad_base64("it is empty")
    if len(body) * 3 // 4 > max_bytes:
        raise too_large(max_bytes)
    padding = -len(body) % 4
    if len(data) - len(body) > padding:
        raise _bad_base64("it ends with too many =")
    try:
        return pybase64.b64decode(body + b"=" * padding, validate=True)
    except ValueError:
        raise _bad_base64(
            "it is incomplete or has characters other than A-Z a-z 0-9 + / (or - _) and ="
        ) from None


def _without_data_prefix(text: str) -> str:
    text = text.lstrip()
    if text[:5].lower() != "data:":
        return text
    comma = text.find(",", 0, _MAX_DATA_PREFIX)
    if not text[: max(comma, 0)].rstrip().lower().endswith(";base64"):
        raise _bad_base64("a data URL must start like data:image/jpeg;base64,")
    return text[comma + 1 :]


def _bad_base64(reason: str) -> ImageError:
    return ImageError(f"the picture is not valid base64: {reason}", code="bad-base64")
