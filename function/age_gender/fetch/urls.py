"""Turns where a picture is (base64 text, a URL, a bucket) into its bytes, within limits.

Nothing here looks into the picture or knows the HTTP framework that serves us.
"""

import http
import io
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from age_gender import __version__
from age_gender.errors import ImageError, SourceError
from age_gender.fetch.base64 import from_base64, too_large
from age_gender.fetch.net_guard import (
    NOT_ALLOWED,
    Deadline,
    FetchGuard,
    GuardedAdapter,
    prepare_get,
)
from age_gender.settings import Settings

if TYPE_CHECKING:
    from google.cloud import storage

_HEADERS = {
    "User-Agent": f"age-gender-estimation/{__version__}",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES = 64 * 1024

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def from_url(url: str, settings: Settings) -> bytes:
    """Fetch the picture from an ``http``, ``https``, ``gs`` or ``data`` URL.

    ``gs://bucket/object`` works for the buckets in ``settings.gcs_buckets``. Only hosts with
    public addresses are contacted, unless ``settings.allow_private_urls``. Up to
    ``settings.url_max_redirects`` redirects are followed to other ``http`` and ``https`` URLs,
    but none from ``https`` to ``http``.

    Raises:
        SourceError: with code ``url-not-allowed`` (scheme, host, port, bucket or redirect are
            refused) or ``fetch-failed`` (the server cannot be reached, breaks off, compresses, or
            answers with another status than 200).
        SourceTimeout: not done after ``settings.url_timeout`` seconds.
        ImageTooLarge: more than ``settings.max_picture_bytes`` bytes.
        ImageError: a web page instead of a picture, or (``bad-base64``) a broken ``data`` URL.
        Busy: no thread is left to look up the host.
    """
    url = url.strip()
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return from_base64(url, settings.max_picture_bytes)
    if scheme == "gs":
        return _from_bucket(url, settings)
    if scheme in ("http", "https"):
        return _from_web(url, settings)
    raise SourceError(
        "The URL must start with https://, http://, gs:// or data:.", code=NOT_ALLOWED
    )


def _from_web(url: str, settings: Settings) -> bytes:
    guard = FetchGuard(
        deadline=Deadline(settings.url_timeout),
        # Twice the picture: no honest server needs as much again for framing.
        max_wire_bytes=2 * settings.max_picture_bytes + _HEADER_BYTES,
        allow_private=settings.allow_private_urls,
    )
    with closing(GuardedAdapter(guard)) as adapter, _web_errors(guard.deadline):
        for _ in range(settings.url_max_redirects + 1):
            request = prepare_get(url, _HEADERS)
            seconds = guard.deadline.remaining()
            with closing(adapter.send(request, stream=True, timeout=seconds)) as response:
                target = _redirect_target(response)
                if target is None:
                    return _read_image(response, settings.max_picture_bytes)
            url = target
    raise SourceError(
        f"The URL redirects more than {settings.url_max_redirects} times: "
        "use the address that it leads to."
    )


@contextmanager
def _web_errors(deadline: Deadline) -> Iterator[None]:
    # The texts of these errors hold addresses and more that is nobody's business.
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise deadline.error() from None
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        raise SourceError(
            "No secure connection to the picture's server: its certificate is not valid for this "
            "host, or it does not speak TLS 1.2 or later."
        ) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        raise SourceError("The picture's server broke off or does not speak proper HTTP.") from None


def _redirect_target(response: requests.Response) -> str | None:
    location = response.headers.get("Location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    try:
        # Headers are read as Latin-1, while servers that send more than ASCII mean UTF-8.
        target = urljoin(response.url, location.encode("latin-1").decode("utf-8"))
    except ValueError:
        raise SourceError("The URL redirects to something that is not a valid URL.") from None
    if urlsplit(response.url).scheme == "https" and target[:5].lower() == "http:":
        raise SourceError(
            "The URL redirects from https to http, where anyone on the way could change the "
            "picture: use the http address itself if you accept that.",
            code=NOT_ALLOWED,
        )
    return target


def _read_image(response: requests.Response, max_bytes: int) -> bytes:
    _check_head(response, max_bytes)
    chunks = []
    received = 0
    for chunk in _body(response):
        received += len(chunk)
        if received > max_bytes:
            raise too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _body(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(_CHUNK_BYTES, decode_content=False)
    except ValueError:  # urllib3 takes the length of a chunk as it is, negative ones included
        raise SourceError("The picture's server does not speak proper HTTP.") from None


def _check_head(response: requests.Response, max_bytes: int) -> None:
    """Refuse what cannot be a picture, or is too large by its own account, before the body."""
    status = response.status_code
    if status != http.HTTPStatus.OK:
        raise SourceError(f"The picture's server answered with status {_status_text(status)}.")
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type in _PAGE_TYPES:
        # Other types are left to the picture decoder: many servers get them wrong.
        raise ImageError(
            "The URL leads to a web page, not to a picture: use the address of the picture itself "
            "(in browsers: open the picture in a new tab)."
        )
    _check_encoding(response.headers.get("Content-Encoding", ""))
    if (response.raw.length_remaining or 0) > max_bytes:
        raise too_large(max_bytes)


def _status_text(status: int) -> str:
    # Not the server's own words: those are a stranger's.
    try:
        return f"{status} ({http.HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _check_encoding(encodings: str) -> None:
    """Refuse a compressed body: unpacked, a few kilobytes could be gigabytes.

    We ask for none, and pictures are compressed already, so nothing is lost.
    """
    if _COMPRESSIONS & {name.strip().lower() for name in encodings.split(",")}:
        raise SourceError(
            "The picture is delivered compressed (Content-Encoding) although that was not asked "
            "for: have its server deliver it as it is."
        )


class _TimedBuffer(io.BytesIO):
    """Collects a download and ends it at the deadline.

    The storage client has time-outs for single reads only.
    """

    def __init__(self, deadline: Deadline):
        super().__init__()
        self._deadline = deadline

    def write(self, data: Any) -> int:
        self._deadline.remaining()
        return super().write(data)


def _from_bucket(url: str, settings: Settings) -> bytes:
    bucket_name, _, object_name = url.partition("://")[2].partition("/")
    if not _BUCKET_NAME.fullmatch(bucket_name) or not object_name:
        raise SourceError("Write gs:// URLs as gs://bucket/object.", code=NOT_ALLOWED)
    if not {bucket_name, "*"} & set(settings.gcs_buckets):
        raise SourceError("Pictures of this bucket may not be read from here.", code=NOT_ALLOWED)
    deadline = Deadline(settings.url_timeout)
    with _bucket_errors(deadline):
        return _download(bucket_name, object_name, settings.max_picture_bytes, deadline)


def _download(bucket_name: str, object_name: str, max_bytes: int, deadline: Deadline) -> bytes:
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket = _storage_client().bucket(bucket_name)
    seconds = deadline.remaining()
    blob = bucket.get_blob(object_name, timeout=seconds, retry=DEFAULT_RETRY.with_timeout(seconds))
    if blob is None:
        raise SourceError("There is no such object in the bucket.")
    _check_encoding(blob.content_encoding or "")
    if blob.size > max_bytes:
        raise too_large(max_bytes)
    picture = _TimedBuffer(deadline)
    seconds = deadline.remaining()
    blob.download_to_file(
        picture,
        # The very object whose size was checked, even if another takes its name now, and as it is
        # stored: the storage service would unpack a compressed one.
        if_generation_match=blob.generation,
        raw_download=True,
        timeout=seconds,
        retry=DEFAULT_RETRY.with_timeout(seconds),
    )
    return picture.getvalue()


@lru_cache(maxsize=1)
def _storage_client() -> "storage.Client":
    # Imported where it is needed: it takes longer than the rest of a cold start's imports. Kept,
    # because each new client fetches a token first.
    from google.cloud import storage

    return storage.Client()


@contextmanager
def _bucket_errors(deadline: Deadline) -> Iterator[None]:
    from google.api_core import exceptions as api_errors
    from google.auth import exceptions as auth_errors
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except (requests.Timeout, api_errors.RetryError, api_errors.GatewayTimeout):
        raise deadline.error() from None
    except (api_errors.Forbidden, api_errors.Unauthorized, auth_errors.GoogleAuthError):
        raise SourceError(
            "This service may not read the object: give its service account the role Storage "
            "Object Viewer on the bucket."
        ) from None
    except (api_errors.NotFound, api_errors.PreconditionFailed):
        raise SourceError("The object was replaced or deleted while it was read.") from None
    except (api_errors.GoogleAPIError, DataCorruption, requests.RequestException, OSError):
        raise SourceError("Cloud Storage cannot be read at the moment: try again later.") from None
