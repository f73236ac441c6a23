"""Fetches pictures from Cloud Storage by ``gs://`` URL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import requests

from age_gender.errors import SourceError
from age_gender.fetch.checks import BoundedBuffer, check_not_compressed, refuse, too_large
from age_gender.fetch.net_guard import Deadline
from age_gender.object_names import is_bucket_name, is_object_name
from age_gender.settings import Settings

if TYPE_CHECKING:
    from google.cloud import storage


def from_bucket(url: str, settings: Settings, reserve: Callable[[int], None]) -> bytes:
    """Fetch the object that a ``gs://bucket/object`` URL names.

    Args:
        url: the URL.
        settings: for ``gcs_buckets``, ``url_timeout`` and ``max_picture_bytes``.
        reserve: called with each number of bytes before they are kept; may raise to stop.

    Raises:
        SourceError: with code ``url-not-allowed`` (the bucket is not in ``gcs_buckets``, or the
            URL is malformed) or ``fetch-failed``.
        SourceTimeout: not done after ``url_timeout`` seconds.
        ImageTooLarge: more than ``max_picture_bytes`` bytes.
    """
    bucket_name, _, object_name = url.partition("://")[2].partition("/")
    _check_names(bucket_name, object_name)
    if not {bucket_name, "*"} & set(settings.gcs_buckets):
        raise refuse("this service may not read from that bucket: GCS_BUCKETS has to name it")
    deadline = Deadline(settings.url_timeout)
    with _translated_errors(deadline):
        buffer = _TimedBuffer(settings.max_picture_bytes, reserve, deadline)
        _download(bucket_name, object_name, buffer, settings.max_picture_bytes, deadline)
        return buffer.getvalue()


def _check_names(bucket: str, name: str) -> None:
    if not bucket or not name:
        raise refuse("write gs:// URLs as gs://bucket/object")
    if not is_bucket_name(bucket):
        raise refuse(
            "the URL's bucket is not a name that buckets can have: 3 or more lowercase letters, "
            "digits, dots, hyphens and underscores"
        )
    if not is_object_name(name):
        raise refuse(
            "the URL's object is not a name that objects can have: at most 1,024 bytes of UTF-8, "
            "without line breaks"
        )


def bucket_of(url: str) -> str:
    """Return ``gs://`` and the bucket of a ``gs`` URL."""
    return f"gs://{url.partition('://')[2].partition('/')[0]}"


class _TimedBuffer(BoundedBuffer):
    """Collects a download and ends it at the deadline.

    The storage client has timeouts for single reads only.
    """

    def __init__(self, max_bytes: int, reserve: Callable[[int], None], deadline: Deadline):
        super().__init__(max_bytes, reserve)
        self._deadline = deadline

    def write(self, data: Any) -> int:
        self._deadline.remaining()
        return super().write(data)


def _download(
    bucket_name: str, object_name: str, buffer: _TimedBuffer, max_bytes: int, deadline: Deadline
) -> None:
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket = _storage_client().bucket(bucket_name)
    seconds = deadline.remaining()
    blob = bucket.get_blob(object_name, timeout=seconds, retry=DEFAULT_RETRY.with_timeout(seconds))
    if blob is None:
        raise SourceError("there is no such object in the bucket")
    check_not_compressed(blob.content_encoding or "")
    if blob.size > max_bytes:
        raise too_large(max_bytes)
    seconds = deadline.remaining()
    blob.download_to_file(
        buffer,
        # Exactly the version whose size was checked, as it is stored: Cloud Storage would unpack
        # a compressed one.
        if_generation_match=blob.generation,
        raw_download=True,
        timeout=seconds,
        retry=DEFAULT_RETRY.with_timeout(seconds),
    )


@lru_cache(maxsize=1)
def _storage_client() -> "storage.Client":
    # Imported here: it takes longer than all other imports of a cold start. Kept: each new client
    # fetches a token first.
    from google.cloud import storage

    return storage.Client()


@contextmanager
def _translated_errors(deadline: Deadline) -> Iterator[None]:
    from google.api_core import exceptions as api_errors
    from google.auth import exceptions as auth_errors
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except (requests.Timeout, api_errors.RetryError, api_errors.GatewayTimeout):
        raise deadline.error() from None
    except (api_errors.Forbidden, api_errors.Unauthorized, auth_errors.GoogleAuthError):
        raise SourceError(
            "this service may not read the object: give its service account the role Storage "
            "Object Viewer on the bucket"
        ) from None
    except (api_errors.NotFound, api_errors.PreconditionFailed):
        raise SourceError("the object was replaced or deleted while it was read") from None
    except (api_errors.GoogleAPIError, DataCorruption, requests.RequestException, OSError):
        raise SourceError("Cloud Storage is unavailable at the moment: try again later") from None
