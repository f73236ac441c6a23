"""Every variable that the deployment sets is one that the service knows, with a value it takes."""

import re
from pathlib import Path

import pytest
import yaml

from age_gender.errors import SettingsError
from age_gender.settings import Settings, load_settings
from tests.infra.tools import ROOT, TERRAFORM, change, copy_of_terraform, rendered_manifests

FRAMEWORK = {"FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_SOURCE", "THREADS"}
"""Read by functions-framework itself."""
ELSEWHERE = {
    "HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED",
    "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH",
}  # fmt: skip
KNOWN = {name.upper() for name in Settings.model_fields} | FRAMEWORK

_INLINE = re.compile(r'(?<!\w)([A-Z][A-Z0-9_]+) *= *("[^"]*"|[\w.(\[]+)')


def set_by_terraform(terraform: Path) -> dict[str, set[str]]:
    """Names in capitals that modules and examples set, with the values that are written out."""
    found: dict[str, set[str]] = {}
    for path in terraform.rglob("*.tf"):
        for line in path.read_text(encoding="utf-8").splitlines():
            code = line.split("#")[0]
            if "description" in code or "error_message" in code:
                continue
            for name, value in _INLINE.findall(code):
                found.setdefault(name, set())
                if re.fullmatch(r'"[^"${}]*"', value):
                    found[name].add(value.strip('"'))
            for name in re.findall(r'\bname\s*=\s*"([A-Z][A-Z0-9_]+)"', code):
                found.setdefault(name, set())
    return found


def set_by_pods(manifests: dict[str, str]) -> dict[str, str]:
    deployment = yaml.safe_load(manifests["deployment"])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value", "") for item in container["env"]}


def unknown(names: set[str] | dict[str, str] | dict[str, set[str]]) -> list[str]:
    return sorted(set(names) - KNOWN)


@pytest.mark.defends("published-password")
def test_terraform_sets_only_what_the_service_knows() -> None:
    found = set_by_terraform(TERRAFORM)
    assert {"BASIC_AUTH_PASSWORD", "REQUIRE_STRONG_AUTH", "OUTPUT_BUCKET", "GPU"} <= set(found)
    assert {"AUTH", "AUTH_KEYS", "CORS_ORIGINS", "PUBLIC_ACCESS"} <= set(found)
    assert unknown(found) == []


def test_values_written_out_in_terraform_are_taken() -> None:
    for name, values in set_by_terraform(TERRAFORM).items():
        for value in values - {"predict", "annotate"} if name not in FRAMEWORK else ():
            needed = {"BASIC_AUTH_PASSWORD": "not the published one", "GPU": "True"}
            load_settings(Path("none.json"), {**needed, name: value})


def test_pods_set_only_what_the_service_knows_and_takes() -> None:
    environment = set_by_pods(rendered_manifests(TERRAFORM))
    assert unknown(environment) == []
    settings = load_settings(
        Path("none.json"), {**environment, "BASIC_AUTH_PASSWORD": "from the secret"}
    )
    assert settings.gpu
    assert settings.gpu_required
    assert settings.engine == "tensorflow"
    assert settings.require_strong_auth


def test_pods_with_keys_need_no_password() -> None:
    environment = set_by_pods(rendered_manifests(TERRAFORM, auth="keys"))
    assert unknown(environment) == []
    assert not [name for name in environment if name.startswith("BASIC_AUTH")]
    keys = f"shop={'0123456789abcdef' * 2}"
    settings = load_settings(Path("none.json"), {**environment, "AUTH_KEYS": keys})
    assert [key.name for key in settings.auth_keys] == ["shop"]
    with pytest.raises(SettingsError, match="auth_keys"):
        load_settings(Path("none.json"), environment)


def test_the_image_sets_only_what_the_service_knows() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    runtime = dockerfile[dockerfile.index("AS runtime") :]
    names = {
        name
        for line in re.findall(r"^ENV (.*)$", runtime, re.MULTILINE)
        for name in re.findall(r"(\w+)=", line)
    }
    assert "FUNCTION_TARGET" in names
    assert sorted(names - KNOWN - ELSEWHERE) == []


def test_a_misspelt_name_is_caught(tmp_path: Path) -> None:
    terraform = copy_of_terraform(tmp_path)
    change(terraform / "modules/bucket_trigger/main.tf", "OUTPUT_PREFIX ", "OUTPUT_PREFFIX ")
    assert unknown(set_by_terraform(terraform)) == ["OUTPUT_PREFFIX"]


def test_a_setting_that_pods_misspell_is_caught(tmp_path: Path) -> None:
    terraform = copy_of_terraform(tmp_path)
    deployment = terraform / "modules/gke_gpu/manifests/deployment.yaml.tftpl"
    change(deployment, "name: GPU_FRACTION", "name: GPU_SHARE")
    assert unknown(set_by_pods(rendered_manifests(terraform))) == ["GPU_SHARE"]


def test_a_value_that_the_service_refuses_is_caught() -> None:
    with pytest.raises(SettingsError, match="GPU_FRACTION"):
        load_settings(Path("none.json"), {"GPU_FRACTION": "90"})
