"""Entry points for functions-framework and Google Cloud.

``predict`` answers HTTP requests, ``annotate`` handles the events of a bucket. A process serves one
of them, named by ``FUNCTION_TARGET`` or ``--target``. Importing this file reads the settings and
configures logging and the server; models load at the first request.
"""

import os
import sys
from functools import lru_cache

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request, Response, current_app, has_app_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WsgiResponse

from age_gender import logs
from age_gender.batch import hopeless, responses
from age_gender.batch.events import Handler, read_push
from age_gender.edge import auth, server
from age_gender.edge.app import Edge
from age_gender.edge.front.policy import policy_of_events
from age_gender.errors import AgeGenderError
from age_gender.limits.admission import Shutdown
from age_gender.limits.memory import limit_malloc_arenas
from age_gender.runtime import check_models
from age_gender.settings import get_settings

# The framework runs this file in the context of an application named after the target.
_target = current_app.name if has_app_context() else os.environ.get("FUNCTION_TARGET")
_shutdown = Shutdown()


@lru_cache(maxsize=1)
def _handler() -> Handler:
    return Handler(_settings, shutdown=_shutdown)


limit_malloc_arenas()
logs.set_up("info")  # for what is said of the settings themselves
try:
    _settings = get_settings()
    logs.set_up(_settings.log)
    check_models(_settings)
    if _target == "annotate":
        _handler()
    else:
        auth.check_reach(_settings)
except AgeGenderError as error:
    sys.exit(f"cannot start: {error}")
_edge = Edge(_settings, shutdown=_shutdown)
if _target == "annotate":  # Google authenticates its callers and limits their time
    events = policy_of_events(_settings.max_body_bytes, _settings.max_held_bytes)
    server.install(events, _shutdown, _settings.host, _settings.port)
else:
    auth.warn_if_open(_settings)
    server.install(_edge.policy, _shutdown, _settings.host, _settings.port)


@functions_framework.http
def predict(request: Request) -> Response:
    """Answer an HTTP request; see ``age_gender.edge.app``."""
    return _edge(request)


if _target != "annotate" and has_app_context():
    # The framework answers some paths itself with HTML: its static folder, favicon.ico and
    # robots.txt. This hands them to the edge.
    functions_framework.errorhandler(404)(lambda _: _edge(request))


@functions_framework.cloud_event
def annotate(event: CloudEvent) -> None:
    """Annotate the picture that was uploaded; see ``age_gender.batch.events``."""
    _handler()(event, request.headers)


def _not_an_event(_: Exception) -> WsgiResponse:
    push = read_push(request.get_data())
    if push is None:
        # The framework's own answer would repeat all headers of the request.
        return _acknowledged("this is not an event of Cloud Storage")
    try:
        _handler()(push, request.headers)
    except HTTPException as error:
        return responses.refused(error)
    return responses.acknowledged("OK")


def _not_parsed(error: Exception) -> WsgiResponse:
    if isinstance(error, HTTPException):
        return responses.refused(error)
    # The framework failed before our code; it would fail at this event every time.
    return _acknowledged(f"the event cannot be parsed ({type(error).__name__})")


def _acknowledged(reason: str) -> WsgiResponse:
    hopeless.acknowledge(reason)
    return responses.acknowledged(reason)


if _target == "annotate" and has_app_context():
    current_app.wsgi_app = hopeless.bounded(current_app.wsgi_app)  # type: ignore[assignment,method-assign]
    functions_framework.errorhandler(400)(_not_an_event)
    functions_framework.errorhandler(Exception)(_not_parsed)
