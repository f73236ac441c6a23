"""The HTTP edge: routes requests, runs predictions, and turns errors into problems."""

from collections.abc import Callable

from flask import Request, Response

from age_gender import __version__
from age_gender.edge import answers, auth, completion, inputs, pages
from age_gender.edge.completion import Environ
from age_gender.edge.compression import compress
from age_gender.edge.cors import CrossOrigin
from age_gender.edge.front.policy import Admission, Policy
from age_gender.edge.predict import PredictRoute
from age_gender.edge.prediction import Predictions
from age_gender.edge.problems import Problem
from age_gender.edge.responses import HealthBody
from age_gender.errors import AgeGenderError
from age_gender.limits.admission import Shutdown
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime, get_runtime
from age_gender.settings import Settings
from age_gender.vision.model_spec import load_spec

INTAKE = 8
"""Pictures unpacked at a time."""
MAX_UNUSED_BYTES = 64 * 1024
"""Body of a request that needs none."""

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
        predictions = Predictions(settings, self._limiter, runtime)
        self._predict_route = PredictRoute(settings, self._limiter, predictions)

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
        is_page = best == "text/html"
        response = pages.response("index.html", request) if is_page else self._health(request)
        response.vary.add("Accept")
        return response

    def _static(self, request: Request) -> Response:
        return pages.response(request.path.removeprefix("/assets/"), request)

    def _health(self, _request: Request) -> Response:
        return answers.json_response(HealthBody(status="ok", version=__version__).model_dump())

    def _model(self, request: Request) -> Response:
        spec = load_spec(self._settings.models_dir, self._settings.attribute_model)
        learned = {"hidden", "hidden_biases", "weights", "bias"}
        card = spec.model_dump(
            exclude={"reliability": {"heads": {"__all__": learned}}, "face_check": True}
        )
        return compress(answers.json_response(card), request, shared=True)

    def _docs(self, request: Request) -> Response:
        return pages.response("docs.html", request)

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
        return self._predict_route(request)


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": Edge._index},
    "/health": {"GET": Edge._health},
    "/healthz": {"GET": Edge._health},
    "/model": {"GET": Edge._model},
    "/openapi.json": {"GET": Edge._openapi},
    "/docs": {"GET": Edge._docs},
    "/predict": {"POST": Edge._predict},
}


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
    if path.removeprefix("/assets/") in pages.STATIC:
        return {"GET": Edge._static}
    if path in ROUTES:
        return ROUTES[path]
    raise Problem("not-found", f"there is no {path[:100]}; predictions are at POST /predict")


def _methods(handlers: dict[str, Handler]) -> list[str]:
    return [*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"]
