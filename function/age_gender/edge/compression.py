"""Compresses answers for clients that accept it: JSON and pages from 1 KiB on.

Only what has been answered with success: errors, which cost an attacker nothing, go out as they
are, and what is the same for everyone is compressed once.
"""

import zlib
from functools import lru_cache

from flask import Request, Response

MIN_BYTES = 1024
"""Below it, little or nothing is won."""
MAX_BYTES = 8 * 1024 * 1024
"""Above it, memory and time are worth more than a quarter of the bytes."""
BYTES_PER_QUOTE = 64
"""In JSON with fewer quotes than that, most is an image in base64, which has no repetitions. There,
Huffman coding alone wins the same quarter in a fifth of the time."""
MAX_SHARED = 64
"""Compressed bodies that are kept: those of `pages`, and two of JSON."""
_GZIP = 16 + zlib.MAX_WBITS


def compress(response: Response, request: Request, *, shared: bool = False) -> Response:
    """Compress a response's body with gzip, if the client accepts that and it is worth while.

    Args:
        response: with a body that is complete; changed.
        request: that it answers.
        shared: whether other requests get the same body, which is kept then.
    """
    response.vary.add("Accept-Encoding")
    size = response.content_length or 0
    if not MIN_BYTES <= size <= MAX_BYTES or request.accept_encodings["gzip"] <= 0:
        return response
    body = response.get_data()
    response.set_data(_compressed_once(body) if shared else compressed(body, _strategy(body)))
    response.headers["Content-Encoding"] = "gzip"
    return response


def compressed(body: bytes, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """Compress a text as a gzip file.

    Args:
        body: the text.
        strategy: zlib's.
    """
    stream = zlib.compressobj(wbits=_GZIP, strategy=strategy)
    return stream.compress(body) + stream.flush()


def _strategy(body: bytes) -> int:
    """Return zlib's strategy for a prediction's JSON."""
    mostly_base64 = body.count(b'"') * BYTES_PER_QUOTE < len(body)
    return zlib.Z_HUFFMAN_ONLY if mostly_base64 else zlib.Z_DEFAULT_STRATEGY


@lru_cache(maxsize=MAX_SHARED)
def _compressed_once(body: bytes) -> bytes:
    return compressed(body)
