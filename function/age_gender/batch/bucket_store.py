"""A bucket of Google Cloud Storage as a `Store`."""

import http.client
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from age_gender.batch.storage import (
    MARK,
    MAX_RESULT_BYTES,
    StorageUnavailable,
    StoredObject,
    Unlisted,
    gone,
    ignore,
    too_long,
)

if TYPE_CHECKING:
    from google.cloud import storage

_STREAM_CHUNK = 1024 * 1024
"""Bytes per request of `BucketStore.replacing`; a multiple of 256 KiB."""
_MAX_CONNECTIONS = 64


class BucketStore:
    """A bucket of Google Cloud Storage; see `Store`.

    The client library is imported and credentials are read at first use, so that a server may fork
    before. ``STORAGE_EMULATOR_HOST`` selects another server, without credentials.
    """

    def __init__(self, bucket: str, timeout: float):
        """Store the name; the bucket is contacted at first use.

        Args:
            bucket: its name.
            timeout: seconds for one operation with its retries.
        """
        self.label = bucket
        self._timeout = timeout

    def __str__(self) -> str:
        return f"gs://{self.label}"

    def list(
        self,
        prefix: str,
        unlisted: Unlisted = ignore,  # noqa: ARG002
    ) -> Iterator[StoredObject]:
        """See `Store.list`; everything in a bucket is listed."""
        with _bucket_errors():
            blobs = _client().list_blobs(
                self.label,
                prefix=prefix or None,
                fields="items(name,generation,size,timeCreated,metadata),nextPageToken",
                **self._timeouts(),
            )
            for blob in blobs:
                yield _stored_object(blob)

    def stat(self, name: str, generation: int) -> StoredObject:
        """See `Store.stat`."""
        blob = self._blob(name, generation)
        with _bucket_errors():
            try:
                blob.reload(**self._timeouts())
            except _not_found():
                raise gone() from None
        return _stored_object(blob)

    def read(self, stored: StoredObject) -> bytes:
        """See `Store.read`. A compressed object is not decompressed."""
        data = self._download(self._blob(stored.name, stored.generation), stored.size)
        if data is None:
            raise gone()
        return data

    def find(self, name: str) -> bytes | None:
        """See `Store.find`."""
        return self._download(self._blob(name), MAX_RESULT_BYTES)

    def create(
        self, name: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """See `Store.create`."""
        from google.api_core.exceptions import Forbidden, PreconditionFailed

        blob = self._blob(name)
        blob.metadata = dict(metadata)
        with _bucket_errors():
            try:
                blob.upload_from_string(
                    data, content_type=content_type, if_generation_match=0, **self._timeouts()
                )
            except PreconditionFailed:
                return False
            except Forbidden:
                # An account that may create but not replace objects gets this for a taken name,
                # despite the precondition.
                if not blob.exists(**self._timeouts()):
                    raise
                return False
        return True

    @contextmanager
    def replacing(self, name: str, content_type: str) -> Iterator[IO[bytes]]:
        """See `Store.replacing`: a resumable upload, whose object appears at its end."""
        with _bucket_errors():
            writer = self._blob(name).open(
                "wb", chunk_size=_STREAM_CHUNK, content_type=content_type, **self._timeouts()
            )
            with writer as file:
                yield file

    def _blob(self, name: str, generation: int | None = None) -> "storage.Blob":
        return _client().bucket(self.label).blob(name, generation=generation)

    def _download(self, blob: "storage.Blob", max_bytes: int) -> bytes | None:
        buffer = _BoundedBuffer(max_bytes)
        with _bucket_errors():
            try:
                # As stored: a few kilobytes could decompress to gigabytes.
                blob.download_to_file(buffer, raw_download=True, **self._timeouts())
            except _not_found():
                return None
        return buffer.getvalue()

    def _timeouts(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return {"timeout": self._timeout, "retry": DEFAULT_RETRY.with_timeout(self._timeout)}


class _BoundedBuffer(io.BytesIO):
    """Collects a download, and ends it where there is more than ``max_bytes``."""

    def __init__(self, max_bytes: int):
        super().__init__()
        self._max_bytes = max_bytes

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._max_bytes:
            raise too_long()
        return super().write(data)


@lru_cache(maxsize=1)
def _client() -> "storage.Client":
    # Imported here: it takes longer than all other imports of a cold start.
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    client = storage.Client()
    # The default of 10 pooled connections would reopen the others for each request.
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_maxsize=_MAX_CONNECTIONS))
    return client


def _stored_object(blob: "storage.Blob") -> StoredObject:
    return StoredObject(
        name=blob.name,
        generation=int(blob.generation),
        size=int(blob.size),
        created=blob.time_created,
        ours=MARK in (blob.metadata or {}),
    )


def _not_found() -> type[Exception]:
    from google.api_core.exceptions import NotFound

    return NotFound


@contextmanager
def _bucket_errors() -> Iterator[None]:
    """Turn the client's errors into `StorageUnavailable`, without addresses or tokens."""
    import requests
    import urllib3
    from google.api_core import exceptions as api_errors
    from google.auth import exceptions as auth_errors
    from google.cloud.storage import exceptions as storage_errors

    try:
        yield
    except (api_errors.Forbidden, api_errors.Unauthorized, auth_errors.GoogleAuthError) as error:
        raise StorageUnavailable(
            "no permission: grant this service's account Storage Object Viewer on both buckets, "
            "and on the results' bucket Storage Object Creator (for the back-fill: Storage Object "
            "User, to replace its manifest)"
        ) from error
    except (
        api_errors.GoogleAPIError,
        storage_errors.InvalidResponse,
        storage_errors.DataCorruption,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as error:
        raise StorageUnavailable(f"the bucket's server failed ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Return the server's status, or the type of the error."""
    # The cause, where retries gave up.
    cause = getattr(error, "cause", None) or error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    return str(status or type(cause).__name__)
