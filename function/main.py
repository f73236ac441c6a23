"""Entry points for functions-framework and Google Cloud.

``predict`` answers HTTP requests, ``annotate`` handles the events of a bucket; which of the two a
process serves, ``FUNCTION_TARGET`` or ``--target`` says.
"""

import math
import os
import sys
from functools import lru_cache

# The framework gives gunicorn four threads a CPU. Waiting costs nothing and our own queue is
# bounded, so more of them keep the health check answering while predictions wait.
os.environ.setdefault("THREADS", "96")

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request, Response, current_app, has_app_context, request

from age_gender import logs
from age_gender.batch.events import Handler
from age_gender.edge import auth, server
from age_gender.edge.app import Edge
from age_gender.errors import SettingsError
from age_gender.limits.memory import limit_malloc_arenas
from age_gender.settings import get_settings

# The framework runs this file in the context of an application that it calls by the target.
_target = current_app.name if has_app_context() else os.environ.get("FUNCTION_TARGET")


@lru_cache(maxsize=1)
def _handler() -> Handler:
    return Handler(_settings)


limit_malloc_arenas()  # before there are threads
try:
    _settings = get_settings()
    logs.set_up(_settings.log)
    if _target == "annotate":
        _handler()
except SettingsError as error:
    sys.exit(f"cannot start: {error}")
_edge = Edge(_settings, shutdown=server.SHUTDOWN)
if _target == "annotate":  # whose callers Google authenticates, and gives their time
    server.configure(math.inf)
else:
    auth.warn_if_open(_settings)
    server.configure(_edge.longest_wait)


@functions_framework.http
def predict(request: Request) -> Response:
    """Answer an HTTP request; see ``age_gender.edge.app``."""
    return _edge(request)


if _target != "annotate" and has_app_context():
    # The framework answers some addresses itself, with pages of HTML: those of its folder of static
    # files, favicon.ico and robots.txt. Now the edge does.
    functions_framework.errorhandler(404)(lambda _: _edge(request))


@functions_framework.cloud_event
def annotate(event: CloudEvent) -> None:
    """Annotate the picture that was uploaded; see ``age_gender.batch.events``."""
    _handler()(event, request.headers)


@functions_framework.errorhandler(400)  # type: ignore[untyped-decorator]
def _not_an_event(_: Exception) -> tuple[str, int]:
    """Answer what is no event; the framework's own answer would repeat all its headers."""
    return "this is not an event of Cloud Storage", 400
