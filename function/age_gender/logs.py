"""Logs as JSON lines in the fields that Cloud Logging understands."""

import atexit
import json
import logging
import os
import sys
import threading

_SEVERITIES = {"WARNING": "WARNING", "ERROR": "ERROR", "CRITICAL": "CRITICAL", "DEBUG": "DEBUG"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a record carries in ``extra={"fields": {…}}`` goes beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "severity": _SEVERITIES.get(record.levelname, "INFO"),
            "message": record.getMessage(),
            "logger": record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


LONGEST_LINE = 8192


def set_up(level: str) -> None:
    """Send this package's records to standard error, from ``level`` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("age_gender")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def wrap_native_lines() -> None:
    """Make JSON lines of what C libraries and the server write to standard error.

    The picture decoders report damaged files there, past Python, and a log that is JSON but for
    some lines cannot be searched. A thread of this process passes the lines on; processes forked
    later write to it, too, so that the last words of one that crashes are not lost.
    """
    original = os.dup(sys.stderr.fileno())
    reading, writing = os.pipe()
    os.dup2(writing, sys.stderr.fileno())
    os.close(writing)
    own = os.fdopen(os.dup(original), "w", buffering=1, encoding="utf-8")
    for handler in logging.getLogger("age_gender").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(own)
    thread = threading.Thread(target=_pass_on, args=(reading, original), daemon=True)
    thread.start()
    process = os.getpid()

    def finish() -> None:
        if os.getpid() == process:
            sys.stderr.flush()
            os.dup2(original, 2)  # the last writer is gone, so the thread comes to its end
            thread.join(timeout=1)

    atexit.register(finish)


def _pass_on(reading: int, original: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        while line := lines.readline(LONGEST_LINE):
            text = line.decode("utf-8", "replace").strip()
            if text:
                severity = "INFO" if text.startswith("INFO:") else "WARNING"
                record = {"severity": severity, "message": text, "logger": "stderr"}
                os.write(original, json.dumps(record).encode() + b"\n")
