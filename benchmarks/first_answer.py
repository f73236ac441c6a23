"""How long a newcomer waits: from ``git clone`` to the first answer, with empty caches.

``python -m benchmarks.first_answer`` clones this repository's committed state into a temporary
folder, gives every client of a registry an empty cache, runs ``make serve``, asks for a prediction
until it comes, and counts the lines that the README puts before that command. It writes
``benchmarks/first_answer.json`` and the section of docs/start.md; ``--report-only`` the latter.
"""

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from benchmarks.markers import write_section
from benchmarks.report import table
from testing.service import CREDENTIALS, ROOT, free_port

RESULTS = Path(__file__).with_name("first_answer.json")
DOCUMENT = ROOT / "docs" / "start.md"
SAMPLE = Path("function/age_gender/edge/web/sample.jpg")
COMMAND = "make serve"
TARGET_S = 180
SCREEN_LINES = 40
"""Lines of one screen."""
LIMIT_S = 1500


def lines_to_read(readme: str) -> int:
    """Lines from the top of the README to the end of the block with the first command."""
    before, _, after = readme.partition(COMMAND)
    return before.count("\n") + after.partition("```")[0].count("\n") + 1


def measure() -> dict[str, Any]:
    """Clone, set up, serve and predict once.

    Raises:
        RuntimeError: no answer came within `LIMIT_S` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="first-answer-") as name:
        folder = Path(name)
        start, cpu_before = time.monotonic(), _cpu_seconds()
        subprocess.run(
            ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder / "clone")],
            check=True,
        )
        cloned = time.monotonic() - start
        checkout = folder / "clone"
        steps: list[tuple[float, str]] = [(round(cloned, 1), "cloned")]
        with _served(checkout, _without_caches(folder), steps, start) as port:
            face = _first_face(port, checkout / SAMPLE, start)
            seconds = time.monotonic() - start
        cpu_seconds = _cpu_seconds() - cpu_before
        readme = (checkout / "README.md").read_text(encoding="utf-8")
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=checkout,
            check=True,
            capture_output=True,
            text=True,
        )
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "steps": [list(step) for step in steps],
        "face": face,
        "readme_lines": lines_to_read(readme),
        "load": round(os.getloadavg()[0], 1),
        "cores": len(os.sched_getaffinity(0)),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip(),
    }


def report(results: dict[str, Any]) -> str:
    """Section of the document."""
    steps = results["steps"]
    ends = [*(start for start, _ in steps[1:]), results["seconds"]]
    rows = [(text, f"{end - start:.0f} s") for (start, text), end in zip(steps, ends, strict=True)]
    rows[0] = ("`git clone` and start of `make`", f"{ends[0]:.0f} s")
    total = f"**{results['seconds']:.0f} s** (target: at most {TARGET_S} s)"
    lines = f"{results['readme_lines']} lines (target: at most a screen of {SCREEN_LINES})"
    rows += [
        ("from `git clone` to the first answer", total),
        (
            "CPU time of all of it, whatever else the machine does",
            f"{results['cpu_seconds']:.0f} s",
        ),
        ("to read before it", lines),
    ]
    caption = (
        f"{results['date']}, commit {results['commit']}, {results['cores']} cores shared with "
        f"other work (load average {results['load']} at the end), empty caches:"
    )
    return f"{caption}\n\n{table(('step', 'time'), rows)}"


def _cpu_seconds() -> float:
    """CPU time of the programs that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _without_caches(folder: Path) -> dict[str, str]:
    caches = {"PIP_CACHE_DIR": "pip", "XDG_CACHE_HOME": "xdg", "npm_config_cache": "npm"}
    return {**os.environ, **{name: str(folder / cache) for name, cache in caches.items()}}


@contextmanager
def _served(
    checkout: Path, environment: dict[str, str], steps: list[tuple[float, str]], start: float
) -> Iterator[int]:
    """Run the README's command; add what it prints, with the second, to ``steps``."""
    port = free_port()
    process = subprocess.Popen(
        COMMAND.split(),
        cwd=checkout,
        env={**environment, "PORT": str(port), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    def follow() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            text = re.sub(r"\s+", " ", line).strip().replace("|", "/")
            if re.match("Creating|Installing|Serving", text):
                text = re.sub(r" (in|on) \S+.*| \(.*", "", text)
                steps.append((round(time.monotonic() - start, 1), text))

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        reader.join(timeout=10)


def _first_face(port: int, sample: Path, start: float) -> dict[str, Any]:
    address = f"http://127.0.0.1:{port}/predict"
    while time.monotonic() - start < LIMIT_S:
        try:
            response = requests.post(
                address,
                files={"image": sample.read_bytes()},
                data={"face_detector": "accurate", "return_image": "false"},
                auth=CREDENTIALS,
                timeout=60,
            )
        except requests.ConnectionError:
            time.sleep(0.2)
            continue
        response.raise_for_status()
        (face,) = response.json()["details"]
        return {name: face[name] for name in ("age", "gender")}
    raise RuntimeError(f"no answer within {LIMIT_S} s")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report-only", action="store_true", help="write the stored results")
    if not parser.parse_args().report_only:
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_section(DOCUMENT, "first-answer", report(results))
    print(report(results))


if __name__ == "__main__":
    main()
