"""HTTP Basic authentication (RFC 7617)."""

import base64
import binascii
import hmac
import logging
import threading
import time
from hashlib import sha256

from age_gender.edge.problems import Problem
from age_gender.edge.tally import Tally
from age_gender.settings import Settings

log = logging.getLogger(__name__)

CHALLENGE = {"WWW-Authenticate": 'Basic realm="age-gender", charset="UTF-8"'}

FREE_MISTAKES = 10
"""Wrong passwords that are answered at once; one more each second."""
DELAY_SECONDS = 1.0
"""How late further ones are answered."""


class Guard:
    """Checks credentials, logs wrong ones and has their answers delayed when there are many.

    Right ones are never delayed: clients behind one proxy cannot be distinguished, so that would
    let one of them lock out the others.
    """

    def __init__(self, settings: Settings):
        """Check against the settings' credentials."""
        self._settings = settings
        self._lock = threading.Lock()
        self._tally = Tally("wrong passwords")
        self._mistakes = 0.0
        self._last = time.monotonic()

    def check(self, header: str | None) -> None:
        """Check the credentials in a request's ``Authorization`` header.

        Raises:
            Problem: 401 with a challenge; with a delay if there were many wrong passwords.
        """
        try:
            check(header, self._settings)
        except Problem as problem:
            if header:
                problem.delay = self._on_mistake()
            raise

    def tick(self) -> None:
        """Log what was counted, if it is time."""
        with self._lock:
            self._tally.flush()

    def _on_mistake(self) -> float:
        with self._lock:
            now = time.monotonic()
            self._mistakes = max(0.0, self._mistakes - (now - self._last)) + 1
            self._last = now
            self._tally.add("requests")
            return DELAY_SECONDS if self._mistakes > FREE_MISTAKES else 0.0


def check(header: str | None, settings: Settings) -> None:
    """Check the credentials in a request's ``Authorization`` header.

    Digests of user name and password are compared in constant time, so the time taken reveals
    nothing about either, not even the length.

    Raises:
        Problem: 401 with a challenge.
    """
    if settings.auth == "off":
        return
    expected = f"{settings.basic_auth_username}:{settings.basic_auth_password}".encode()
    given = _credentials(header)
    if not hmac.compare_digest(sha256(given).digest(), sha256(expected).digest()):
        reason = "wrong user name or password" if header else "credentials are required"
        raise Problem("unauthorized", f"{reason}: send HTTP Basic credentials", headers=CHALLENGE)


def warn_if_open(settings: Settings) -> None:
    """Log a warning if authentication is off or the password is the published default."""
    if settings.auth == "off":
        log.warning("AUTH=off: anyone who can reach this service can use it")
    elif settings.uses_default_password:
        log.warning(
            "THE DEFAULT PASSWORD IS IN USE, and it is public: "
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
