"""``manifest.json``: checksums of what was built here, to verify it before use."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelbuild.catalogue import Model
from modelbuild.fetch import sha256

MANIFEST = "manifest.json"
SCRATCH = ".build-"
"""Prefix of temporary folders in the models folder."""


@dataclass(frozen=True)
class FileRecord:
    """One file of a built model."""

    sha256: str
    size: int


@dataclass(frozen=True)
class BuiltModel:
    """One model as it was built.

    Attributes:
        name: as in the catalogue.
        version: as in the catalogue.
        fingerprint: of the catalogue entry it was built from.
        source: package, artefact and the checksums that were verified.
        converter: library -> version.
        files: path relative to the models folder, with slashes -> checksum and size in bytes.
    """

    name: str
    version: str
    fingerprint: str
    source: Mapping[str, Any]
    converter: Mapping[str, str]
    files: Mapping[str, FileRecord]


def record_files(folder: Path, outputs: tuple[str, ...]) -> dict[str, FileRecord]:
    """Record all files of the outputs (files or folders) in `folder`."""
    paths = []
    for output in outputs:
        path = folder / output
        paths += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return {
        path.relative_to(folder).as_posix(): FileRecord(sha256(path), path.stat().st_size)
        for path in paths
    }


def read_manifest(models_dir: Path) -> dict[str, BuiltModel]:
    """Read the built models, by name; a missing or damaged manifest counts as empty."""
    try:
        content = json.loads((models_dir / MANIFEST).read_bytes())
        return {name: _built(record) for name, record in content["models"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_manifest(models_dir: Path, models: Mapping[str, BuiltModel]) -> None:
    """Replace the manifest atomically."""
    content = {"models": {name: asdict(model) for name, model in sorted(models.items())}}
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=models_dir) as scratch:
        path = Path(scratch) / MANIFEST
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        path.replace(models_dir / MANIFEST)


def problems(model: Model, built: BuiltModel | None, models_dir: Path) -> list[str]:
    """List what is wrong with a built model."""
    if built is None:
        return [f"{model.name}: not built"]
    if built.fingerprint != model.fingerprint:
        return [f"{model.name}: built from a different entry of models.toml"]
    wrong = []
    for name, record in built.files.items():
        path = models_dir / name
        if not path.is_file():
            wrong.append(f"{model.name}: {name} is missing")
        elif os.stat(path).st_size != record.size or sha256(path) != record.sha256:
            wrong.append(f"{model.name}: {name} has changed since it was built")
    return wrong


def _built(record: Mapping[str, Any]) -> BuiltModel:
    files = {name: FileRecord(**entry) for name, entry in record["files"].items()}
    return BuiltModel(**{**record, "files": files})
