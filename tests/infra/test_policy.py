"""What checkov knows of good habits holds; what is left out has its reason in writing."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.tools import (
    ROOT,
    TERRAFORM,
    change,
    copy_of_terraform,
    program,
    rendered_manifests,
    run,
    write_manifests,
)

PODS_LEFT_OUT = {"CKV_K8S_35": "the service reads its password from the environment"}


def findings(framework: str, *options: str | Path) -> set[str]:
    """Ids of what checkov finds wrong."""
    status, output = run(
        *(program("checkov"), "--skip-download", "--compact", "--quiet"),
        *("--framework", framework, "--output", "json", *options),
    )
    assert "{" in output, output
    report = json.loads(output[output.index("{") :])
    failed = {check["check_id"] for check in report.get("results", {}).get("failed_checks", [])}
    assert bool(failed) == bool(status), output[-2000:]
    return failed


def terraform_findings(terraform: Path, folder: str = ".") -> set[str]:
    configuration = TERRAFORM / ".checkov.yaml"
    return findings("terraform", "--config-file", configuration, "-d", terraform / folder)


def test_terraform_has_no_bad_habits() -> None:
    assert terraform_findings(TERRAFORM) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        pytest.param(
            *("modules/bucket_trigger/main.tf", 'public_access_prevention    = "enforced"', ""),
            "CKV_GCP_114",
            id="a bucket that could be made public",
        ),
        pytest.param(
            *("modules/gke_gpu/main.tf", "issue_client_certificate = false"),
            *("issue_client_certificate = true", "CKV_GCP_13"),
            id="a cluster with certificates that cannot be withdrawn",
        ),
    ],
)
def test_a_bad_habit_is_caught(file: str, old: str, new: str, rule: str, tmp_path: Path) -> None:
    terraform = copy_of_terraform(tmp_path)
    change(terraform / file, old, new)
    assert rule in terraform_findings(terraform, str(Path(file).parent))


def test_everything_left_out_has_a_reason() -> None:
    for path in TERRAFORM.rglob("*.tf"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.search(r"#checkov:skip=CKV2?_GCP_\d+: \w.+", line), f"{path}: {line}"


def test_the_image_has_no_bad_habits(tmp_path: Path) -> None:
    dockerfile = ROOT / "Dockerfile"
    assert findings("dockerfile", "-f", dockerfile) == set()
    bad = tmp_path / "Dockerfile"
    bad.write_text(dockerfile.read_text().replace("USER 10001:10001", "USER root"))
    assert "CKV_DOCKER_8" in findings("dockerfile", "-f", bad)


def test_pods_have_no_bad_habits(tmp_path: Path) -> None:
    manifests = rendered_manifests(TERRAFORM)
    good, bad = tmp_path / "good", tmp_path / "bad"
    write_manifests(manifests, good)
    assert findings("kubernetes", "-d", good) == set(PODS_LEFT_OUT)
    text = manifests["deployment"].replace("readOnlyRootFilesystem: true", "")
    write_manifests({**manifests, "deployment": text}, bad)
    assert "CKV_K8S_22" in findings("kubernetes", "-d", bad)
