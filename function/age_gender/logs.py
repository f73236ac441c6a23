"""Logs as JSON lines in the fields that Cloud Logging understands."""

import atexit
import json
import logging
import os
import re
import select
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

_SEVERITIES = {"WARNING": "WARNING", "ERROR": "ERROR", "CRITICAL": "CRITICAL", "DEBUG": "DEBUG"}


MAX_LINE_BYTES = 8192

REPEAT_SECONDS = 10.0
"""Native lines that differ only in numbers are logged once in this time, and counted."""
MAX_KINDS = 100
"""Native lines logged in this time at most; the rest is counted together."""
MAX_KIND_LENGTH = 500
_NUMBER = re.compile(r"\d+")
_READ_BYTES = 1 << 16


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/|$)")


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


def trace_fields(traceparent: str, cloud_trace: str) -> dict[str, str]:
    """Build the fields by which Cloud Logging groups lines with their request, if it is traced.

    Args:
        traceparent: the header of that name (W3C Trace Context), or an empty text.
        cloud_trace: Google's ``X-Cloud-Trace-Context``, likewise.
    """
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    w3c = _TRACEPARENT.fullmatch(traceparent)
    match = w3c or _CLOUD_TRACE.match(cloud_trace)
    if not match:
        return {}
    trace = match[1] if not project else f"projects/{project}/traces/{match[1]}"
    fields = {"logging.googleapis.com/trace": trace}
    return fields | ({"logging.googleapis.com/spanId": w3c[2]} if w3c else {})


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


class RepeatedLines:
    """Chooses which native lines to log: a single picture can cause hundreds of thousands."""

    def __init__(self) -> None:
        self._repeats: Counter[str] = Counter()
        self._others = 0

    def add(self, text: str) -> bool:
        """Count a line; return whether it is to be logged now."""
        kind = _NUMBER.sub("#", text)[:MAX_KIND_LENGTH]
        if kind in self._repeats:
            self._repeats[kind] += 1
            return False
        if len(self._repeats) >= MAX_KINDS:
            self._others += 1
            return False
        self._repeats[kind] = 0
        return True

    def flush(self) -> Iterator[tuple[str, int]]:
        """Forget everything; yield what was not logged, and how often it came."""
        for kind, count in self._repeats.items():
            if count:
                yield f"repeated: {kind}", count
        if self._others:
            yield "more lines of other kinds", self._others
        self._repeats.clear()
        self._others = 0


def _forward(reading: int, original: int) -> None:
    """Log the lines that arrive at ``reading``, until all its writers have closed it."""

    def write(text: str, **more: int) -> None:
        severity = "INFO" if text.startswith("INFO:") else "WARNING"
        record = {"severity": severity, "message": text, "logger": "stderr", **more}
        os.write(original, json.dumps(record).encode() + b"\n")

    repeated = RepeatedLines()
    flush_at = time.monotonic() + REPEAT_SECONDS
    for line in _lines(reading):
        text = line.decode("utf-8", "replace").strip()
        if text and repeated.add(text):
            write(text)
        if time.monotonic() >= flush_at:
            for kind, count in repeated.flush():
                write(kind, count=count)
            flush_at = time.monotonic() + REPEAT_SECONDS
    for kind, count in repeated.flush():
        write(kind, count=count)


def _lines(reading: int) -> Iterator[bytes]:
    """Yield lines of at most `MAX_LINE_BYTES`, and an empty one after each silent time."""
    rest = b""
    while True:
        if not select.select([reading], [], [], REPEAT_SECONDS)[0]:
            yield b""
            continue
        data = os.read(reading, _READ_BYTES)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield from _parts(line)
        while len(rest) >= MAX_LINE_BYTES:
            yield rest[:MAX_LINE_BYTES]
            rest = rest[MAX_LINE_BYTES:]
    os.close(reading)
    yield rest


def _parts(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), MAX_LINE_BYTES):
        yield line[start : start + MAX_LINE_BYTES]
