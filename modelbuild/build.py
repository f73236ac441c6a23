"""Builds the models: ``python -m modelbuild.build``.

Fetches, verifies and converts only what is missing or does not match. Outputs appear under their
names once they are complete.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from modelbuild.catalogue import (
    CATALOGUE,
    MODELS_DIR,
    Committed,
    Model,
    load_catalogue,
)
from modelbuild.convert import convert_in_child
from modelbuild.errors import ModelBuildError, readable_errors
from modelbuild.fetch import (
    Download,
    cache_root,
    cached_members,
    download_with_client,
    fetch,
    sha256,
)
from modelbuild.folders import locked
from modelbuild.manifest import (
    SCRATCH,
    BuiltModel,
    problems,
    read_manifest,
    record_files,
    write_manifest,
)

Convert = Callable[[Model, Path, Path], None]
Log = Callable[[str], None]


def check(models_dir: Path, *, catalogue: Path = CATALOGUE) -> list[str]:
    """List the problems of the models in a folder, one line each.

    Raises:
        ModelBuildError: the catalogue is wrong.
    """
    built = read_manifest(models_dir)
    models = load_catalogue(catalogue).values()
    return [p for model in models for p in problems(model, built.get(model.name), models_dir)]


def build_all(
    models_dir: Path,
    only: Collection[str] | None = None,
    log: Log = print,
    *,
    catalogue: Path = CATALOGUE,
    download: Download = download_with_client,
    convert: Convert = convert_in_child,
) -> list[BuiltModel]:
    """Build the models that are missing or do not match.

    Args:
        models_dir: folder for the outputs and the manifest; made if missing.
        only: names of the models to build; None means all.
        log: called with one line per step.
        catalogue: the models.toml to use.
        download: downloads an artefact from its registry.
        convert: makes a model's outputs from its source.

    Returns:
        The selected models as they now are on disk.

    Raises:
        ModelBuildError: a model cannot be built; its previous outputs are kept.
    """
    selected = _select(load_catalogue(catalogue), only)
    models_dir = models_dir.resolve()
    with readable_errors("models folder"):
        models_dir.mkdir(parents=True, exist_ok=True)
        # Checked without the lock first: usually all is built, and the folder may be read-only.
        if _stale(selected, models_dir):
            with locked(models_dir, SCRATCH):
                for model in _stale(selected, models_dir):
                    _build(model, models_dir, log, download, convert)
        else:
            log(f"models: up to date ({', '.join(model.name for model in selected)})")
        built = read_manifest(models_dir)
    return [built[model.name] for model in selected]


def _select(models: dict[str, Model], only: Collection[str] | None) -> list[Model]:
    unknown = sorted(set(only or ()) - models.keys())
    if unknown:
        raise ModelBuildError(f"unknown model: {', '.join(unknown)}; known: {', '.join(models)}")
    return [model for name, model in models.items() if only is None or name in only]


def _stale(models: Collection[Model], models_dir: Path) -> list[Model]:
    built = read_manifest(models_dir)
    return [model for model in models if problems(model, built.get(model.name), models_dir)]


def _build(model: Model, models_dir: Path, log: Log, download: Download, convert: Convert) -> None:
    source = fetched(model, log, download)
    log(f"{model.name}: converting")
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=models_dir) as name:
        scratch = Path(name)
        target = scratch / "new"
        target.mkdir()
        convert(model, source, target)
        missing = [output for output in model.outputs if not (target / output).exists()]
        if missing:
            raise ModelBuildError(
                f"{model.name}: the conversion did not write " + ", ".join(missing)
            )
        files = record_files(target, model.outputs)
        for output in model.outputs:
            _install(target / output, models_dir / output, scratch)

    # Last: files that the manifest does not describe count as not built.
    built = BuiltModel(
        name=model.name,
        version=model.version,
        fingerprint=model.fingerprint,
        source=model.source.record(),
        converter=_converter_versions(),
        files=files,
    )
    write_manifest(models_dir, {**read_manifest(models_dir), model.name: built})
    size = sum(record.size for record in files.values()) / 1e6
    log(f"{model.name}: wrote {', '.join(model.outputs)} ({size:.1f} MB)")


def fetched(model: Model, log: Log = print, download: Download = download_with_client) -> Path:
    """Return a model's verified source: committed weights, or a folder in the cache.

    Args:
        model: from the catalogue.
        log: called with one line if anything is fetched.
        download: downloads an artefact from its registry.

    Raises:
        ModelBuildError: it is unavailable, or not what the catalogue records.
    """
    if isinstance(model.source, Committed):
        path = model.source.path
        with readable_errors(f"{model.name}: {path.name}"):
            if sha256(path) != model.source.sha256:
                raise ModelBuildError(
                    f"{model.name}: {path.name} does not have the SHA-256 recorded in models.toml"
                )
        return path
    cache = cache_root()
    with readable_errors(f"{model.name}: cache"):
        members = cached_members(model.source, cache)
        if members is None:
            log(f"{model.name}: fetching {model.source}")
            members = fetch(model.source, cache, download)
    return members


def _install(new: Path, target: Path, scratch: Path) -> None:
    """Move an output into place; a folder of that name goes to the scratch folder first."""
    if target.is_dir():  # folders cannot be replaced atomically
        target.rename(scratch / f"old-{target.name}")
    new.replace(target)


def _converter_versions() -> dict[str, str]:
    # A slow import, and most runs have nothing to build.
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for library in ("tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "numpy"):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description="Build the models.")
    parser.add_argument("--models-dir", type=Path, default=MODELS_DIR, help="where to write them")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only this one (repeatable)"
    )
    options = parser.parse_args(arguments)
    # So that SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        build_all(options.models_dir, options.only)
    except ModelBuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing incomplete was kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
