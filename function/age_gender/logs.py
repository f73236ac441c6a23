"""Logs as JSON lines in the fields that Cloud Logging understands."""

import atexit
import json
import logging
import os
import sys
import threading

_SEVERITIES = {"WARNING": "WARNING", "ERROR": "ERROR", "CRITICAL": "CRITICAL", "DEBUG": "DEBUG"}


MAX_LINE_BYTES = 8192


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with the fields from ``extra={"fields": {…}}``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line = {
            "severity": _SEVERITIES.get(record.levelname, "INFO"),
            "message": record.getMessage(),
            "logger": record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str) -> None:
    """Log this package's records of ``level`` and above to standard error, as JSON.

    Args:
        level: as in `Settings.log`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("age_gender")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def wrap_native_lines() -> None:
    """Turn what C libraries and the server write to standard error into JSON lines.

    The picture decoders report damaged files there, bypassing Python, and a log that is not all
    JSON cannot be searched. A thread of this process forwards the lines. Processes forked later
    write to it too, so that the last lines of one that crashes are not lost.
    """
    original = os.dup(sys.stderr.fileno())
    reading, writing = os.pipe()
    os.dup2(writing, sys.stderr.fileno())
    os.close(writing)
    own = os.fdopen(os.dup(original), "w", buffering=1, encoding="utf-8")
    for handler in logging.getLogger("age_gender").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(own)
    thread = threading.Thread(target=_forward, args=(reading, original), daemon=True)
    thread.start()
    process = os.getpid()

    def flush() -> None:
        if os.getpid() == process:
            sys.stderr.flush()
            os.dup2(original, 2)  # closes the last writer, which ends the thread
            thread.join(timeout=1)

    atexit.register(flush)


def _forward(reading: int, original: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        while line := lines.readline(MAX_LINE_BYTES):
            text = line.decode("utf-8", "replace").strip()
            if text:
                severity = "INFO" if text.startswith("INFO:") else "WARNING"
                record = {"severity": severity, "message": text, "logger": "stderr"}
                os.write(original, json.dumps(record).encode() + b"\n")
