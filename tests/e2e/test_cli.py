"""The command line as a process: signals, pipes, closed streams, terminals, odd names."""

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import requests

from testing.photos import photo
from testing.service import ROOT, free_port

RUNNER = ROOT / "local_runner.py"
PREDICT = [sys.executable, str(RUNNER), "predict"]
MANY = 300


def start(*arguments: str | Path, **more: Any) -> "subprocess.Popen[bytes]":
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "preexec_fn": handle_ctrl_c,
        **more,
    }
    return subprocess.Popen([*PREDICT, *map(str, arguments)], **options)


def handle_ctrl_c() -> None:
    """Undo an inherited SIG_IGN, which shells set for background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "astronaut.png"
    path.write_bytes(photo("astronaut").data)
    return path


@pytest.fixture
def many(portrait: Path, tmp_path: Path) -> Path:
    """More images than are processed before a test interrupts."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"{number:03d}.png").hardlink_to(portrait)
    return folder


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_keeps_results_and_leaves_none_incomplete(
    many: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    out, sheet = tmp_path / "out", tmp_path / "sheet.html"
    process = start(many, "--json", "--draw", out, "--blur", out, "--sheet", sheet)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(number)
    rest, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    results = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert 3 <= len(results) < MANY
    assert b"stopped; finished results are kept" in stderr
    assert b"Traceback" not in stderr
    names = sorted(path.name for path in out.iterdir())
    stems = [Path(row["file"]).stem for row in results]
    assert names == sorted(f"{s}.{kind}.jpg" for s in stems for kind in ("blurred", "drawn"))
    assert all(cv2.imread(str(out / name)) is not None for name in names)
    assert sheet.read_text(encoding="utf-8").count("<img ") == len(results)


def test_a_stopped_table_is_printed(many: Path) -> None:
    process = start(many, "--draw", many.parent / "out")
    first = many.parent / "out" / "000.drawn.jpg"
    wait_for(lambda: first.exists(), "the first copy", process)
    process.send_signal(signal.SIGINT)
    table, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert b"000.png" in table
    assert table.count(b".png") == len(list(first.parent.iterdir()))


def test_a_reader_that_closes_the_pipe(many: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.html"
    process = start(many, "--json", "--sheet", sheet)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["file"].endswith("000.png")
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read().decode()
    assert process.wait(timeout=60) == 141
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr
    assert sheet.exists()


def test_stopping_during_the_imports(portrait: Path, tmp_path: Path) -> None:
    """Before and after the command line is parsed."""
    for module in ("typer", "cv2"):
        folder = tmp_path / module
        folder.mkdir()
        code = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise ImportError\n"
        (folder / f"{module}.py").write_text(code)
        process = start(portrait, env={**os.environ, "PYTHONPATH": str(folder)})
        _, stderr = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGINT, 130)
        assert stderr == b""


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams(portrait: Path, tmp_path: Path, closed: str) -> None:
    out = tmp_path / "out"
    arguments = [*PREDICT, str(portrait), "--csv", "--draw", str(out)]
    command = f'exec "$0" "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, *arguments], stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    copy = cv2.imread(str(out / "astronaut.drawn.jpg"))
    assert copy is not None
    assert copy.shape == (512, 512, 3)
    assert portrait.read_bytes() == photo("astronaut").data


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: there is no /dev/full")
@pytest.mark.parametrize("kind", [[], ["--json"], ["--csv"]])
def test_a_full_disk_is_reported(portrait: Path, kind: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        process = start(portrait, *kind, stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"No space left on device" in stderr
    assert b"Traceback" not in stderr


def test_a_picture_on_standard_input(portrait: Path, tmp_path: Path) -> None:
    with portrait.open("rb") as file:
        process = start("-", "--json", "--draw", tmp_path, stdin=file)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    row = json.loads(stdout)
    assert (row["file"], len(row["faces"])) == ("-", 1)
    assert (tmp_path / "stdin.drawn.jpg").exists()


def test_nothing_on_standard_input(portrait: Path) -> None:
    process = start("-", portrait, "--json", stdin=subprocess.DEVNULL)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(stdout.splitlines()) == 1
    assert b"-: the picture is empty" in stderr


def test_standard_input_that_never_ends(portrait: Path) -> None:
    with open("/dev/zero", "rb") as zeros:
        process = start("-", portrait, "--json", stdin=zeros)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(stdout.splitlines()) == 1
    assert b"MAX_PICTURE_BYTES" in stderr


def in_a_terminal(arguments: list[str], results: Path | None) -> str:
    """What a terminal shows; with ``results``, standard output goes there instead."""
    ours, theirs = pty.openpty()
    with open(results or os.devnull, "wb") as file:
        process = subprocess.Popen(
            [*PREDICT, *arguments],
            stdin=theirs,
            stdout=file if results else theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) in (0, 1)
    return shown.decode(errors="replace")


def test_progress_and_results_do_not_mix(many: Path, tmp_path: Path) -> None:
    for extra in many.glob("0[1-9]*"):
        extra.unlink()
    for extra in many.glob("[12]*"):
        extra.unlink()
    (many / "bad.png").write_bytes(b"<html>")
    results = tmp_path / "faces.jsonl"
    shown = in_a_terminal([str(many), "--json"], results)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(rows) == 10
    assert "━" in shown
    assert "bad.png" in shown
    assert "INFO:" not in shown, "LiteRT's line would break the progress"
    assert '"faces"' not in shown


def test_rows_in_a_terminal_show_progress_themselves(many: Path) -> None:
    files = [str(many / f"{number:03d}.png") for number in range(4)]
    shown = in_a_terminal([*files, "--csv"], None)
    assert shown.count(",512,512,") == 4
    assert "━" not in shown
    assert "━" in in_a_terminal(files, None)


def test_standard_input_that_is_a_terminal() -> None:
    assert "nothing is piped into standard input" in in_a_terminal(["-"], None)


def test_names_of_any_bytes_come_out_as_they_are(portrait: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = [b"\xff\xfe.png", "new\nline ☺.png".encode(), b" -x.png", b"a" * 250 + b".png"]
    for name in names:
        os.link(os.fsencode(portrait), os.fsencode(folder) + b"/" + name)
    out = tmp_path / "out"
    process = start(folder, "--csv", "--draw", out)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    table = csv.DictReader(io.StringIO(stdout.decode(errors="surrogateescape")))
    assert {os.fsencode(Path(row["file"]).name) for row in table} == set(names)
    assert len(list(out.iterdir())) == len(names)
    table_text, stderr = start(folder, env={**os.environ, "PYTHONUTF8": "1"}).communicate(
        timeout=60
    )
    assert rb"\udcff\udcfe.png" in table_text, stderr
    assert rb"new\nline" in table_text


def test_a_python_without_the_packages(portrait: Path) -> None:
    command = [sys.executable, "-I", "-S", str(RUNNER), "predict", str(portrait)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "run `make models` once" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_survives_broken_native_code(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    done = subprocess.run(
        [sys.executable, str(RUNNER), "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "libGL.so.1" in checks["opencv-python-headless"]["found"]
    assert checks["opencv-python-headless"]["status"] == "failed"
    assert checks["numpy"]["status"] == "ok"


def wait_for(
    condition: Callable[[], object], what: str, process: "subprocess.Popen[bytes]"
) -> None:
    """Poll for at most a minute, as long as the process runs."""
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, f"the process ended before {what}"
        time.sleep(0.1)
    raise AssertionError(f"no {what} in a minute")


@pytest.fixture
def own_checkout(tmp_path: Path) -> Path:
    """A copy of what `serve` needs, to change."""
    copy = tmp_path / "a checkout"
    models = ROOT / "function" / "age_gender" / "models"
    shutil.copytree(
        ROOT / "function",
        copy / "function",
        ignore=lambda folder, _: ["models"] if Path(folder).name == "age_gender" else [],
    )
    (copy / "function" / "age_gender" / "models").symlink_to(models)
    shutil.copy(RUNNER, copy)
    return copy


def test_serving_restarts_when_a_file_changes(own_checkout: Path, tmp_path: Path) -> None:
    port = free_port()
    package = own_checkout / "function" / "age_gender" / "__init__.py"
    text = package.read_text(encoding="utf-8")

    def version() -> str:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/openapi.json", timeout=5)
        except requests.ConnectionError:
            return ""
        return str(answer.json()["info"]["version"])

    def change(line: str) -> None:
        package.write_text(re.sub("^__version__ = .*", line, text, flags=re.M), encoding="utf-8")

    command = [sys.executable, "local_runner.py", "serve", "--reload", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=own_checkout, stdout=log, stderr=log, preexec_fn=handle_ctrl_c
        )
    try:
        wait_for(version, "first answer", process)
        time.sleep(1)  # watching starts a little later
        change('__version__ = "7.7.7"')
        wait_for(lambda: version() == "7.7.7", "new version", process)
        change("__version__ = (")
        wait_for(lambda: not version(), "end of the broken version", process)
        change('__version__ = "8.8.8"')
        wait_for(lambda: version() == "8.8.8", "version after a mistake", process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert version() == "", "nothing is left running"
    assert "__init__.py changed: restarting" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("width", [40, 60, 100])
def test_help_names_every_option_in_a_narrow_terminal(width: int) -> None:
    done = subprocess.run(
        [*PREDICT, "--help"],
        env={**os.environ, "COLUMNS": str(width), "TERMINAL_WIDTH": str(width)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # Click leaves ten characters to the text beside an option, whatever the width.
    assert all(len(line) <= max(width, 42) for line in done.stdout.splitlines())
    for option in ("--confidence", "--detector", "--min-face", "--overwrite", "--camera"):
        assert option in done.stdout
