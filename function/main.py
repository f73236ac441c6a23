"""Entry points for functions-framework and Google Cloud: ``predict`` (HTTP)."""

import os
import sys

# The framework gives gunicorn four threads a CPU. Waiting costs nothing and our own queue is
# bounded, so more of them keep the health check answering while predictions wait.
os.environ.setdefault("THREADS", "48")

import functions_framework
from flask import Request, Response

from age_gender import auth, logs
from age_gender.errors import SettingsError
from age_gender.http import Edge
from age_gender.settings import get_settings

try:
    _settings = get_settings()
except SettingsError as error:
    sys.exit(f"cannot start: {error}")
logs.set_up(_settings.log)
auth.warn_if_open(_settings)
_edge = Edge(_settings)


@functions_framework.http
def predict(request: Request) -> Response:
    """Answer an HTTP request; see ``age_gender.http``."""
    return _edge(request)
