"""cloudbuild.yaml is valid, its scripts are sound, and no revision gets traffic before its test."""

import re
import shutil
from pathlib import Path

import pytest

from tests.infra.tools import (
    CLOUDBUILD,
    ROOT,
    cloudbuild,
    cloudbuild_steps,
    gcloud_commands,
    lint_gcloud,
    program,
    run,
)


def check_schema(path: Path) -> tuple[int, str]:
    return run(program("check-jsonschema"), "--builtin-schema", "vendor.cloudbuild", path)


def check_script(text: str, tmp_path: Path) -> tuple[int, str]:
    path = tmp_path / "script.sh"
    path.write_text(text, encoding="utf-8")
    return run(program("shellcheck"), "--severity=style", path)


def comes_before(first: str, then: str) -> bool:
    waits: list[str] = cloudbuild_steps()[then]["waitFor"]
    return first in waits or any(comes_before(first, w) for w in waits if w != "-")


def test_is_valid() -> None:
    status, output = check_schema(CLOUDBUILD)
    assert status == 0, output


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    waitFor: [smoke-test]", "    waitsFor: [smoke-test]"),
        ("logging: CLOUD_LOGGING_ONLY", "logging: NOWHERE"),
        ("machineType: E2_HIGHCPU_8", "machineType: [E2_HIGHCPU_8]"),
    ],
)
def test_a_mistake_is_caught(old: str, new: str, tmp_path: Path) -> None:
    text = CLOUDBUILD.read_text(encoding="utf-8")
    assert old in text
    bad = tmp_path / "cloudbuild.yaml"
    bad.write_text(text.replace(old, new), encoding="utf-8")
    assert check_schema(bad)[0] != 0


def test_traffic_moves_last() -> None:
    for first in set(cloudbuild_steps()) - {"traffic"}:
        assert comes_before(first, "traffic"), first


def test_every_substitution_is_described_and_used() -> None:
    build = cloudbuild()
    environment = dict(item.split("=", 1) for item in build["options"]["env"])
    used = set(re.findall(r"\$\{(_\w+)\}", " ".join(environment.values())))
    assert used == set(build["substitutions"])
    text = CLOUDBUILD.read_text(encoding="utf-8")
    for name in build["substitutions"]:
        assert re.search(rf"^  {name}: .*  # \S", text, re.MULTILINE), name


def test_every_variable_is_set_and_used() -> None:
    build = cloudbuild()
    set_variables = {item.split("=", 1)[0] for item in build["options"]["env"]}
    code = " ".join(step["script"] for step in build["steps"])
    code += (ROOT / "container" / "smoke_test.py").read_text(encoding="utf-8")
    read = set(re.findall(r"\$\{?([A-Z]+\w*)", code)) | set(
        re.findall(r"environ\[['\"](\w+)['\"]\]", code)
    )
    assert read == set_variables


@pytest.mark.parametrize("name", list(cloudbuild_steps()))
def test_scripts_are_sound(name: str, tmp_path: Path) -> None:
    script = cloudbuild_steps()[name]["script"]
    assert "set -euo pipefail" in script
    status, output = check_script(script, tmp_path)
    assert status == 0, output


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        pytest.param(*("candidate", '"$SERVICE"', "$SERVICE", "SC2086"), id="word splitting"),
        pytest.param("build", "base=$(", "bass=$(", "SC2034", id="an unused variable"),
        pytest.param("traffic", "exit 0", "(exit 0", "SC1073", id="a syntax error"),
    ],
)
def test_a_mistake_in_a_script_is_caught(
    name: str, old: str, new: str, rule: str, tmp_path: Path
) -> None:
    script = cloudbuild_steps()[name]["script"]
    assert old in script
    status, output = check_script(script.replace(old, new), tmp_path)
    assert status != 0
    assert rule in output


def test_gcloud_knows_every_command(tmp_path: Path) -> None:
    commands = [c for step in cloudbuild_steps().values() for c in gcloud_commands(step["script"])]
    assert len(commands) >= 6
    assert lint_gcloud(commands, tmp_path) == []


def test_a_flag_that_gcloud_does_not_know_is_caught(tmp_path: Path) -> None:
    (finding,) = lint_gcloud(["gcloud run deploy service --region=x --no-trafic"], tmp_path)
    assert "--no-trafic" in finding


def uploaded(folder: Path) -> set[str]:
    status, output = run(program("gcloud"), "meta", "list-files-for-upload", folder)
    assert status == 0, output
    return set(output.split("\n"))


def test_what_the_build_needs_is_uploaded() -> None:
    weights = {f"modelbuild/own/{n}.npz" for n in ("agn-v2", "agn-v2-research")}
    needed = {"Dockerfile", ".dockerignore", "Makefile", "function/main.py", "tests/conftest.py"}
    files = uploaded(ROOT)
    assert needed | weights <= files
    assert not [name for name in files if name.endswith((".tflite", ".pb", ".pyc"))]


def test_secret_and_large_files_are_not_uploaded(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gcloudignore", tmp_path)
    example = "terraform/envs/example"
    secret = {f"{example}/terraform.tfvars", f"{example}/terraform.tfstate", ".git/config"}
    large = {".venv/bin/python", "function/age_gender/models/agn-v2.tflite"}
    plain = {f"{example}/terraform.tfvars.example", "modelbuild/models.toml"}
    for name in secret | large | plain:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert uploaded(tmp_path) & (secret | large | plain) == plain
