"""The HTTP edge: routes requests, runs predictions, and turns errors into problems."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from flask import Request, Response

from age_gender import __version__
from age_gender.edge import answers, auth, body, completion, inputs
from age_gender.edge.completion import Environ
from age_gender.edge.compression import compress
from age_gender.edge.cors import CrossOrigin
from age_gender.edge.front.policy import (
    CONNECTED,
    RECEIVE_SECONDS,
    RESERVATION,
    Admission,
    Policy,
)
from age_gender.edge.ignored import check_ignored
from age_gender.edge.parallel import ParallelPredictions
from age_gender.edge.prediction import Predictions
from age_gender.edge.problems import Problem
from age_gender.edge.responses import HealthBody
from age_gender.edge.several import Entry, read_entries
from age_gender.errors import AgeGenderError
from age_gender.limits.admission import Reservation, Shutdown
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime, get_runtime
from age_gender.settings import Settings
from age_gender.vision.model_spec import load_spec
from age_gender.vision.pipeline import Result
from age_gender.vision.stopwatch import Stopwatch

MIME_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}

WEB = Path(__file__).parent / "web"
STATIC = {path.name: path for path in WEB.iterdir() if path.suffix in MIME_TYPES}
"""Listed once at start, so that no name in a request ever becomes a path."""
INTAKE = 8
"""Pictures unpacked at a time."""
MAX_UNUSED_BYTES = 64 * 1024
"""Body of a request that needs none."""

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
            runtime: returns the models of this process; called at the first prediction.
            shutdown: when the process was asked to stop.
        """
        self._settings = settings
        self._guard = auth.Guard(settings)
        self._cross_origin = CrossOrigin(settings.cors_origins)
        self._completion = completion.Completion(self._cross_origin)
        self._limiter = PredictionLimiter.from_settings(settings, intake=INTAKE, shutdown=shutdown)
        self._predictions = Predictions(settings, self._limiter, runtime)
        self._parallel = ParallelPredictions(settings, self._limiter, self._predictions)

    @property
    def policy(self) -> Policy:
        """How the server treats requests."""
        return Policy(
            self._admit,
            self._limiter.reserve,
            self._completion.refuse,
            self._completion.fail,
            self._guard.tick,
        )

    def __call__(self, request: Request) -> Response:
        """Answer one request; never raises."""
        environ = request.environ
        completion.begin(environ)
        try:
            return self._completion.complete(environ, _handler(request)(self, request))
        except Problem as problem:
            return self._completion.refuse(environ, problem)
        except AgeGenderError as error:
            return self._completion.refuse(environ, Problem.of(error))
        except Exception as error:
            return self._completion.fail(environ, error)

    def _admit(self, environ: Environ) -> Admission:
        request = Request(environ, populate_request=False)
        if _handler(request) is not Edge._predict:
            return Admission(MAX_UNUSED_BYTES, heavy=False)
        self._check_headers(request)
        return Admission(self._settings.max_body_bytes, heavy=True)

    def _check_headers(self, request: Request) -> None:
        if caller := self._guard.check(request.environ):
            completion.note(request.environ, caller=caller)
        inputs.refuse_compressed(request)

    def _index(self, request: Request) -> Response:
        best = request.accept_mimetypes.best_match(["application/json", "text/html"])
        if best == "text/html":
            return _file(WEB / "index.html")
        return self._health(request)

    def _static(self, request: Request) -> Response:
        return _file(STATIC[request.path.removeprefix("/assets/")])

    def _health(self, _request: Request) -> Response:
        return answers.json_response(HealthBody(status="ok", version=__version__).model_dump())

    def _model(self, request: Request) -> Response:
        spec = load_spec(self._settings.models_dir, self._settings.attribute_model)
        learned = {"hidden", "hidden_biases", "weights", "bias"}
        card = spec.model_dump(
            exclude={"reliability": {"heads": {"__all__": learned}}, "face_check": True}
        )
        return compress(answers.json_response(card), request, shared=True)

    def _docs(self, _request: Request) -> Response:
        return _file(WEB / "docs.html")

    def _openapi(self, request: Request) -> Response:
        from age_gender.edge import openapi  # only this needs pydantic's schema generator

        return compress(answers.json_response(openapi.description()), request, shared=True)

    def _options(self, request: Request) -> Response:
        methods = _methods(_handlers(request.path))
        response = Response(status=204, headers={"Allow": ", ".join(methods)})
        del response.headers["Content-Type"]
        self._cross_origin.add_preflight(request.environ, response, methods)
        return response

    def _predict(self, request: Request) -> Response:
        self._check_headers(request)
        settings, limiter, watch = self._settings, self._limiter, Stopwatch()
        if (seconds := request.environ.get(RECEIVE_SECONDS)) is not None:
            watch.stages["receive"] = seconds * 1000
        wanted = request.environ.get(CONNECTED, lambda: True)
        as_image = answers.asks_for_image(request)
        with ExitStack() as stack:
            fetched = None
            reservation = request.environ.get(RESERVATION)
            if reservation is None:  # another server than ours, which holds nothing for it
                reservation = stack.enter_context(limiter.reserve())
            with watch.stage("receive"):
                data = body.read(request, settings.max_body_bytes, reservation.grow)
            with limiter.intake(wanted=wanted), watch.stage("fetch"):
                entries = read_entries(request, data, settings)
                if entries is None:
                    fields, encoded = inputs.read_request(request, data, settings)
            del data  # it contains the picture as text
            if entries is not None:
                response = self._predict_several(request, entries, reservation, wanted, watch)
                response.call_on_close(stack.pop_all().close)
                return response
            unused = request.args if inputs.is_json(request.mimetype) else {}
            warnings = check_ignored(fields, unused)
            if encoded is None:
                fetched = stack.enter_context(limiter.reserve_fetched())
                with watch.stage("fetch"):
                    encoded = self._predictions.fetch(fields.url or "", fetched, wanted)
                reservation.resize(0)
            else:
                reservation.resize(len(encoded))
            options = self._predictions.options(
                fields, answers.max_image_bytes(as_image=as_image), return_image=as_image
            )
            del fields
            result = self._predictions.run(self._predictions.open(encoded), options, wanted)
            response = answers.prediction(request, result, warnings, as_image=as_image)
            if fetched is not None:
                fetched.resize(0)
            reservation.resize(response.content_length or 0)
            _report(request.environ, response, result, watch.stages | dict(result.stages))
            # Released when the client has the answer. Last: an error after this would leak it.
            response.call_on_close(stack.pop_all().close)
        return response

    def _predict_several(
        self,
        request: Request,
        entries: list[Entry],
        reservation: Reservation,
        wanted: Callable[[], bool],
        watch: Stopwatch,
    ) -> Response:
        """Answer a request for several pictures."""
        found = self._parallel.run(
            entries, reservation, wanted, completion.request_id(request.environ)
        )
        response = compress(answers.json_response({"results": found.results}), request)
        reservation.resize(response.content_length or 0)
        stages = {**watch.stages, **found.stages}
        _time(request.environ, response, stages)
        completion.note(
            request.environ, images=len(found.results), faces=found.faces, failed=found.failed
        )
        return response


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": Edge._index},
    "/health": {"GET": Edge._health},
    "/healthz": {"GET": Edge._health},
    "/model": {"GET": Edge._model},
    "/openapi.json": {"GET": Edge._openapi},
    "/docs": {"GET": Edge._docs},
    "/predict": {"POST": Edge._predict},
}


def _report(environ: Environ, response: Response, result: Result, stages: dict[str, float]) -> None:
    _time(environ, response, stages)
    completion.note(environ, faces=len(result.faces), size=result.size)


def _time(environ: Environ, response: Response, stages: dict[str, float]) -> None:
    """Put the milliseconds of each stage into the response's headers and the log."""
    response.headers["Server-Timing"] = ", ".join(
        f"{name};dur={ms:.1f}" for name, ms in stages.items()
    )
    completion.note(environ, stages={name: round(ms, 1) for name, ms in stages.items()})


def _handler(request: Request) -> Handler:
    """Find what answers a request.

    Raises:
        Problem: 404 or 405.
    """
    handlers = _handlers(request.path)
    if request.method == "OPTIONS":
        return Edge._options
    handler = handlers.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        allowed = ", ".join(_methods(handlers))
        raise Problem(
            "method-not-allowed", f"{request.path} accepts {allowed}", headers={"Allow": allowed}
        )
    return handler


def _handlers(path: str) -> dict[str, Handler]:
    """Find what answers requests to a path, by method.

    Raises:
        Problem: 404.
    """
    if path.removeprefix("/assets/") in STATIC:
        return {"GET": Edge._static}
    if path in ROUTES:
        return ROUTES[path]
    raise Problem("not-found", f"there is no {path[:100]}; predictions are at POST /predict")


def _methods(handlers: dict[str, Handler]) -> list[str]:
    return [*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"]


def _file(path: Path) -> Response:
    response = Response(_content(path), mimetype=MIME_TYPES[path.suffix])
    response.headers.update(PAGE_HEADERS)
    return response


@cache
def _content(path: Path) -> bytes:
    """Read a file of the page once: all responses share its bytes, however many are being sent."""
    return path.read_bytes()
