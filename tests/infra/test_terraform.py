"""Terraform accepts the modules, their own tests pass, and mistakes are caught."""

import re
from pathlib import Path

import pytest

from tests.infra import tools
from tests.infra.tools import (
    FOLDERS,
    TERRAFORM,
    change,
    copy_of_terraform,
    terraform_check,
    with_stand_ins,
)

_BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


def incomplete(terraform: Path) -> list[str]:
    """Variables without type, description, test or (unless boolean) validation; mute outputs."""
    found = []
    for folder in FOLDERS:
        tests = (terraform / folder / "tests/plan.tftest.hcl").read_text(encoding="utf-8")
        for file in ("variables.tf", "outputs.tf"):
            text = (terraform / folder / file).read_text(encoding="utf-8")
            for kind, name, body in _BLOCK.findall(text):
                wanted = {"description"} if kind == "output" else {"description", "type"}
                if kind == "variable" and not re.search(r"^  type += bool$", body, re.MULTILINE):
                    wanted.add("validation")
                if kind == "variable" and not re.search(rf"\b{name} += ", tests):
                    found.append(f"{folder}: no test sets {name}")
                has = set(re.findall(r"^  (\w+) +[={]|^  (\w+) \{", body, re.MULTILINE))
                missing = wanted - {word for pair in has for word in pair}
                found += [f"{folder}: {name} has no {word}" for word in sorted(missing)]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_is_valid_and_passes_its_own_tests(folder: str, tmp_path: Path) -> None:
    status, output = terraform_check(folder, tmp_path)
    assert status == 0, output
    assert "0 failed" in output


@pytest.mark.parametrize(
    ("complaint", "started"),
    [
        ("cat: /tmp/tmp.abc/reattach: No such file or directory", 3),
        ("Error: Unsupported argument", 1),
    ],
)
def test_stand_ins_that_start_too_late_are_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str, started: int
) -> None:
    starts, check = tmp_path / "starts", tmp_path / "terraform" / "check"
    check.parent.mkdir()
    lines = [
        "#!/bin/sh",
        f"echo started >> {starts}",
        f"[ $(wc -l < {starts}) -ge 3 ] && exit 0",
        f"echo '{complaint}' >&2; exit 1",
    ]
    check.write_text("\n".join(lines), encoding="utf-8")
    check.chmod(0o755)
    monkeypatch.setattr(tools, "CLOUD", tmp_path)
    status, _ = with_stand_ins(tmp_path)
    assert status == (0 if started == 3 else 1)
    assert starts.read_text(encoding="utf-8").count("started") == started


def test_every_variable_is_typed_described_and_validated(tmp_path: Path) -> None:
    assert incomplete(TERRAFORM) == []
    terraform = copy_of_terraform(tmp_path)
    folder = "modules/cloud_run"
    change(terraform / folder / "variables.tf", "  type        = string\n", "")
    change(terraform / folder / "outputs.tf", "  description = ", "  # ")
    change(terraform / folder / "tests/plan.tftest.hcl", "deletion_protection = true", "")
    assert incomplete(terraform) == [
        f"{folder}: project_id has no type",
        f"{folder}: no test sets deletion_protection",
        f"{folder}: url has no description",
    ]


@pytest.mark.parametrize(
    ("folder", "file", "old", "new", "what", "complaint"),
    [
        pytest.param(
            *("cloud_run", "main.tf", "_request_concurrency", "_requests_concurrent"),
            *("validate", "Unsupported argument"),
            id="a wrong attribute",
        ),
        pytest.param(
            *("bucket_trigger", "main.tf", "google_service_account.trigger.member"),
            *("google_service_account.eventarc.member", "validate", "undeclared resource"),
            id="a reference to an identity that is not there",
        ),
        pytest.param(
            *("bucket_trigger", "main.tf", '"INGRESS_TRAFFIC_INTERNAL_ONLY"', '"INTERNAL"'),
            *("validate", r'none of: INGRESS_TRAFFIC_ALL|to be one of \["INGRESS_TRAFFIC_ALL'),
            id="a value that the cloud does not know",
        ),
        pytest.param(
            *("cloud_run", "main.tf", "google_service_account.service.email", "null"),
            *("test", "the service runs as its own identity"),
            id="a service without its identity",
        ),
        pytest.param(
            *("bucket_trigger", "main.tf", "member   = google_service_account.trigger.member"),
            *("member   = google_service_account.annotate.member", "test"),
            "it is the trigger's identity that may receive and call",
            id="a role that goes to another identity",
        ),
        pytest.param(
            *("bucket_trigger", "main.tf", '"roles/pubsub.publisher"', '"roles/pubsub.viewer"'),
            *("test", "storage may tell of uploads"),
            id="a permission that is missing",
        ),
        pytest.param(
            *("cloud_run", "main.tf", 'path = "/health"', 'path = "/healthz"'),
            *("test", "probe asks /health"),
            id="a bad probe path",
        ),
        pytest.param(
            *("cloud_run", "main.tf", 'REQUIRE_STRONG_AUTH     = "true"'),
            *('REQUIRE_STRONG_AUTH     = "false"', "test", "the published password is refused"),
            id="the published password",
        ),
        pytest.param(
            *("cloud_run", "main.tf", "tostring(var.public)", '"false"', "test"),
            "the service knows that everyone gets through to it",
            id="a public service that takes itself for private",
        ),
        pytest.param(
            *("cloud_run", "main.tf", 'GPU_REQUIRED = "True"', 'GPU_REQUIRED = "False"'),
            *("test", "TensorFlow uses the GPU, and nothing else"),
            id="a GPU that may be missing",
        ),
        pytest.param(
            *("monitoring", "slo.tf", "distribution_cut {", "distribution_filter {"),
            *("validate", "Unsupported block type"),
            id="an objective that the provider does not know",
        ),
        pytest.param(
            *("bucket_trigger", "main.tf", "roles/storage.objectCreator", "roles/storage.admin"),
            *("test", "cannot change any"),
            id="a role that is too strong",
        ),
        pytest.param(
            *("bucket_trigger", "variables.tf", "!= var.input_bucket", '!= "none"'),
            *("test", "refuses_one_bucket_for_both"),
            id="a bucket that feeds itself",
        ),
        pytest.param(
            *("cloud_run", "main.tf", "  name                = var.name", "  name = var.name"),
            *("validate", "- name = var.name"),
            id="formatting",
        ),
    ],
)
def test_a_mistake_is_caught(
    folder: str, file: str, old: str, new: str, what: str, complaint: str, tmp_path: Path
) -> None:
    change(copy_of_terraform(tmp_path) / "modules" / folder / file, old, new)

    status, output = terraform_check(f"modules/{folder}", tmp_path, what)

    assert status != 0
    assert re.search(complaint, " ".join(output.split()))
