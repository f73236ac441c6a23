"""The Kubernetes manifests are what Kubernetes understands, and their probes are answered."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from testing.service import Service
from tests.infra.tools import (
    TERRAFORM,
    change,
    copy_of_terraform,
    rendered_manifests,
    validate_manifests,
)


def probe_paths(manifests: dict[str, str]) -> set[str]:
    (container,) = _pod(manifests)["containers"]
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    return {container[kind]["httpGet"]["path"] for kind in kinds}


def _pod(manifests: dict[str, str]) -> dict[str, Any]:
    pod: dict[str, Any] = yaml.safe_load(manifests["deployment"])["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("changes", [{}, {"internal_lb": False, "settings": {}}, {"auth": "keys"}])
def test_kubernetes_knows_every_field(changes: dict[str, object], tmp_path: Path) -> None:
    status, output = validate_manifests(rendered_manifests(TERRAFORM, **changes), tmp_path)
    assert status == 0, output


def test_values_cannot_break_out_of_the_manifest(tmp_path: Path) -> None:
    name = "a\"b: #'\n- c"
    manifests = rendered_manifests(TERRAFORM, username=name)
    (container,) = _pod(manifests)["containers"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    assert environment["BASIC_AUTH_USERNAME"] == name
    status, output = validate_manifests(manifests, tmp_path)
    assert status == 0, output


def cloud_run_probe_paths(terraform: Path) -> set[str]:
    text = (terraform / "modules/cloud_run/main.tf").read_text(encoding="utf-8")
    return set(re.findall(r'http_get \{\s+path = "([^"]*)"', text))


def test_probes_are_answered(service: Service) -> None:
    paths = probe_paths(rendered_manifests(TERRAFORM)) | cloud_run_probe_paths(TERRAFORM)
    assert paths
    for path in paths:
        assert service.get(path).status_code == 200


def test_a_bad_probe_path_is_caught(service: Service, tmp_path: Path) -> None:
    terraform = copy_of_terraform(tmp_path)
    deployment = terraform / "modules/gke_gpu/manifests/deployment.yaml.tftpl"
    change(deployment, "path: /health", "path: /alive")
    service_module = terraform / "modules/cloud_run/main.tf"
    change(service_module, 'path = "/health"', 'path = "/alive"')
    assert cloud_run_probe_paths(terraform) == {"/alive", "/health"}
    paths = probe_paths(rendered_manifests(terraform))
    answers = {path: service.get(path).status_code for path in paths}
    assert answers == {"/alive": 404, "/health": 200}


def test_labels_and_names_fit_together() -> None:
    manifests = {name: yaml.safe_load(text) for name, text in rendered_manifests(TERRAFORM).items()}
    deployment = manifests["deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert manifests["service"]["spec"]["selector"] == labels
    assert manifests["disruption-budget"]["spec"]["selector"]["matchLabels"] == labels
    policy = manifests["network-policy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = [port["name"] for port in container["ports"]]
    assert [port["targetPort"] for port in manifests["service"]["spec"]["ports"]] == ports
    (rule,) = policy["ingress"]
    assert [port["port"] for port in rule["ports"]] == ports
    scaled = manifests["autoscaler"]["spec"]["scaleTargetRef"]["name"]
    assert scaled == deployment["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("deployment", "readinessProbe:", "readynessProbe:", "readynessProbe"),
        ("deployment", "runAsNonRoot: true", 'runAsNonRoot: "yes"', "yes"),
        ("autoscaler", "averageUtilization", "targetUtilization", "targetUtilization"),
        ("service", "targetPort", "target_port", "target_port"),
        ("network-policy", "podSelector:", "podsSelector:", "podsSelector"),
    ],
)
def test_a_mistake_is_caught(name: str, old: str, new: str, complaint: str, tmp_path: Path) -> None:
    manifests = rendered_manifests(TERRAFORM)
    assert old in manifests[name]
    manifests[name] = manifests[name].replace(old, new, 1)
    status, output = validate_manifests(manifests, tmp_path)
    assert status != 0
    assert complaint in output
