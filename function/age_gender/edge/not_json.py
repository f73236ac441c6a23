"""Recognises what people send in place of JSON, to say what to send instead.

`curl --data-binary` and `curl -d` call every body an urlencoded form, so its type says nothing.
"""

import re

from age_gender.vision.formats.kinds import FORMATS, SNIFFED_BYTES, kind_of

MIME_TYPES = {name: f"image/{name.lower()}" for name in FORMATS}
"""Of pictures, by format."""

_FORM = re.compile(rb"[\w.\-+%\[\]]+=")
_ADDRESS = re.compile(rb"(https?|gs)://\S|data:", re.IGNORECASE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_=\-\s]{64,}")
_CURL_JSON = """curl: -H 'Content-Type: application/json' -d '{"url": "https://…"}'"""


def hint(body: bytes) -> str | None:
    """Say what a body is, if it is certainly no JSON, and what to send.

    Args:
        body: of a request that should be JSON; looked at as far as `SNIFFED_BYTES`.
    """
    start = body[:SNIFFED_BYTES]
    kind = kind_of(start)
    if kind.is_readable:
        return (
            f"the body is a {kind.name}, not JSON: name its type (curl: -H 'Content-Type: "
            f"{MIME_TYPES[kind.name]}' --data-binary @photo), send it in a form (curl: -F "
            "image=@photo), or as base64 in the JSON field `b64`"
        )
    text = start.lstrip()
    if text.startswith(b"--") and b"content-disposition:" in text.lower():
        return "the body is a form, but its Content-Type is not multipart/form-data with a boundary"
    if _ADDRESS.match(text):
        return f"the body is an address, not JSON: send it as the field `url` ({_CURL_JSON})"
    if _FORM.match(text):
        return (
            f"the body is an urlencoded form, not JSON: send JSON ({_CURL_JSON}) or "
            "multipart/form-data (curl: -F instead of -d)"
        )
    if _BASE64.fullmatch(text):
        return 'the body is base64, not JSON: send it as the field `b64` ({"b64": "…"})'
    return None
