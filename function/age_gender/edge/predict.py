"""The route of predictions: from a request's body to its answer, and what is held meanwhile."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from flask import Request, Response

from age_gender.edge import answers, body, completion, inputs
from age_gender.edge.compression import compress
from age_gender.edge.front.policy import CONNECTED, RECEIVE_SECONDS, RESERVATION
from age_gender.edge.ignored import check_ignored
from age_gender.edge.parallel import ParallelPredictions
from age_gender.edge.prediction import Call, Predictions
from age_gender.edge.several import Entry, read_entries
from age_gender.limits.admission import Reservation
from age_gender.limits.limiter import PredictionLimiter
from age_gender.schema import PredictRequest
from age_gender.settings import Settings
from age_gender.vision.pipeline import Result
from age_gender.vision.stopwatch import Stopwatch


@dataclass(frozen=True)
class _One:
    """What a request for one picture contains.

    Attributes:
        fields: of the request; with the text of a picture only where it is an address.
        encoded: the picture, or None where it is to be fetched from ``fields.url``.
        warnings: about the fields.
    """

    fields: PredictRequest
    encoded: bytes | None
    warnings: Sequence[str]


class PredictRoute:
    """Answers ``POST /predict`` for callers that may call."""

    def __init__(
        self,
        settings: Settings,
        limiter: PredictionLimiter,
        predictions: Predictions,
    ):
        """Load no model.

        Args:
            settings: the service's.
            limiter: of the process.
            predictions: fetches and predicts one picture.
        """
        self._settings = settings
        self._limiter = limiter
        self._predictions = predictions
        self._parallel = ParallelPredictions(settings, limiter, predictions)

    def __call__(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            Problem: the request is refused.
            AgeGenderError: the prediction is not possible.
        """
        watch = Stopwatch()
        if (seconds := request.environ.get(RECEIVE_SECONDS)) is not None:
            watch.stages["receive"] = seconds * 1000
        with ExitStack() as stack:
            call = Call(
                completion.request_id(request.environ),
                self._reservation(request, stack),
                request.environ.get(CONNECTED, lambda: True),
            )
            content = self._read(request, call, watch)
            if isinstance(content, _One):
                response = self._answer_one(request, content, call, watch)
            else:
                response = self._answer_several(request, content, call, watch)
            # Released when the client has the answer. Last: an error after this would leak it.
            response.call_on_close(stack.pop_all().close)
        return response

    def _reservation(self, request: Request, stack: ExitStack) -> Reservation:
        """Return the bytes that the server holds for the request."""
        held: Reservation | None = request.environ.get(RESERVATION)
        # Another server than ours holds nothing for it.
        return stack.enter_context(self._limiter.reserve()) if held is None else held

    def _read(self, request: Request, call: Call, watch: Stopwatch) -> _One | list[Entry]:
        """Read what a request contains; its body, which has the picture as text, ends here."""
        settings = self._settings
        with watch.stage("receive"):
            data = body.read(request, settings.max_body_bytes, call.reservation.grow)
        with self._limiter.intake(wanted=call.wanted), watch.stage("fetch"):
            entries = read_entries(request, data, settings)
            if entries is not None:
                return entries
            fields, encoded = inputs.read_request(request, data, settings)
        unused = request.args if inputs.is_json(request.mimetype) else {}
        warnings = check_ignored(fields, unused)
        return _One(fields if encoded is None else fields.without_image(), encoded, warnings)

    def _answer_one(self, request: Request, one: _One, call: Call, watch: Stopwatch) -> Response:
        as_image = answers.asks_for_image(request)
        options = self._predictions.options(
            one.fields, answers.max_image_bytes(as_image=as_image), return_image=as_image
        )
        with ExitStack() as stack:
            encoded = one.encoded
            if encoded is None:
                fetched = stack.enter_context(self._limiter.reserve_fetched())
                with watch.stage("fetch"):
                    encoded = self._predictions.fetch(one.fields.url or "", fetched, call.wanted)
                call.reservation.resize(0)
            else:
                call.reservation.resize(len(encoded))
            result = self._predictions.run(self._predictions.open(encoded), options, call.wanted)
            response = answers.prediction(request, result, one.warnings, as_image=as_image)
        call.reservation.resize(response.content_length or 0)
        _report(request, response, result, watch)
        return response

    def _answer_several(
        self, request: Request, entries: list[Entry], call: Call, watch: Stopwatch
    ) -> Response:
        found = self._parallel.run(entries, call)
        response = compress(answers.json_response({"results": found.results}), request)
        call.reservation.resize(response.content_length or 0)
        _time(request, response, {**watch.stages, **found.stages})
        completion.note(
            request.environ, images=len(found.results), faces=found.faces, failed=found.failed
        )
        return response


def _report(request: Request, response: Response, result: Result, watch: Stopwatch) -> None:
    _time(request, response, watch.stages | dict(result.stages))
    completion.note(request.environ, faces=len(result.faces), size=result.size)


def _time(request: Request, response: Response, stages: dict[str, float]) -> None:
    """Put the milliseconds of each stage into the response's headers and the log."""
    response.headers["Server-Timing"] = ", ".join(
        f"{name};dur={ms:.1f}" for name, ms in stages.items()
    )
    completion.note(request.environ, stages={name: round(ms, 1) for name, ms in stages.items()})
