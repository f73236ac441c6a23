"""The HTTP edge: routes a request, lets the pipeline work, and answers, whatever happens."""

import base64
import json
import logging
import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from flask import Request, Response

from age_gender import __version__
from age_gender.edge import auth, body, inputs
from age_gender.edge.problems import Problem
from age_gender.errors import AgeGenderError
from age_gender.limits.admission import Budget, Gate, Shutdown
from age_gender.limits.capacity import (
    CLOSE_LOOK_PIXELS,
    holdable_bytes,
    memory_limit,
    pixel_capacity,
)
from age_gender.limits.cpus import usable_cpus
from age_gender.runtime import Runtime, get_runtime
from age_gender.schema import response_body
from age_gender.settings import Settings
from age_gender.vision.decode import EncodedImage
from age_gender.vision.model_spec import load_spec
from age_gender.vision.pipeline import Stopwatch

log = logging.getLogger(__name__)

MIME_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}

WEB = Path(__file__).parent / "web"
STATIC = {path.name: path for path in WEB.iterdir() if path.suffix in MIME_TYPES}
"""Listed once at start: no name from outside ever becomes a path."""
INTAKE = 8
"""Pictures unpacked or fetched at the same time."""
BODY_SECONDS = 30.0
"""Time that a client has to send its body."""
ABANDON_SECONDS = 3.0
"""Time that it has to stop sending one that nobody will read."""
SHUTDOWN_SECONDS = 7.0
"""Time after the signal to end during which predictions still begin; Google kills after ten."""

OURS_TO_KNOW = frozenset({429, 499, 503})
"""Statuses of requests that were right, and could not be answered."""

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; media-src 'self' blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

Handler = Callable[["Edge", Request], Response]


class Edge:
    """Answers requests with one set of settings."""

    def __init__(
        self,
        settings: Settings,
        runtime: Callable[[], Runtime] = get_runtime,
        shutdown: Shutdown | None = None,
    ):
        """Load no model.

        Args:
            settings: the service's.
            runtime: gives the models of this process; called at the first prediction.
            shutdown: when this process is told to end.
        """
        self._settings = settings
        self._runtime = runtime
        memory = memory_limit()
        self._held = Budget(
            holdable_bytes(settings.max_held_bytes, settings.max_body_bytes, memory)
        )
        self._room = pixel_capacity(settings.max_pixels, memory)
        # Apart, so that slow servers of pictures do not keep the CPUs from those that are here.
        self._intake = Gate(INTAKE, settings.max_queue, settings.queue_timeout, shutdown=shutdown)
        self._gate = Gate(
            settings.max_in_flight or usable_cpus() + 1,
            settings.max_queue,
            settings.queue_timeout,
            room=self._room,
            shutdown=shutdown,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )

    @property
    def longest_wait(self) -> float:
        """Seconds that a request may wait: for its body, its picture, and its two turns."""
        settings = self._settings
        return BODY_SECONDS + settings.url_timeout + 2 * settings.queue_timeout

    def __call__(self, request: Request) -> Response:
        """Answer one request; never raises."""
        request_id = _request_id(request)
        try:
            response = self._route(request)
        except Problem as problem:
            response = _refusal(problem, request_id)
        except AgeGenderError as error:
            response = _refusal(Problem.of(error), request_id)
        except Exception:
            log.exception("unexpected failure", extra={"fields": {"request_id": request_id}})
            detail = f"something went wrong on our side; the log has it under {request_id}"
            response = Problem("internal", detail).response(request_id)
        body.abandon(request, self._settings.max_body_bytes, ABANDON_SECONDS)
        response.headers["X-Request-Id"] = request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _route(self, request: Request) -> Response:
        methods = ROUTES.get(request.path)
        if request.path.removeprefix("/assets/") in STATIC:
            methods = {"GET": Edge._static}
        if methods is None:
            raise Problem("not-found", f"there is no {request.path[:100]}; POST /predict predicts")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
            raise Problem(
                "method-not-allowed",
                f"{request.path} takes {allowed}",
                headers={"Allow": allowed},
            )
        return handler(self, request)

    def _index(self, request: Request) -> Response:
        best = request.accept_mimetypes.best_match(["application/json", "text/html"])
        if best == "text/html":
            return _file(WEB / "index.html")
        return self._health(request)

    def _static(self, request: Request) -> Response:
        return _file(STATIC[request.path.removeprefix("/assets/")])

    def _health(self, _request: Request) -> Response:
        return _json({"status": "ok", "version": __version__})

    def _model(self, _request: Request) -> Response:
        spec = load_spec(self._settings.models_dir, self._settings.attribute_model)
        return _json(spec.model_dump())

    def _docs(self, _request: Request) -> Response:
        return _file(WEB / "docs.html")

    def _openapi(self, _request: Request) -> Response:
        from age_gender.edge import openapi  # nothing else needs pydantic's schema generator

        return _json(openapi.description())

    def _predict(self, request: Request) -> Response:
        auth.check(request.headers.get("Authorization"), self._settings)
        inputs.refuse_encoded(request)
        watch = Stopwatch()
        awaited = partial(body.is_awaited, request)
        with ExitStack() as stack:
            held = stack.enter_context(self._held.reserve())
            with watch.stage("receive"):
                data = body.read(request, self._settings.max_body_bytes, BODY_SECONDS, held.grow)
            with self._intake.enter(wanted=awaited), watch.stage("fetch"):
                fields, picture = inputs.read_request(request, data, self._settings)
            options = fields.options
            del data, fields  # they hold the picture as text, too
            held.resize(len(picture))
            image = self._image(picture)
            size = image.header.pixels
            if options.min_face is not None:
                size += CLOSE_LOOK_PIXELS
            runtime = self._runtime()
            with self._gate.enter(size, awaited):
                result = runtime.pipeline.run(image, options)
            answer = response_body(result)
            if result.jpeg is not None:
                answer["image"] = base64.b64encode(result.jpeg).decode("ascii")
            response = _json(answer)
            held.resize(response.content_length or 0)
            stages = watch.stages | dict(result.stages)
            response.headers["Server-Timing"] = ", ".join(
                f"{name};dur={ms:.1f}" for name, ms in stages.items()
            )
            log.info(
                "predicted",
                extra={"fields": {"faces": len(result.faces), "size": result.size, "ms": stages}},
            )
            # Until the client has taken it. Last, since nobody gives it back if we fail after this.
            response.call_on_close(stack.pop_all().close)
        return response

    def _image(self, data: bytes) -> EncodedImage:
        """Read the header, before the picture takes a worker's time.

        Raises:
            ImageError: none that we read.
            ImageTooLarge: over a limit, or more than there is memory for.
        """
        max_pixels = min(self._settings.max_pixels, self._room)
        return EncodedImage(data, max_bytes=self._settings.max_picture_bytes, max_pixels=max_pixels)


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": Edge._index},
    "/health": {"GET": Edge._health},
    "/healthz": {"GET": Edge._health},
    "/model": {"GET": Edge._model},
    "/openapi.json": {"GET": Edge._openapi},
    "/docs": {"GET": Edge._docs},
    "/predict": {"POST": Edge._predict},
}


def _refusal(problem: Problem, request_id: str) -> Response:
    if problem.status in OURS_TO_KNOW:
        fields = {"code": problem.code, "detail": problem.detail, "request_id": request_id}
        log.warning("refused", extra={"fields": fields})
    return problem.response(request_id)


def _json(value: dict[str, Any]) -> Response:
    return Response(json.dumps(value, separators=(",", ":")), mimetype="application/json")


def _file(path: Path) -> Response:
    response = Response(path.read_bytes(), mimetype=MIME_TYPES[path.suffix])
    response.headers.update(PAGE_HEADERS)
    return response


def _request_id(request: Request) -> str:
    """The caller's id if it is harmless, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else secrets.token_hex(8)
