"""The time of a newcomer's first answer: what is counted, and that the document quotes it."""

import json
import sys
import time
from pathlib import Path

from benchmarks import first_answer
from benchmarks.markers import replace_section
from tests.markdown import ROOT, read


def test_little_is_to_be_read_before_the_first_command() -> None:
    assert first_answer.lines_to_read(read(ROOT / "README.md")) <= first_answer.SCREEN_LINES
    text = "# A\n\nWords\n\n```console\n$ make serve\n$ make test\n```\n\nMore\n"
    assert first_answer.lines_to_read(text) == 8


def test_the_document_quotes_the_results() -> None:
    results = json.loads(first_answer.RESULTS.read_text(encoding="utf-8"))
    text = read(first_answer.DOCUMENT)
    written = replace_section(text, "first-answer", first_answer.report(results))
    assert written == text, "run `python -m benchmarks.first_answer --report-only`"


def test_a_report() -> None:
    text = first_answer.report(
        {
            "seconds": 100.4,
            "cpu_seconds": 61.0,
            "steps": [[1.0, "cloned"], [2.5, "Installing x"], [90.0, "Serving"]],
            "readme_lines": 18,
            "load": 0.4,
            "cores": 2,
            "date": "2026-11-26",
            "commit": "abc",
        }
    )
    assert "| `git clone` and start of `make` | 2 s |" in text
    assert "| Installing x | 88 s |" in text
    assert "| Serving | 10 s |" in text
    assert "**100 s** (target: at most 180 s)" in text
    assert "18 lines (target: at most a screen of 40)" in text


def test_what_the_command_prints_becomes_steps(tmp_path: Path) -> None:
    program = tmp_path / "make"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, time\n"
        "print('Creating the virtual environment in .venv', flush=True)\n"
        "print('Installing the requirements of x (TensorFlow: a minute)', flush=True)\n"
        "print('noise | ' + os.environ['PORT'], flush=True)\n"
        "time.sleep(30)\n"
    )
    program.chmod(0o755)
    steps: list[tuple[float, str]] = []
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with first_answer._served(tmp_path, environment, steps, time.monotonic()):
        for _ in range(200):
            if len(steps) == 2:
                break
            time.sleep(0.05)
    assert [text for _, text in steps] == [
        "Creating the virtual environment",
        "Installing the requirements of x",
    ]
