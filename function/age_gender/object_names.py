"""Names that buckets and objects of Cloud Storage can have.

Others must not reach the client library: it would turn them into addresses of something else.
"""

import re

MAX_NAME_BYTES = 1024
"""Maximum length of an object's name, in bytes of UTF-8."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{0,220}[a-z0-9]")
_UNSAFE = re.compile(r"[\x00\r\n]")


def is_bucket_name(name: str) -> bool:
    """Whether a bucket can have this name."""
    return bool(_BUCKET.fullmatch(name)) and ".." not in name


def is_object_name(name: str) -> bool:
    """Whether an object can have this name."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return 0 < length <= MAX_NAME_BYTES and name not in (".", "..") and not _UNSAFE.search(name)
