"""READMEs of the modules and lock files are those of the modules as they are."""

import re
from pathlib import Path

import pytest

from tests.infra.readmes import readme
from tests.infra.tools import MODULES, TERRAFORM, change, copy_of_terraform

ROOTS = ("envs/example",)


def outdated(terraform: Path) -> list[str]:
    """Modules whose README is not what it would be written as now."""
    folders = [terraform / "modules" / name for name in MODULES]
    return [
        folder.name
        for folder in folders
        if not (folder / "README.md").exists()
        or (folder / "README.md").read_text(encoding="utf-8") != readme(folder)
    ]


def lock_problems(versions: str, lock: str) -> list[str]:
    """What a lock file lacks of the providers that a configuration asks for."""
    wanted = set(re.findall(r'source  = "([\w/-]+)"', versions))
    blocks = re.findall(r'^provider "[\w.]+/([\w/-]+)" \{\n(.*?)^\}', lock, re.M | re.S)
    found = [f"{name} is not locked" for name in sorted(wanted - {name for name, _ in blocks})]
    found += [f"{name} has no hashes" for name, body in blocks if '"h1:' not in body]
    return found


def test_readmes_are_up_to_date(tmp_path: Path) -> None:
    assert outdated(TERRAFORM) == [], "run `python -m tests.infra.readmes`"
    terraform = copy_of_terraform(tmp_path)
    change(terraform / "modules/network/variables.tf", '"10.20.0.0/22"', '"10.30.0.0/22"')
    change(terraform / "modules/project/outputs.tf", "The APIs that", "APIs which")
    (terraform / "modules/gke_gpu/README.md").unlink()
    assert sorted(outdated(terraform)) == ["gke_gpu", "network", "project"]


def test_what_a_lock_file_lacks_is_found() -> None:
    versions = (
        'google = {\n  source  = "hashicorp/google"\n}\nr = {\n  source  = "hashicorp/random"'
    )
    lock = 'provider "registry/hashicorp/google" {\n  version = "8.7.0"\n  hashes = [\n  ]\n}\n'
    assert lock_problems(versions, lock) == [
        "hashicorp/random is not locked",
        "hashicorp/google has no hashes",
    ]


@pytest.mark.parametrize("folder", ROOTS)
def test_lock_files_are_complete(folder: str) -> None:
    lock = TERRAFORM / folder / ".terraform.lock.hcl"
    if not lock.exists():
        pytest.skip(
            "NOT CHECKED: lock files: none is committed, for want of a registry of providers; "
            "see docs/deploy.md"
        )
    versions = (TERRAFORM / folder / "versions.tf").read_text(encoding="utf-8")
    assert lock_problems(versions, lock.read_text(encoding="utf-8")) == []
