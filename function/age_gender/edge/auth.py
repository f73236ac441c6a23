"""HTTP Basic authentication (RFC 7617)."""

import base64
import binascii
import hmac
import logging
from hashlib import sha256

from age_gender.edge.problems import Problem
from age_gender.settings import Settings

log = logging.getLogger(__name__)

CHALLENGE = {"WWW-Authenticate": 'Basic realm="age-gender", charset="UTF-8"'}


def check(header: str | None, settings: Settings) -> None:
    """Let a request pass or not, by its ``Authorization`` header.

    Digests of user name and password together are compared in constant time, so that the time
    taken tells nothing of either, not even of their length.

    Raises:
        Problem: 401 with a challenge.
    """
    if settings.auth == "off":
        return
    expected = f"{settings.basic_auth_username}:{settings.basic_auth_password}".encode()
    given = _credentials(header)
    if not hmac.compare_digest(sha256(given).digest(), sha256(expected).digest()):
        what = "wrong user name or password" if header else "user name and password are needed"
        raise Problem("unauthorized", f"{what}: send HTTP Basic credentials", headers=CHALLENGE)


def warn_if_open(settings: Settings) -> None:
    """Say at start, loudly, when anyone can get in."""
    if settings.auth == "off":
        log.warning("AUTH=off: anyone who reaches this service can use it")
    elif settings.uses_default_password:
        log.warning(
            "THE DEFAULT PASSWORD IS IN USE, and everyone knows it: "
            "set BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD"
        )


def _credentials(header: str | None) -> bytes:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
