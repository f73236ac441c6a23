"""Terraform accepts the modules, their own tests pass, and mistakes are caught."""

from pathlib import Path

import pytest

from tests.infra.tools import FOLDERS, change, copy_of_terraform, terraform_check


@pytest.mark.parametrize("folder", FOLDERS)
def test_is_valid_and_passes_its_own_tests(folder: str, tmp_path: Path) -> None:
    status, output = terraform_check(folder, tmp_path)
    assert status == 0, output
    assert "0 failed" in output


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
            *("validate", "none of: INGRESS_TRAFFIC_ALL"),
            id="a value that the cloud does not know",
        ),
        pytest.param(
            *("cloud_run", "main.tf", "google_service_account.service.email", "null"),
            *("test", "the service runs as its own identity"),
            id="a service without its identity",
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
    assert complaint in " ".join(output.split())
