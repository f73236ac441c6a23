"""Who may call: HTTP Basic (RFC 7617), Bearer keys (RFC 6750), or whom Cloud Run lets through."""

import base64
import binascii
import hmac
import ipaddress
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from age_gender.edge.problems import Problem
from age_gender.edge.tally import Tally
from age_gender.errors import SettingsError
from age_gender.fetch.addresses import network_of
from age_gender.settings import Settings

log = logging.getLogger(__name__)

BASIC = 'Basic realm="age-gender", charset="UTF-8"'
BEARER = 'Bearer realm="age-gender"'

FREE_MISTAKES = 10
"""Wrong credentials that are answered at once; one more each second."""
DELAY_SECONDS = 1.0
"""How late further ones are answered."""


class Credentials:
    """What the settings accept, as digests."""

    def __init__(self, settings: Settings):
        """Compute the digests."""
        self._open = settings.auth in ("off", "iam")
        self._accepted = [(name, sha256(text).digest()) for name, text in _accepted(settings)]
        self._challenges = _challenges(settings)

    def check(self, header: str | None) -> str:
        """Check the credentials in a request's ``Authorization`` header.

        Digests are compared in constant time, and with all that are accepted, so the time taken
        reveals nothing about any of them, not even the length.

        Returns:
            The name of the key that was used; empty where no one has to identify themselves.

        Raises:
            Problem: 401 with a challenge.
        """
        if self._open:
            return ""
        given = sha256(_given(header)).digest()
        found = [name for name, digest in self._accepted if hmac.compare_digest(given, digest)]
        if not found:
            reason = "wrong credentials" if header else "credentials are required"
            raise Problem(
                "unauthorized",
                f"{reason}: send {self._wanted}",
                headers={"WWW-Authenticate": ", ".join(self._challenges)},
            )
        return found[0]

    @property
    def _wanted(self) -> str:
        if self._challenges == [BASIC]:
            return "HTTP Basic credentials"
        return "a key as `Authorization: Bearer`, or HTTP Basic credentials"


class Guard:
    """Checks credentials, logs wrong ones and has their answers delayed when there are many.

    Right ones are never delayed: clients behind one proxy cannot be distinguished, so that would
    let one of them lock out the others.
    """

    def __init__(self, settings: Settings):
        """Check against the settings' credentials."""
        self._credentials = Credentials(settings)
        self._lock = threading.Lock()
        self._tally = Tally("failed logins")
        self._mistakes = 0.0
        self._last = time.monotonic()

    def check(self, environ: Mapping[str, Any]) -> str:
        """Check the credentials of a request.

        Args:
            environ: its WSGI environment.

        Returns:
            The name of the key that was used; empty where no one has to identify themselves.

        Raises:
            Problem: 401 with a challenge; with a delay if there were many wrong ones.
        """
        header = environ.get("HTTP_AUTHORIZATION")
        try:
            return self._credentials.check(header)
        except Problem as problem:
            if header:
                problem.delay = self._on_mistake(client_address(environ))
                problem.counted = problem.delay > 0
            raise

    def tick(self) -> None:
        """Log what was counted, if it is time."""
        with self._lock:
            self._tally.flush()

    def _on_mistake(self, address: str) -> float:
        with self._lock:
            now = time.monotonic()
            self._mistakes = max(0.0, self._mistakes - (now - self._last)) + 1
            self._last = now
            self._tally.add(address)
            return DELAY_SECONDS if self._mistakes > FREE_MISTAKES else 0.0


def client_address(environ: Mapping[str, Any]) -> str:
    """Return the address that a request came from, for the log only.

    A proxy in front of the service, such as Cloud Run's, appends to ``X-Forwarded-For`` whom it got
    the request from. Only peers with a private address can be such a proxy, so that no one on the
    internet can blame somebody else. Of IPv6, which gives each client millions, the network.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
    try:
        if forwarded and not ipaddress.ip_address(peer).is_global:
            return network_of(forwarded)
        return network_of(peer)
    except ValueError:
        return peer


def check_reach(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse ``AUTH=iam`` where nothing in front of the service checks callers.

    Args:
        settings: the service's.
        environ: of the process; Cloud Run sets ``K_SERVICE``.

    Raises:
        SettingsError: nothing does.
    """
    on_cloud_run = bool(environ.get("K_SERVICE"))
    if settings.auth == "iam" and settings.public_access is None and not on_cloud_run:
        raise SettingsError(
            "AUTH is iam, but this is not Cloud Run, so nobody checks callers: use basic or keys, "
            "or set PUBLIC_ACCESS=false if something else in front of the service does"
        )


def warn_if_open(settings: Settings) -> None:
    """Log a warning if anyone could call."""
    if settings.auth == "off":
        log.warning("AUTH=off: anyone who can reach this service can use it")
    elif settings.auth == "basic" and settings.uses_default_password:
        log.warning(
            "THE DEFAULT PASSWORD IS IN USE, and it is public: "
            "set BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD"
        )
    elif settings.auth == "keys" and settings.weak_keys:
        log.warning("keys that could be guessed: %s", ", ".join(settings.weak_keys))
    elif settings.auth == "iam" and settings.public_access is None:
        log.warning(
            "AUTH=iam: Cloud Run has to check callers; set PUBLIC_ACCESS=false when it does, so "
            "that a public service does not start"
        )
    if settings.auth_keys and settings.auth != "keys":
        log.warning("AUTH_KEYS are not used: set AUTH=keys")


def _accepted(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Yield the name and text of all that is accepted."""
    if settings.auth == "basic":
        pair = f"{settings.basic_auth_username}:{settings.basic_auth_password}"
        yield "basic", _basic(pair.encode())
    elif settings.auth == "keys":
        for key in settings.auth_keys:
            if key.is_pair:
                yield key.name, _basic(key.secret.encode())
            else:
                yield key.name, _bearer(key.secret.encode())
                # As the page and `curl -u` can send it.
                yield key.name, _basic(f"{key.name}:{key.secret}".encode())


def _challenges(settings: Settings) -> list[str]:
    bearer = settings.auth == "keys" and not all(key.is_pair for key in settings.auth_keys)
    return [BASIC, BEARER] if bearer else [BASIC]


def _basic(pair: bytes) -> bytes:
    return b"basic " + pair


def _bearer(key: bytes) -> bytes:
    return b"bearer " + key


def _given(header: str | None) -> bytes:
    scheme, _, value = (header or "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return _bearer(value.encode("latin-1", "replace"))
    if scheme.lower() != "basic":
        return b""
    try:
        return _basic(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return b""
