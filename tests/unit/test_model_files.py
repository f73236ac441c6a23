"""Model files are compared with the checksums of the build."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from age_gender.errors import ModelUnavailable
from age_gender.networks.model_files import MANIFEST, verified

DATA = bytes(range(256)) * 100


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "a.tflite").write_bytes(DATA)
    record = {"sha256": sha256(DATA).hexdigest(), "size": len(DATA)}
    manifest = {"models": {"a": {"files": {"a.tflite": record}}}}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def test_unchanged_file(models: Path) -> None:
    assert verified(models, "a.tflite") == DATA


@pytest.mark.defends("flipped-bit")
def test_flipped_bit(models: Path) -> None:
    damaged = bytearray(DATA)
    damaged[1000] ^= 1
    (models / "a.tflite").write_bytes(damaged)
    with pytest.raises(ModelUnavailable, match=r"a\.tflite has changed since it was built"):
        verified(models, "a.tflite")


def test_missing_and_unknown_files_are_left_to_the_engine(models: Path) -> None:
    (models / "b.tflite").write_bytes(b"anything")
    assert verified(models, "b.tflite") == b"anything"
    (models / "a.tflite").unlink()
    assert verified(models, "a.tflite") is None


def test_without_a_manifest(models: Path) -> None:
    (models / MANIFEST).unlink()
    assert verified(models, "a.tflite") == DATA


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"models": 1}', '{"models": {"a": {"files": {"b": 1}}}}']
)
def test_damaged_manifest(models: Path, text: str) -> None:
    (models / MANIFEST).write_text(text)
    with pytest.raises(ModelUnavailable, match=MANIFEST):
        verified(models, "a.tflite")
