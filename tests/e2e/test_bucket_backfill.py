"""The back-fill as it runs: as a job over a real storage server, and over folders."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from age_gender.batch.backfill import Summary, run
from age_gender.settings import Settings
from testing.buckets import OUT, SOURCE, BucketServer, Courier, Proxy, emulated
from testing.photos import decoded, encoded, resized
from testing.service import ROOT, Service

IMAGES = 500
BROKEN = 7
SETTINGS = Settings(annotate_storage_timeout=20.0)


def variants(count: int) -> Iterator[tuple[str, bytes]]:
    """Small distinct images, whose names do not come in sorted order."""
    faces = [decoded(resized("astronaut", 96, 96)), decoded(resized("grace_hopper", 96, 112))]
    for i in range(count):
        shade = (i % 250, i // 250 % 250, 128)
        image = cv2.copyMakeBorder(faces[i % 2], 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=shade)
        yield f"{i % 7}/é {i}#{i * 7919 % 1000}.jpg", encoded(np.asarray(image, np.uint8))


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with BucketServer(SOURCE, OUT, "other") as running, emulated(running.url):
        yield running


def job(server_url: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    settings = {"STORAGE_EMULATOR_HOST": server_url, "INPUT_BUCKET": SOURCE, "OUTPUT_BUCKET": OUT}
    return subprocess.Popen(
        [sys.executable, "-m", "age_gender.batch.backfill", *arguments],
        cwd=ROOT / "function",
        env={**os.environ, **settings, **environment},
        stderr=subprocess.PIPE,
    )


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.decode()


def results_of(contents: dict[str, bytes]) -> dict[str, bytes]:
    """All but manifests and summaries."""
    return {n: d for n, d in contents.items() if not n.startswith(("manifest-", "summary-"))}


def rows_of(contents: dict[str, bytes]) -> list[bytes]:
    return sorted(
        line for n, d in contents.items() if n.startswith("manifest-") for line in d.splitlines()
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_four_shards_one_of_them_killed_equal_one(server: BucketServer) -> None:
    for name, data in variants(IMAGES - BROKEN):
        server.put(name, data)
    for i in range(BROKEN):
        server.put(f"broken/{i}.jpg", b"not an image" * i)
    whole = run(f"gs://{SOURCE}", "gs://other", SETTINGS)
    assert (whole.pictures, whole.refused, whole.failed) == (IMAGES, BROKEN, 0)
    assert whole.annotated == IMAGES - BROKEN
    assert whole.complete

    shard = {"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "4"}
    killed = job(server.url, **shard)
    wait_for(lambda: len(server.names()) > 20)
    killed.kill()
    assert ended(killed)[0] < 0
    left = server.names()
    assert 20 < len(left) < IMAGES / 4
    assert not [name for name in left if name.startswith(("manifest-", "summary-"))]

    summaries = [
        run(f"gs://{SOURCE}", f"gs://{OUT}", SETTINGS, shard=i, shards=4) for i in (0, 1, 3)
    ]
    code, log = ended(job(server.url, **shard))
    assert code == 0, log
    contents = server.contents()
    restarted = json.loads(contents["summary-00002-of-00004.json"])
    assert restarted["done_before"] == sum(1 for n in left if not n.endswith("error.json"))
    assert restarted["complete"]
    assert sum(s.pictures for s in summaries) + restarted["pictures"] == IMAGES
    assert min(s.pictures for s in summaries) > IMAGES / 8
    assert results_of(contents) == results_of(server.contents("other"))
    assert rows_of(contents) == rows_of(server.contents("other"))
    last = json.loads(log.splitlines()[-1])
    assert (last["severity"], last["message"]) == ("INFO", "back-fill ended")


def test_a_folder_gives_the_same_bytes_as_a_bucket(server: BucketServer, tmp_path: Path) -> None:
    folder = tmp_path / SOURCE
    images = [*variants(12), ("text.txt", b"text"), ("a.jpg", b""), ("a.b/c.jpg", b"x")]
    for name, data in images:
        described = _put_within_a_second(server, name, data)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # A folder's generations are modification times in microseconds.
        os.utime(path, ns=(0, int(described["generation"]) * 1000))
    settings = SETTINGS.model_copy(update={"annotate_image": "drawn"})
    in_bucket = run(f"gs://{SOURCE}", f"gs://{OUT}", settings)
    in_folder = run(str(folder), str(tmp_path / "out"), settings)
    files = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    contents = server.contents()
    summary = "summary-00000-of-00001.json"
    assert json.loads(files.pop(summary))["pictures"] == 15
    assert json.loads(contents.pop(summary))["pictures"] == 15
    assert len(contents) == 12 * 2 + 3 + 1
    assert files == contents
    assert [in_bucket.annotated, in_bucket.faces] == [in_folder.annotated, in_folder.faces]
    # And between bucket and folder, both ways.
    run(str(folder), "gs://other", settings)
    run(f"gs://{SOURCE}", str(tmp_path / "across"), settings)
    assert results_of(server.contents("other")) == results_of(contents)
    assert (tmp_path / "across" / "a.jpg").parent.is_dir()
    assert sum(1 for p in (tmp_path / "across").rglob("*") if p.is_file()) == len(contents) + 1


def test_the_trigger_and_the_back_fill_agree(server: BucketServer, tmp_path: Path) -> None:
    uploads = [server.put(name, data) for name, data in variants(6)]
    environment = {
        "STORAGE_EMULATOR_HOST": server.url,
        "OUTPUT_BUCKET": OUT,
        "INPUT_BUCKET": SOURCE,
    }
    with Service(tmp_path / "log", "annotate", **environment) as service:
        Courier(service.url).deliver(uploads[:3])
    by_trigger = server.contents()
    assert len(by_trigger) == 3
    summary = run(f"gs://{SOURCE}", f"gs://{OUT}", SETTINGS)
    assert (summary.done_before, summary.annotated) == (3, 3)
    run(f"gs://{SOURCE}", "gs://other", SETTINGS)
    assert results_of(server.contents()) == results_of(server.contents("other"))
    assert by_trigger.items() <= server.contents().items()


def test_storage_down_ends_the_job_with_an_error_and_without_a_manifest(
    server: BucketServer,
) -> None:
    for name, data in variants(40):
        server.put(name, data)
    with Proxy(server) as proxy:
        proxy.failing["download"] = 503
        code, log = ended(job(proxy.url, ANNOTATE_STORAGE_TIMEOUT="0.3"))
        assert code == 1
        assert "one after another" in log
        assert "Traceback" not in log
        assert server.names() == []
        proxy.failing.clear()
        code, log = ended(job(proxy.url))
        assert code == 0, log
    assert len(server.names()) == 42


def test_one_failing_image_fails_the_job_but_not_the_others(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in variants(10):
        server.put(name, data)
    from age_gender.vision.pipeline import Pipeline

    real, calls = Pipeline.run, iter(range(1000))

    def failing_once(self: Pipeline, *arguments: Any) -> Any:
        if next(calls) == 4:
            raise RuntimeError("a bug")
        return real(self, *arguments)

    monkeypatch.setattr(Pipeline, "run", failing_once)
    counts: list[tuple[int, int | None]] = []

    def progress(summary: Summary) -> None:
        counts.append((summary.pictures, summary.total))

    summary = run(f"gs://{SOURCE}", f"gs://{OUT}", SETTINGS, progress=progress)
    assert (summary.annotated, summary.failed, summary.complete) == (9, 1, False)
    assert counts == [(i, 10) for i in range(1, 11)]
    rows = [json.loads(row) for row in rows_of(server.contents())]
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert (failed["result"], failed["faces"], failed["error_code"]) == (None, [], "error")
    summary = run(f"gs://{SOURCE}", f"gs://{OUT}", SETTINGS)
    assert (summary.done_before, summary.annotated, summary.failed) == (9, 1, 0)
    assert {json.loads(row)["status"] for row in rows_of(server.contents())} == {"annotated"}


def _put_within_a_second(server: BucketServer, name: str, data: bytes) -> dict[str, Any]:
    """Upload until creation time and generation fall into the same second."""
    while True:
        described = server.put(name, data)
        seconds = time.strftime(
            "%Y-%m-%dT%H:%M:%S", time.gmtime(int(described["generation"]) // 1_000_000)
        )
        if described["timeCreated"].startswith(seconds):
            return described
