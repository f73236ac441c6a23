"""The Cloud Build files are valid, their scripts are sound, and nothing is released untried."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from container import release
from tests.infra.tools import (
    CLOUDBUILD,
    CLOUDBUILD_TEST,
    ROOT,
    TERRAFORM,
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


LIMITS = {"cpu": "1", "memory": "1Gi"}
COMPONENTS = {
    "slim": set[str](),
    "debian_component_based": {"alpha", "beta", "gke-gcloud-auth-plugin", "local-extract"},
}
"""Optional components in the images of google-cloud-cli, by tag, after their Dockerfiles."""


@cache
def sdk_root() -> Path:
    status, output = run(program("gcloud"), "info", "--format=value(installation.sdk_root)")
    assert status == 0, output
    return Path(output.splitlines()[-1])


def needed_components(command: str) -> set[str]:
    """Optional components that a gcloud command asks for, as its own source says."""
    words = command.split()[1:]
    needed = {word for word in words[:1] if word in ("alpha", "beta")}
    path = sdk_root() / "lib" / "surface"
    for word in words[len(needed) :]:
        path /= word.replace("-", "_")
        if path.with_suffix(".py").exists():
            code = path.with_suffix(".py").read_text(encoding="utf-8")
            return needed | set(re.findall(r"EnsureInstalled\w*\(\['([\w-]+)'", code))
    return needed


def missing_components(steps: dict[str, dict[str, Any]]) -> list[str]:
    """Components that steps need and their images lack."""
    found = []
    for name, step in steps.items():
        image, _, tag = step["name"].rpartition(":")
        commands = gcloud_commands(step["script"])
        if commands and not image.endswith("/google-cloud-cli"):
            found.append(f"{name}: there is no gcloud in {step['name']}")
        elif commands:
            needed = set().union(*map(needed_components, commands))
            found += [f"{name}: {missing}" for missing in sorted(needed - COMPONENTS[tag])]
    return found


def test_images_of_steps_have_the_components_that_they_need() -> None:
    steps = cloudbuild_steps()
    assert missing_components(steps) == []
    scan = steps["vulnerabilities"]
    for wrong, complaint in {
        scan["name"].replace("debian_component_based", "slim"): "local-extract",
        "gcr.io/cloud-builders/docker": "there is no gcloud in gcr.io/cloud-builders/docker",
    }.items():
        changed = {"vulnerabilities": {**scan, "name": wrong}}
        assert missing_components(changed) == [f"vulnerabilities: {complaint}"]
    beta = scan["script"].replace("gcloud artifacts", "gcloud beta artifacts")
    slim = {"name": "x/google-cloud-cli:slim", "script": beta}
    assert "a: beta" in missing_components({"a": slim})


@pytest.mark.parametrize("path", [CLOUDBUILD, CLOUDBUILD_TEST])
def test_is_valid(path: Path) -> None:
    status, output = check_schema(path)
    assert status == 0, output


def test_tests_run_as_somebody_who_may_only_log() -> None:
    (step,) = cloudbuild(CLOUDBUILD_TEST)["steps"]
    assert "make test" in step["script"]
    assert not [s for s in cloudbuild_steps().values() if "make" in s["script"].split()]
    text = (TERRAFORM / "envs/example/build.tf").read_text(encoding="utf-8")
    grants = re.findall(
        r'^resource "google_\w+_iam_member" "(\w+)" \{\n(.*?)^\}', text, re.M | re.S
    )
    roles = {name: re.findall(r'"(roles/[\w.]+)"', body) for name, body in grants
             if "google_service_account.test" in body}  # fmt: skip
    assert roles == {
        "test_logs": ["roles/logging.logWriter"],
        "sources_read": ["roles/storage.objectViewer"],
        "logs_written": ["roles/storage.admin"],  # of the bucket of logs
    }


def test_logs_are_shown_while_a_build_runs() -> None:
    for path in (CLOUDBUILD, CLOUDBUILD_TEST):
        # gcloud shows what is in Cloud Storage only.
        assert cloudbuild(path)["options"]["logging"] in ("LEGACY", "GCS_ONLY")
    assert "--gcs-log-dir=" in (TERRAFORM / "envs/example/build.tf").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    waitFor: [sbom]", "    waitsFor: [sbom]"),
        ("logging: LEGACY", "logging: NOWHERE"),
        ("machineType: E2_HIGHCPU_8", "machineType: [E2_HIGHCPU_8]"),
    ],
)
def test_a_mistake_is_caught(old: str, new: str, tmp_path: Path) -> None:
    text = CLOUDBUILD.read_text(encoding="utf-8")
    assert old in text
    bad = tmp_path / "cloudbuild.yaml"
    bad.write_text(text.replace(old, new), encoding="utf-8")
    assert check_schema(bad)[0] != 0


def test_the_release_comes_last() -> None:
    for first in set(cloudbuild_steps()) - {"release"}:
        assert comes_before(first, "release"), first


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
    for name in ("release.py", "smoke_test.py"):
        code += (ROOT / "container" / name).read_text(encoding="utf-8")
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
        pytest.param(*("sbom", '"$image"', "$image", "SC2086"), id="word splitting"),
        pytest.param("build", "base=$(", "bass=$(", "SC2034", id="an unused variable"),
        pytest.param("release", "exit 0", "(exit 0", "SC1073", id="a syntax error"),
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
    assert len(commands) >= 2
    assert lint_gcloud([*commands, *released_with()], tmp_path) == []


def released_with() -> list[str]:
    """The gcloud commands that a release calls, with all their options."""
    calls: list[str] = []

    def gcloud(*words: str) -> str:
        calls.append("gcloud " + " ".join(words))
        task = {"serviceAccountName": "a", "containers": [{"resources": {"limits": LIMITS}}]}
        job = {"spec": {"template": {"spec": {"template": {"spec": task}}}}}
        status = {
            "latestCreatedRevisionName": "r",
            "traffic": [{"revisionName": "q", "percent": 1}],
        }
        containers = [{"image": "image"}]
        service = {
            "metadata": {},
            "spec": {"template": {"spec": {"containers": containers}}},
            "status": status,
        }
        return json.dumps(job if "jobs" in words else service)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(release, "gcloud", gcloud)
        patched.setattr(release, "request_prediction", lambda *_: None)
        service, job = release.Service("s", "r", "t"), release.Job("j", "r")
        release.release([service], job, "image", "t")
        service.clean_up()
    return calls


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
