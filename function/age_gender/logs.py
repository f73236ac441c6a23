"""Logs as JSON lines in the fields that Cloud Logging understands."""

import json
import logging
import sys

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


def set_up(level: str) -> None:
    """Send this package's records to standard error, from ``level`` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("age_gender")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
