"""Logs that Cloud Logging understands."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from age_gender import logs
from age_gender.settings import FUNCTION_DIR


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("debug")
    log = logging.getLogger("age_gender.somewhere")
    log.debug("first\nsecond: %s", "ü")
    log.warning("third", extra={"fields": {"faces": 3, "path": Path("x")}})
    first, second = lines(capsys)
    assert first == {
        "severity": "DEBUG",
        "message": "first\nsecond: ü",
        "logger": "age_gender.somewhere",
    }
    assert second["severity"] == "WARNING"
    assert (second["faces"], second["path"]) == (3, "x")


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("info", ["INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("warning", ["WARNING", "ERROR", "CRITICAL"]),
        ("error", ["ERROR", "CRITICAL"]),
    ],
)
def test_levels(level: str, logged: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(level)
    log = logging.getLogger("age_gender.levels")
    for write in (log.debug, log.info, log.warning, log.error, log.critical):
        write("x")
    assert [line["severity"] for line in lines(capsys)] == logged


def test_errors_have_their_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("age_gender").exception("failed")
    (line,) = lines(capsys)
    assert line["message"] == "failed"
    assert "ZeroDivisionError" in line["stack_trace"]


def test_setting_up_again_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    logs.set_up("info")
    logging.getLogger("age_gender").info("once")
    assert len(lines(capsys)) == 1


NATIVE = """
import ctypes, logging, os, sys
from age_gender import logs
logs.set_up("info")
logs.wrap_native_lines()
logging.getLogger("age_gender").info("ours")
os.write(2, b"INFO: from C\\n\\n" + b"libpng warning: \\xff\\n" + b"x" * 20000 + b"\\n")
print("from Python", file=sys.stderr)
if os.fork() == 0:
    os.write(2, b"last words")
    os._exit(1)
os.wait()
sys.exit("cannot go on")
"""


def test_lines_of_c_libraries_become_json_even_from_a_process_that_crashes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NATIVE.replace("\\\\", "\\")],
        cwd=FUNCTION_DIR,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stderr.splitlines()]
    texts = [line["message"] for line in records]
    assert {"ours", "INFO: from C", "libpng warning: \ufffd", "from Python"} <= set(texts)
    assert max(map(len, texts)) <= logs.MAX_LINE_BYTES
    assert any("last words" in text for text in texts)
    assert any("cannot go on" in text for text in texts)
    assert {line["severity"] for line in records} == {"INFO", "WARNING"}


REPEATING = """
import os, sys
from age_gender import logs
logs.wrap_native_lines()
for i in range(50_000):
    os.write(2, b"libpng warning: chunk %d: repeated\\n" % i)
for word in range(1000):
    os.write(2, b"kind " + chr(0x4E00 + word).encode() + b"\\n")
"""


@pytest.mark.defends("log-flood")
def test_repeated_lines_of_c_libraries_are_counted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPEATING.replace("\\\\", "\\")],
        cwd=FUNCTION_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(done.stderr) < 100_000
    assert records[0]["message"] == "libpng warning: chunk 0: repeated"
    counted = {line["message"]: line["count"] for line in records if "count" in line}
    assert sum(counted.values()) + len(records) - len(counted) == 51_000
    assert "repeated: libpng warning: chunk #: repeated" in counted


def test_lines_that_repeat_later_are_logged_again() -> None:
    lines = logs.RepeatedLines()
    assert lines.add("warning 1")
    assert not lines.add("warning 2")
    assert list(lines.flush()) == [("repeated: warning #", 1)]
    assert lines.add("warning 3")
    assert list(lines.flush()) == []
