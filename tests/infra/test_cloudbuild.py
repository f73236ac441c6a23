"""cloudbuild.yaml is one, its scripts are scripts, and nothing gets traffic before its test."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.tools import ROOT, gcloud_commands, lint_gcloud, program, run

CLOUDBUILD = ROOT / "cloudbuild.yaml"


def check_schema(path: Path) -> tuple[int, str]:
    return run(program("check-jsonschema"), "--builtin-schema", "vendor.cloudbuild", path)


def steps() -> dict[str, dict[str, Any]]:
    return {step["id"]: step for step in yaml.safe_load(CLOUDBUILD.read_text())["steps"]}


def comes_before(first: str, then: str) -> bool:
    waits: list[str] = steps()[then]["waitFor"]
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
    for first in ("test", "build", "vulnerabilities", "candidate", "smoke-test"):
        assert comes_before(first, "traffic")
    assert not comes_before("traffic", "smoke-test")


def test_every_substitution_is_used_and_every_variable_given() -> None:
    build = yaml.safe_load(CLOUDBUILD.read_text(encoding="utf-8"))
    environment = dict(item.split("=", 1) for item in build["options"]["env"])
    used = set(re.findall(r"\$\{(_\w+)\}", " ".join(environment.values())))
    assert used == set(build["substitutions"])
    scripts = " ".join(step["script"] for step in build["steps"])
    read = set(re.findall(r"\$\{?([A-Z]+\w*)", scripts)) | set(
        re.findall(r"environ\[['\"](\w+)['\"]\]", scripts)
    )
    assert read - {"RepoDigests"} == set(environment)


@pytest.mark.parametrize("name", list(steps()))
def test_scripts_are_scripts(name: str, tmp_path: Path) -> None:
    script = steps()[name]["script"]
    path = tmp_path / "script"
    path.write_text(script, encoding="utf-8")
    status, output = run("bash", "-n", path)
    assert status == 0, output
    assert "set -euo pipefail" in script
    for program_text in re.findall(r"<<'EOF'\n(.*?)^EOF$", script, re.DOTALL | re.MULTILINE):
        ast.parse(program_text)


def test_gcloud_knows_every_command(tmp_path: Path) -> None:
    commands = [c for step in steps().values() for c in gcloud_commands(step["script"])]
    assert len(commands) >= 6
    assert lint_gcloud(commands, tmp_path) == []


def test_a_flag_that_gcloud_does_not_know_is_caught(tmp_path: Path) -> None:
    (found,) = lint_gcloud(["gcloud run deploy service --region=x --no-trafic"], tmp_path)
    assert "--no-trafic" in found


def test_the_vulnerability_step_judges(tmp_path: Path) -> None:
    script = steps()["vulnerabilities"]["script"]
    (judge,) = re.findall(r"<<'EOF'\n(.*?)^EOF$", script, re.DOTALL | re.MULTILINE)
    report = tmp_path / "vulnerabilities.json"
    judge = judge.replace("/workspace/vulnerabilities.json", str(report))

    def verdict(severity: str, fixed: bool) -> int:
        report.write_text(
            f'[{{"noteName": "n", "vulnerability": {{"effectiveSeverity": "{severity}", '
            f'"fixAvailable": {str(fixed).lower()}, "shortDescription": "CVE"}}}}]'
        )
        return run("python3", "-c", judge, "HIGH")[0]

    assert verdict("CRITICAL", True) == 1
    assert verdict("HIGH", True) == 1
    assert verdict("CRITICAL", False) == 0
    assert verdict("MEDIUM", True) == 0
