"""Fetches the picture that a URL names, within limits.

Knows neither picture formats nor the HTTP framework that serves us.
"""

import http
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from age_gender import __version__
from age_gender.errors import ImageError, SourceError
from age_gender.fetch.base64 import from_base64
from age_gender.fetch.checks import (
    NOT_ALLOWED,
    BoundedBuffer,
    check_not_compressed,
    refuse,
    too_large,
)
from age_gender.fetch.net_guard import (
    Deadline,
    FetchGuard,
    FreePlaces,
    GuardedAdapter,
    Places,
    Turn,
    prepare_get,
)
from age_gender.fetch.objects import bucket_of, from_bucket
from age_gender.settings import Settings

_HEADERS = {
    "User-Agent": f"age-gender-estimation/{__version__}",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES = 64 * 1024
_MIN_CHUNK_BYTES = 512
_FREE_CHUNKS = 1000
"""Chunks of any size. Each costs as much time as some kilobytes, so beyond these their average has
to be `_MIN_CHUNK_BYTES`."""


def from_url(
    url: str,
    settings: Settings,
    reserve: Callable[[int], None] = lambda _: None,
    places: Places | None = None,
) -> bytes:
    """Fetch the picture from an ``http``, ``https``, ``gs`` or ``data`` URL.

    ``gs://bucket/object`` works for the buckets in ``settings.gcs_buckets``. Only hosts with
    public addresses are contacted, unless ``settings.allow_private_urls``. Up to
    ``settings.url_max_redirects`` redirects to other ``http`` and ``https`` URLs are followed, but
    none from ``https`` to ``http``.

    Args:
        url: the URL.
        settings: the service's.
        reserve: called with each number of bytes before they are kept; may raise to stop.
        places: bounds fetches from all servers and from each; without any by default.

    Raises:
        SourceError: with code ``url-not-allowed`` (scheme, host, port, bucket or redirect are
            refused) or ``fetch-failed`` (the server cannot be reached, breaks off, compresses, or
            answers with another status than 200).
        SourceTimeout: not done after ``settings.url_timeout`` seconds.
        ImageTooLarge: more than ``settings.max_picture_bytes`` bytes.
        ImageError: a web page instead of a picture, or (``bad-base64``) a broken ``data`` URL.
        Busy: no thread is left to look up the host, or see ``places``.
    """
    places = places or FreePlaces()
    url = url.strip()
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return from_base64(url, settings.max_picture_bytes)
    if scheme == "gs":
        with places.connect(bucket_of(url)):
            return from_bucket(url, settings, reserve)
    if scheme in ("http", "https"):
        return _from_web(url, settings, reserve, places)
    raise refuse("the URL must start with https://, http://, gs:// or data:")


def _from_web(
    url: str, settings: Settings, reserve: Callable[[int], None], places: Places
) -> bytes:
    deadline = Deadline(settings.url_timeout)
    turn = Turn(places, deadline)
    guard = FetchGuard(
        deadline=deadline,
        turn=turn,
        # Twice the picture: no honest server needs that much for framing.
        max_wire_bytes=2 * settings.max_picture_bytes + _HEADER_BYTES,
        allow_private=settings.allow_private_urls,
    )
    with ExitStack() as stack:
        stack.callback(turn.release)  # last
        adapter = stack.enter_context(closing(GuardedAdapter(guard)))
        stack.enter_context(_translated_errors(deadline))
        for redirects in range(settings.url_max_redirects + 1):
            with _named_after(redirects):
                request = prepare_get(url, _HEADERS)
                seconds = guard.deadline.remaining()
                answer = adapter.send(request, stream=True, timeout=seconds)
            with closing(answer) as response:
                target = _redirect_target(response)
                if target is None:
                    return _read_picture(response, settings.max_picture_bytes, reserve)
            url = target
    raise SourceError(
        f"the URL redirects more than {settings.url_max_redirects} times: "
        "use the address that it leads to"
    )


@contextmanager
def _named_after(redirects: int) -> Iterator[None]:
    """Say of a refused address that a redirect led there: it is not the one that was sent."""
    try:
        yield
    except SourceError as error:
        if redirects and error.code == NOT_ALLOWED:
            raise refuse(f"after a redirect, {error.message}") from None
        raise


@contextmanager
def _translated_errors(deadline: Deadline) -> Iterator[None]:
    # The texts of these errors contain addresses, which must not reach the client.
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise deadline.error() from None
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        raise SourceError(
            "no secure connection to the picture's server: its certificate is not valid for this "
            "host, or it does not support TLS 1.2 or later"
        ) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        raise SourceError(
            "the picture's server closed the connection or sent invalid HTTP"
        ) from None


def _redirect_target(response: requests.Response) -> str | None:
    location = response.headers.get("Location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    try:
        # Headers are decoded as Latin-1, while servers that send non-ASCII mean UTF-8.
        target = urljoin(response.url, location.encode("latin-1").decode("utf-8"))
    except ValueError:
        raise SourceError("the URL redirects to an invalid URL") from None
    if urlsplit(response.url).scheme == "https" and target[:5].lower() == "http:":
        raise refuse(
            "the URL redirects from https to http, where the picture could be changed on the way: "
            "use the http address itself if you accept that"
        )
    return target


def _read_picture(
    response: requests.Response, max_bytes: int, reserve: Callable[[int], None]
) -> bytes:
    _check_headers(response, max_bytes)
    buffer = BoundedBuffer(max_bytes, reserve, response.raw.length_remaining or 0)
    for count, chunk in enumerate(_body(response)):
        if count > _FREE_CHUNKS + buffer.tell() // _MIN_CHUNK_BYTES:
            raise SourceError(
                "the picture's server sends it in too small chunks: have it deliver the file as "
                "it is"
            )
        buffer.write(chunk)
    return buffer.getvalue()


def _body(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(_CHUNK_BYTES, decode_content=False)
    except ValueError:  # urllib3 accepts any chunk length, even a negative one
        raise SourceError("the picture's server sent invalid HTTP") from None


def _check_headers(response: requests.Response, max_bytes: int) -> None:
    """Refuse, before the body, what cannot be a picture or is announced as too large."""
    status = response.status_code
    if status != http.HTTPStatus.OK:
        raise SourceError(f"the picture's server answered with status {_status_text(status)}")
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type in _PAGE_TYPES:
        # Other types are left to the decoder: many servers get them wrong.
        raise ImageError(
            "the URL leads to a web page, not to a picture: use the address of the picture itself "
            "(in browsers: open the picture in a new tab)"
        )
    check_not_compressed(response.headers.get("Content-Encoding", ""))
    if (response.raw.length_remaining or 0) > max_bytes:
        raise too_large(max_bytes)


def _status_text(status: int) -> str:
    # Our own words for the status: the server's are not to be trusted.
    try:
        return f"{status} ({http.HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)
