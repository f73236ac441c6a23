"""A client of the HTTP service: one method, clear errors, and repetitions while it is busy.

It needs ``requests`` only, and neither models nor image libraries.

>>> from age_gender.client import Client
>>> client = Client("http://127.0.0.1:8080", username="sugar", password="kubes")
>>> prediction = client.predict("photo.jpg", face_detector="accurate")
>>> [face.gender for face in prediction.faces]
['F']
"""

import base64
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

import requests
from requests.auth import HTTPBasicAuth

from age_gender import __version__, tables

if TYPE_CHECKING:
    from pandas import DataFrame

SendAs = Literal["body", "form", "json"]
"""How a picture is sent: as the body itself, in a form, or as base64 in JSON."""

RETRIED = frozenset({429, 502, 503})
"""Statuses of requests that may succeed later: busy, starting, or behind a proxy that has lost it.
A prediction changes nothing, so repeating it is harmless."""
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts, unless the service asks for more."""


class PredictOptions(TypedDict, total=False):
    """Fields of a request, besides the picture; see docs/api.md."""

    confidence: float
    nms: float
    draw: bool
    face_detector: Literal["fast", "accurate"]
    get_attributes: bool
    return_image: bool
    blur: bool
    detect: bool
    image_max_side: int
    max_faces: int
    min_face: int
    over_age: Sequence[int]
    strict: bool


class ClientError(Exception):
    """A request failed for good.

    Attributes:
        status: HTTP status; 0 where there was no response.
        code: stable name of the problem, ``unreachable`` where there was no response.
        detail: what is wrong and what to change.
        request_id: to find it in the service's log; "" where there is none.
        fields: with ``invalid-field``, each wrong field with what it may be.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        request_id: str = "",
        fields: Mapping[str, str] | None = None,
    ):
        super().__init__(f"{code} ({status}): {detail}" if status else f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.fields = dict(fields or {})


class Unauthorized(ClientError):
    """User name and password, or the token, are wrong."""


class InvalidRequest(ClientError):
    """The request has to be changed: a field, the address, the size or kind of the picture."""


class FetchFailed(ClientError):
    """The service could not fetch the picture from its address."""


class ServiceBusy(ClientError):
    """The service had no capacity, at any attempt."""


class ServiceUnavailable(ClientError):
    """The service cannot be reached, is not ready, or failed."""


@dataclass(frozen=True)
class PredictedFace:
    """One face of a prediction; everything after ``landmarks`` is None without attributes.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the upright picture.
        confidence: probability that it is a human face, 0 to 1.
        landmarks: five points ``(x, y)`` in pixels, if there are any.
        age: years.
        age_interval: years; contains the true age in 80 % of cases.
        gender: ``"M"`` or ``"F"``, the likelier one.
        gender_probability: of that one, 0.5 to 1.
        reliable: whether nothing speaks against relying on age and gender.
        reasons: what speaks against it.
        over: with ``over_age``, probability of being at least so many years old.
        details: the entry of the response as it is, with ``quality`` and what is newer than this
            client.
    """

    box: tuple[int, int, int, int]
    confidence: float
    landmarks: tuple[tuple[float, float], ...] | None
    age: float | None
    age_interval: tuple[float, float] | None
    gender: Literal["M", "F"] | None
    gender_probability: float | None
    reliable: bool | None
    reasons: tuple[str, ...]
    over: Mapping[int, float]
    details: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Self:
        """Read an entry of ``details``."""
        points, interval = details.get("landmarks"), details.get("age_interval")
        x1, y1, x2, y2 = details["box"]
        return cls(
            box=(x1, y1, x2, y2),
            confidence=details["confidence"],
            landmarks=tuple((x, y) for x, y in points) if points else None,
            age=details.get("age"),
            age_interval=(interval[0], interval[1]) if interval else None,
            gender=details.get("gender"),
            gender_probability=details.get("gender_probability"),
            reliable=details.get("reliable"),
            reasons=tuple(details.get("reasons") or ()),
            over={int(age): p for age, p in (details.get("over") or {}).items()},
            details=details,
        )


@dataclass(frozen=True)
class Prediction:
    """The response to one picture.

    Attributes:
        source: path or address of the picture; "" where it came as bytes.
        faces: most confident first.
        size: width and height of the upright picture, pixels.
        image: the returned JPEG, with ``return_image``.
        model: names and versions of what made it, and the licence.
        warnings: what is wrong with the picture though it was read.
        request_id: to find the request in the service's log.
        body: the response as it is.
    """

    source: str
    faces: tuple[PredictedFace, ...]
    size: tuple[int, int]
    image: bytes | None = field(repr=False)
    model: Mapping[str, Any]
    warnings: tuple[str, ...]
    request_id: str
    body: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, source: str, body: Mapping[str, Any], request_id: str) -> Self:
        """Read a response."""
        width, height = body["image_size"]
        image = body.get("image")
        return cls(
            source=source,
            faces=tuple(PredictedFace.of(details) for details in body.get("details", ())),
            size=(width, height),
            image=base64.b64decode(image) if image else None,
            model=body.get("model", {}),
            warnings=tuple(body.get("warnings", ())),
            request_id=request_id,
            body=body,
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat dict for each face, as ``age_gender.Faces.to_dicts``."""
        rows = []
        for number, face in enumerate(self.faces, start=1):
            over = {f"over_{age}": p for age, p in face.over.items()}
            rows.append({"file": self.source, **tables.face_row(number, face.details), **over})
        return rows

    def to_dataframe(self) -> "DataFrame":
        """Return one row for each face.

        Raises:
            ImportError: pandas is not installed.
        """
        rows = self.to_dicts()
        names = ("file", *tables.FACE_COLUMNS, *(name for row in rows for name in row))
        return tables.dataframe(rows, tuple(dict.fromkeys(names)))


class Client:
    """Talks to one service. Threads may share it; close it, or use it in a ``with`` block."""

    def __init__(
        self,
        address: str,
        *,
        username: str = "",
        password: str = "",
        token: Callable[[], str] | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        total_timeout: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """Connect to nothing yet.

        Args:
            address: of the service, such as ``https://faces.example.com``.
            username: for HTTP Basic; "" for none.
            password: for HTTP Basic.
            token: returns an identity token of Google for a private Cloud Run service, sent in
                ``X-Serverless-Authorization``; called before each attempt, so it may renew it.
            timeout: seconds to connect, and between two packets of a response.
            attempts: at most, for each picture.
            total_timeout: seconds after which no further attempt begins.
            sleep: waits; for tests.

        Raises:
            ValueError: the address is no http or https URL, or ``attempts`` is less than 1.
        """
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"the address must start with http:// or https://, not {address!r}")
        if attempts < 1:
            raise ValueError("attempts must be at least 1")
        self._address = address.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._attempts = attempts
        self._total_timeout = total_timeout
        self._sleep = sleep
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"age-gender-client/{__version__}"
        self._session.auth = (
            HTTPBasicAuth(username.encode(), password.encode()) if username else _no_auth
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def predict(
        self,
        image: str | os.PathLike[str] | bytes | None = None,
        *,
        url: str | None = None,
        send_as: SendAs = "body",
        **options: Unpack[PredictOptions],
    ) -> Prediction:
        """Detect the faces in one picture, and estimate age and gender.

        Args:
            image: path of a file, or its bytes.
            url: instead of ``image``, an address that the service fetches it from: ``https://``,
                ``http://``, or ``gs://`` where the service allows that.
            send_as: how to send ``image``; ``body`` is the smallest.
            options: fields of the request; ``return_image`` is False unless given.

        Raises:
            ClientError: the request failed for good; its subclasses say how.
            OSError: the file cannot be read.
            ValueError: not exactly one of ``image`` and ``url`` is given.
        """
        if (image is None) == (url is None):
            raise ValueError("give exactly one of image and url")
        fields: dict[str, Any] = {"return_image": False, **options}
        if image is None:
            source, arguments = str(url), {"json": {**fields, "url": url}}
        else:
            source = "" if isinstance(image, bytes) else os.fspath(image)
            data = image if isinstance(image, bytes) else Path(image).read_bytes()
            arguments = _arguments(data, fields, send_as)
        response = self._request("POST", "/predict", **arguments)
        return Prediction.of(source, _json(response), response.headers.get("X-Request-Id", ""))

    def predict_many(
        self,
        images: Iterable[str | os.PathLike[str] | bytes],
        *,
        parallel: int = 4,
        send_as: SendAs = "body",
        **options: Unpack[PredictOptions],
    ) -> Iterator[Prediction | ClientError]:
        """Predict many pictures, several at a time; yield the outcomes in the order given.

        Pictures are read as they are needed. One that fails for good yields its error instead of a
        prediction, and the others go on.

        Args:
            images: paths or bytes.
            parallel: requests at a time.
            send_as: see `predict`.
            options: see `predict`.

        Raises:
            OSError: a file cannot be read.
            Unauthorized: no picture would be accepted.
        """
        window: deque[Future[Prediction | ClientError]] = deque()

        def outcome(image: str | os.PathLike[str] | bytes) -> Prediction | ClientError:
            try:
                return self.predict(image, send_as=send_as, **options)
            except Unauthorized:
                raise
            except ClientError as error:
                return error

        pool = ThreadPoolExecutor(parallel, "predict")
        try:
            for image in images:
                window.append(pool.submit(outcome, image))
                if len(window) > 2 * parallel:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def model(self) -> dict[str, Any]:
        """Return what the service says about its model: origin, licence, calibration.

        Raises:
            ClientError: it does not say.
        """
        return _json(self._request("GET", "/model"))

    def is_up(self) -> bool:
        """Whether the service answers at all; no attempt is repeated."""
        try:
            response = self._session.get(
                f"{self._address}/health", headers=self._headers(), timeout=self._timeout
            )
        except requests.RequestException:
            return False
        return response.ok

    def _headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        return {"X-Serverless-Authorization": f"Bearer {self._token()}"}

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request, again while the service cannot answer it and time is left."""
        start = time.monotonic()
        headers = arguments.pop("headers", {})
        for attempt in range(1, self._attempts + 1):
            asked: float | None = None
            try:
                response = self._session.request(
                    method,
                    self._address + path,
                    timeout=self._timeout,
                    allow_redirects=False,
                    headers={**headers, **self._headers()},
                    **arguments,
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                failure: ClientError = ServiceUnavailable(0, "unreachable", _why(error))
            except requests.RequestException as error:
                raise ServiceUnavailable(0, "unreachable", _why(error)) from error
            else:
                if response.status_code == requests.codes.ok:
                    return response
                failure = error_of(response)
                if response.status_code not in RETRIED:
                    raise failure
                asked = retry_after(response.headers.get("Retry-After", ""))
            pause = _pause(attempt, asked)
            waited = time.monotonic() - start
            if attempt == self._attempts or waited + pause > self._total_timeout:
                raise failure
            self._sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")


def retry_after(text: str) -> float | None:
    """Read a ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date.

    Returns:
        Seconds from now, not negative; None if there is none, or it is not valid.
    """
    text = text.strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def error_of(response: requests.Response) -> ClientError:
    """Turn a response that is no success into an error, by its problem+json if it is one."""
    status = response.status_code
    kinds: dict[int, type[ClientError]] = {
        401: Unauthorized,
        403: Unauthorized,
        424: FetchFailed,
        429: ServiceBusy,
        504: FetchFailed,
    }
    kind = kinds.get(status, InvalidRequest if 400 <= status < 500 else ServiceUnavailable)
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        # Not the service, but something before it: a proxy, a login page, another program.
        what = response.headers.get("Content-Type", "") or "nothing"
        location = response.headers.get("Location")
        detail = f"redirects to {location}" if location else f"answers with {what}, not with JSON"
        kind = kind if status in (401, 403, 429) else ServiceUnavailable
        return kind(status, "unexpected-answer", f"{response.url} {detail}")
    fields = {
        str(item.get("field")): str(item.get("message")) for item in problem.get("errors", ())
    }
    request_id = str(problem.get("request_id", ""))
    return kind(status, code, detail, request_id=request_id, fields=fields)


def _arguments(data: bytes, fields: Mapping[str, Any], send_as: SendAs) -> dict[str, Any]:
    """Arguments of `requests.request` that send a picture with fields."""
    if send_as == "json":
        text = base64.b64encode(data).decode("ascii")
        return {"json": {**fields, "b64": text}}
    texts = {name: _text(value) for name, value in fields.items() if value is not None}
    if send_as == "form":
        return {"data": texts, "files": {"image": ("image", data)}}
    if send_as == "body":
        # The service recognises what it is by its content.
        headers = {"Content-Type": "application/octet-stream"}
        return {"params": texts, "data": data, "headers": headers}
    raise ValueError(f"send_as must be body, form or json, not {send_as!r}")


def _text(value: Any) -> str:
    """A field as text, for queries and forms."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
        if not isinstance(body, dict):
            raise ValueError("no object")
    except (ValueError, json.JSONDecodeError):
        raise error_of(response) from None
    return body


def _pause(attempt: int, asked: float | None) -> float:
    """Seconds until the next attempt: as asked or longer, and not all clients at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1))
    spread = random.uniform(0.5, 1.0) * longest  # noqa: S311 - spreads clients, hides nothing
    return spread if asked is None else asked + spread / 4


def _why(error: Exception) -> str:
    """Name a failure of the connection without addresses in memory and nested repetitions."""
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection: the service's certificate is not valid for its address"
    if isinstance(error, requests.Timeout):
        return "the service did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "the service cannot be reached: is its address right, and does it run?"
    return f"the request cannot be sent: {error}"


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from taking a password out of the user's .netrc."""
    return request
