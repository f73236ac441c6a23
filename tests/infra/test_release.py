"""A release as cloudbuild.yaml makes it: its scripts run here, against the real service.

gcloud and docker are stand-ins that keep a record: what Google does with the commands is not
checked, what the scripts do with the answers is.
"""

import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from container.sbom import missing
from container.vulnerabilities import fixable
from testing.service import CREDENTIALS, Service
from tests.infra.tools import ROOT, cloudbuild, cloudbuild_steps

TOKEN = "identity-token"


class Release:
    """Runs the scripts of the steps, with stand-ins for gcloud and docker that keep a record."""

    def __init__(self, folder: Path, url: str, *, password: str = CREDENTIALS[1]):
        self.workspace = folder / "workspace"
        self.calls = folder / "calls"
        self._programs = folder / "programs"
        for made in (self.workspace, self._programs):
            made.mkdir()
        self.calls.touch()
        self._stand_in(
            "gcloud",
            f"""case "$*" in
            *"services describe"*) echo '{{"status": {{"url": "{url}", "traffic": [
                {{"revisionName": "old", "percent": 100}},
                {{"revisionName": "new", "tag": "candidate", "url": "{url}"}}]}}}}' ;;
            *print-identity-token*) echo {TOKEN} ;;
            *"secrets versions access"*) echo "{password}" ;;
            *"images scan"*) echo scan-1 ;;
            *list-vulnerabilities*) cat "{folder}/vulnerabilities.json" ;;
            esac""",
        )
        self._stand_in(
            "docker",
            f"""case "$*" in
            *"image inspect"*) echo python@sha256:base ;;
            *"buildx build "*) echo '{{"containerimage.digest": "sha256:0123"}}' \
                > "{self.workspace}/metadata.json" ;;
            *"imagetools inspect"*) cat "{folder}/sbom.json" ;;
            esac""",
        )
        self._environment = {
            **os.environ,
            **self._substituted(),
            "PATH": f"{self._programs}:{os.environ['PATH']}",
        }
        (folder / "vulnerabilities.json").write_text("[]", encoding="utf-8")

    def _stand_in(self, name: str, answers: str) -> None:
        path = self._programs / name
        text = f'#!/bin/sh\necho "{name} $*" >> "{self.calls}"\n{answers}\n'
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @staticmethod
    def _substituted() -> dict[str, str]:
        build = cloudbuild()
        values = {
            **build["substitutions"],
            "_ANNOTATE_SERVICE": "annotate",
            "_BACKFILL_JOB": "backfill",
            "PROJECT_ID": "example-project",
            "BUILD_ID": "build-1",
            "COMMIT_SHA": "abc",
        }
        environment: dict[str, str] = {}
        for item in build["options"]["env"]:
            name, value = item.split("=", 1)
            while "${" in value:
                value = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], value)
            environment[name] = value
        return environment

    def run(self, name: str, **changes: str) -> tuple[int, str]:
        script = cloudbuild_steps()[name]["script"].replace("/workspace", str(self.workspace))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=self._environment | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    def all(self, *names: str, **changes: str) -> None:
        for name in names:
            status, output = self.run(name, **changes)
            assert status == 0, f"{name}: {output}"


@pytest.fixture
def gatekeeper(service: Service) -> Iterator[str]:
    """Address of a front end that lets only callers with an identity through, as Google's does."""

    class Gatekeeper(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            if self.headers.get("X-Serverless-Authorization") != f"Bearer {TOKEN}":
                self._answer(403, b"Forbidden")
                return
            passed_on = urllib.request.Request(service.url + self.path, body, dict(self.headers))
            try:
                with urllib.request.urlopen(passed_on, timeout=60) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gatekeeper) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def release(tmp_path: Path, service: Service) -> Release:
    return Release(tmp_path, service.url)


def test_a_release_goes_out_by_digest_after_a_real_prediction(release: Release) -> None:
    release.all("build", "digest", "vulnerabilities", "candidate", "smoke-test", "traffic")
    calls = release.calls.read_text(encoding="utf-8").splitlines()
    image = "europe-west1-docker.pkg.dev/example-project/age-gender/service@sha256:0123"
    deployed = [call for call in calls if "--image=" in call]
    assert len(deployed) == 3  # the service, the trigger's, the job
    assert all(f"--image={image}" in call for call in deployed)
    assert "--no-traffic --tag=candidate" in deployed[0]
    (built,) = (call for call in calls if "buildx build " in call)
    assert "--build-arg PYTHON_IMAGE=python@sha256:base" in built
    assert "--sbom=true --provenance=mode=max" in built
    (moved,) = (call for call in calls if "update-traffic" in call)
    assert calls.index(moved) > calls.index(deployed[0])


def test_a_build_alone_deploys_nothing(release: Release) -> None:
    release.all("build", "digest", "candidate", "smoke-test", "traffic", DEPLOY="false")
    assert "gcloud run" not in release.calls.read_text(encoding="utf-8")


def test_other_targets_have_names_of_their_own(release: Release) -> None:
    release.all("build", "digest", TARGET="gpu")
    assert (release.workspace / "image").read_text().strip().endswith("/service-gpu@sha256:0123")


def test_a_candidate_that_refuses_the_password_gets_no_traffic(
    tmp_path: Path, service: Service
) -> None:
    release = Release(tmp_path, service.url, password="of another revision")
    release.all("build", "digest", "candidate")
    status, output = release.run("smoke-test")
    assert status != 0
    assert "answered 401" in output
    assert "Traceback" not in output


def test_a_candidate_that_is_not_there_gets_no_traffic(tmp_path: Path) -> None:
    release = Release(tmp_path, "http://127.0.0.1:9")
    release.all("build", "digest", "candidate")
    status, output = release.run("smoke-test")
    assert status != 0
    assert "no answer" in output


def test_a_private_candidate_is_asked_with_a_token(tmp_path: Path, gatekeeper: str) -> None:
    release = Release(tmp_path, gatekeeper)
    release.all("build", "digest", "candidate", "smoke-test")
    calls = release.calls.read_text(encoding="utf-8")
    assert f"gcloud auth print-identity-token --audiences={gatekeeper}" in calls


def occurrence(severity: str, *, fixed: bool) -> dict[str, Any]:
    what = {"effectiveSeverity": severity, "fixAvailable": fixed, "shortDescription": "CVE-1"}
    return {"noteName": "note", "vulnerability": what}


def test_vulnerabilities_that_can_be_fixed_stop_a_release(tmp_path: Path) -> None:
    release = Release(tmp_path, "http://127.0.0.1:9")
    release.all("build", "digest")
    report = json.dumps([occurrence("CRITICAL", fixed=True), occurrence("LOW", fixed=True)])
    (tmp_path / "vulnerabilities.json").write_text(report, encoding="utf-8")
    status, output = release.run("vulnerabilities")
    assert status != 0
    assert output == "CRITICAL CVE-1\n"


def test_those_that_cannot_or_do_not_matter_do_not() -> None:
    report = [occurrence("CRITICAL", fixed=False), occurrence("MEDIUM", fixed=True)]
    assert fixable(report, "HIGH") == []
    assert fixable(report, "MEDIUM") == ["MEDIUM CVE-1"]


def test_a_severity_that_is_none_stops_a_release() -> None:
    with pytest.raises(SystemExit, match="unknown severity: WORST"):
        fixable([], "WORST")


def sbom(*purls: str) -> dict[str, Any]:
    """SPDX as buildx wraps it, with a system's packages and those named."""
    system = [f"pkg:deb/debian/package-{n}@1?arch=amd64" for n in range(30)]
    packages = [
        {"externalRefs": [{"referenceType": "purl", "referenceLocator": purl}]}
        for purl in (*system, *purls)
    ]
    return {"SPDX": {"packages": packages}}


PINS = """
ai-edge-litert==2.3.0 \\
    --hash=sha256:00
Pyasn1_modules==0.4.2 \\
    --hash=sha256:11
"""


def test_a_complete_list_of_components_is_accepted() -> None:
    whole = sbom("pkg:pypi/ai-edge-litert@2.3.0", "pkg:pypi/pyasn1-modules@0.4.2")
    assert missing(whole, PINS) == []
    assert missing({"linux/amd64": whole}, PINS) == []


def test_an_incomplete_one_stops_a_release(tmp_path: Path) -> None:
    assert missing(
        sbom("pkg:pypi/ai-edge-litert@2.2.0", "pkg:pypi/pyasn1-modules@0.4.2"), PINS
    ) == ["pkg:pypi/ai-edge-litert@2.3.0"]
    assert "the system's packages (only 0 listed)" in missing({}, "")
    release = Release(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "sbom.json").write_text(json.dumps(sbom()), encoding="utf-8")
    release.all("build", "digest", "sbom")
    status, output = release.run("components")
    assert status != 0
    assert "pkg:pypi/opencv-python-headless@" in output
