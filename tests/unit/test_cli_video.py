"""Videos and cameras, through the command line and real files."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.cli import video
from tests.unit.models import all_models
from tests.unit.pictures import decoded, noise, portrait
from tests.unit.test_cli import rows, run

RATE = 10.0
KINDS = {".mp4": "mp4v", ".avi": "MJPG", ".mov": "mp4v", ".mkv": "mp4v", ".mjpg": "MJPG"}


def film(path: Path, *scenes: tuple[NDArray[np.uint8], float]) -> Path:
    """Write a video that shows each image for some seconds."""
    kind = KINDS[path.suffix.lower()]
    height, width = scenes[0][0].shape[:2]
    code = cv2.VideoWriter.fourcc(*kind)
    writer = cv2.VideoWriter(str(path), code, RATE, (width, height))
    assert writer.isOpened()
    for image, seconds in scenes:
        for _ in range(round(seconds * RATE)):
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(autouse=True)
def _models() -> None:
    all_models()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A portrait for a little over two seconds, then black for one."""
    return film(tmp_path / "clip.mp4", (portrait(), 2.1), (portrait() * 0, 1.0))


def test_a_frame_each_second(clip: Path) -> None:
    result = run("predict", clip, "--json")
    assert result.exit_code == 0, result.output
    results = rows(result)
    assert [row["seconds"] for row in results] == [0, 1, 2, 3]
    assert [len(row["faces"]) for row in results] == [1, 1, 1, 0]
    assert {row["file"] for row in results} == {str(clip)}
    assert "4 pictures" in result.stderr


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        ("0.5", [0, 0.5, 1, 1.5, 2, 2.5, 3]),
        ("1500ms", [0, 1.5, 3]),
        ("2s", [0, 2]),
        ("0.05s", [n / 10 for n in range(31)]),
        ("0", [n / 10 for n in range(31)]),
        ("0.25s", [0, 0.3, 0.5, 0.8, 1, 1.3, 1.5, 1.8, 2, 2.3, 2.5, 2.8, 3]),
        ("1h", [0]),
    ],
)
def test_sampling(clip: Path, every: str, seconds: list[float]) -> None:
    with video.opened_video(clip) as capture:
        assert video.duration(capture) == pytest.approx(3.1)
        parsed = {"1500ms": 1.5, "1h": 3600.0}.get(every) or float(every.rstrip("s"))
        samples = list(video.sample_video(capture, parsed, max_pixels=10**6))
    assert [sample.seconds for sample in samples] == pytest.approx(seconds)
    first = samples[0].image
    assert first.shape == portrait().shape
    assert first.dtype == np.uint8
    assert abs(first.astype(int) - portrait()).mean() < 8, "upright, and red is red"


def test_times_are_read_from_the_command_line(clip: Path) -> None:
    results = rows(run("predict", clip, "--json", "--every", "1500ms", "--frames", "2"))
    assert [row["seconds"] for row in results] == [0, 1.5]


@pytest.mark.parametrize("suffix", [s for s in KINDS if s != ".mp4"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    path = film(tmp_path / f"Clip 1 %03d{suffix.upper()}", (portrait(), 2.5))
    results = rows(run("predict", path, "--json", "--frames", "1"))
    assert [len(row["faces"]) for row in results] == [1]


def test_a_container_without_timestamps_uses_the_default_rate(tmp_path: Path) -> None:
    path = film(tmp_path / "raw.mjpg", (portrait(), 2.5))
    with video.opened_video(path) as capture:
        assert video.duration(capture) is None
        samples = list(video.sample_video(capture, 0.4, max_pixels=10**6))
    assert [sample.seconds for sample in samples] == pytest.approx([0, 0.4, 0.8])


def test_copies_of_frames_have_names_of_their_own(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("predict", clip, "--every", "2s", "--draw", out, "--sheet", tmp_path / "s.html")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in out.iterdir())
    assert names == ["clip.mp4.000000.000s.drawn.jpg", "clip.mp4.000002.000s.drawn.jpg"]
    assert decoded((out / names[0]).read_bytes()).shape == portrait().shape
    assert "@ 2.00 s" in (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "clip.mp4 @ 0.00 s" in result.stdout


def test_unreadable_videos_do_not_stop_the_rest(clip: Path, tmp_path: Path) -> None:
    text, empty, cut = (tmp_path / f"{name}.mp4" for name in ("text", "empty", "cut"))
    text.write_text("not a video " * 100)
    empty.touch()
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    result = run("predict", text, empty, cut, tmp_path / "no.mp4", clip, "--json", "--frames", "1")
    assert result.exit_code == 1
    assert [row["file"] for row in rows(result)] == [str(clip)]
    stderr = " ".join(result.stderr.split())
    for path in (text, empty, cut):
        assert f"{path}: this is not a readable video, or it is damaged" in stderr
    assert "no.mp4: there is no such file" in stderr
    assert "4 failed" in stderr


def test_a_truncated_video_is_reported_after_its_frames(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.avi", (portrait(), 4.0))
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert run("predict", whole, "--json").exit_code == 0
    result = run("predict", cut, "--json")
    assert result.exit_code == 1
    assert [row["seconds"] for row in rows(result)] == [0, 1]
    assert re.search(r"breaks off after 1\.\d of 4\.0 seconds", result.stderr)


def test_a_video_is_bounded_in_pixels(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_PIXELS", "89999")
    result = run("predict", clip, "--json")
    assert result.exit_code == 1
    assert "300 x 300" in result.stderr


def test_a_missing_camera() -> None:
    result = run("predict", "--camera", "97")
    assert result.exit_code == 1
    assert "camera 97: " in result.stderr
    assert "Traceback" not in result.output


class TestCamera:
    """With a video file in place of a device, which test machines lack."""

    @pytest.fixture(autouse=True)
    def _film_as_camera(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = film(tmp_path / "camera.avi", (portrait(), 1.0), (noise(300, 300), 0.5))
        real = cv2.VideoCapture
        monkeypatch.setattr(cv2, "VideoCapture", lambda number: real(str(path)))

    def test_a_line_per_frame(self) -> None:
        result = run("predict", "--camera", "0", "--frames", "2", "--every", "0")
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("camera 0 @ 0.")
        assert "face 1, " in lines[0]
        assert "2 faces in 2 pictures" in result.stderr

    def test_copies_of_two_sessions_do_not_collide(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        arguments = ["predict", "--camera", "2", "--frames", "1", "--json", "--blur", str(out)]
        (row,) = rows(run(*arguments))
        assert row["file"] == "camera 2"
        assert row["seconds"] < 60
        (name,) = (path.name for path in out.iterdir())
        assert name.startswith("camera-2-20")
        assert name.endswith("s.blurred.jpg")

    def test_a_camera_that_stops_is_a_failure_and_its_frames_are_kept(self, tmp_path: Path) -> None:
        sheet = tmp_path / "s.html"
        result = run("predict", "--camera", "0", "--every", "0", "--json", "--sheet", sheet)
        assert result.exit_code == 1
        assert len(rows(result)) == 15
        assert "was it unplugged" in result.stderr
        assert "10 faces in 15 pictures" in sheet.read_text(encoding="utf-8")
