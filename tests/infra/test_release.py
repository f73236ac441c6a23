"""A release as cloudbuild.yaml makes it: its scripts run here, against the real service.

gcloud and docker are stand-ins: cloud_run.py keeps services, revisions and traffic, so that what a
release leaves behind can be seen. What Google does with the commands is not checked.
"""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from container.installed import python_packages, system_packages
from container.sbom import missing
from container.vulnerabilities import fixable
from testing.service import CREDENTIALS, Service
from testing.web import Handler, serve
from tests.infra.cloud_run import NOWHERE, TOKEN, new_state
from tests.infra.tools import ROOT, cloudbuild, cloudbuild_steps

BUILT = ("build", "digest", "vulnerabilities")
KEYS = f"shop={'0123456789abcdef' * 2},more={'f' * 16}"
IMAGE = "europe-west1-docker.pkg.dev/example-project/age-gender/service@sha256:"


class Release:
    """Runs the scripts of the steps, with stand-ins for gcloud and docker."""

    def __init__(
        self, folder: Path, url: str, *, password: str = CREDENTIALS[1], auth: str = "basic"
    ):
        self.workspace = folder / "workspace"
        self.programs = folder / "programs"
        for made in (self.workspace, self.programs):
            made.mkdir()
        self._calls = folder / "calls"
        self._calls.touch()
        self._state = folder / "state.json"
        self.change(**new_state(url, password))
        stub = ROOT / "tests" / "infra" / "cloud_run.py"
        self._stand_in("gcloud", f'exec "{sys.executable}" "{stub}" "{self._state}" "$@"')
        self._stand_in(
            "docker",
            f"""case "$*" in
            *"image inspect"*) echo python@sha256:base ;;
            *"buildx build "*) printf '{{"containerimage.digest": "sha256:%s"}}' "$DIGEST" \
                > "{self.workspace}/metadata.json" ;;
            *"imagetools inspect"*) cat "{folder}/sbom.json" ;;
            *"run "*) "{sys.executable}" - ;;
            esac""",
        )
        self.environment = {
            **os.environ,
            **self._substituted(_AUTH=auth),
            "DIGEST": "new",
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }

    def _stand_in(self, name: str, answers: str) -> None:
        path = self.programs / name
        text = f'#!/bin/sh\necho "{name} $*" >> "{self._calls}"\n{answers}\n'
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @staticmethod
    def _substituted(**given: str) -> dict[str, str]:
        build = cloudbuild()
        values = {
            **build["substitutions"],
            "_SERVICE": "predict",
            "_ANNOTATE_SERVICE": "annotate",
            "_BACKFILL_JOB": "backfill",
            "PROJECT_ID": "example-project",
            "BUILD_ID": "build-1",
            "COMMIT_SHA": "abc",
            **given,
        }
        environment: dict[str, str] = {}
        for item in build["options"]["env"]:
            name, value = item.split("=", 1)
            while "${" in value:
                value = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], value)
            environment[name] = value
        return environment

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text(encoding="utf-8").splitlines()

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state.read_bytes())
        return state

    def change(self, **values: Any) -> None:
        state = self.state if self._state.exists() else {}
        self._state.write_text(json.dumps({**state, **values}), encoding="utf-8")

    def serving(self, name: str) -> tuple[str, list[dict[str, Any]]]:
        """Image that gets all the traffic of a service, and what else its traffic names."""
        service = self.state["services"][name]
        images = {r["name"]: r["image"] for r in service["revisions"]}
        (share,) = (t for t in service["traffic"] if t.get("percent"))
        assert share["percent"] == 100
        return images[share["revisionName"]], [t for t in service["traffic"] if t != share]

    def template(self, name: str) -> str:
        """Image that the next apply of Terraform would deploy."""
        return str(self.state["services"][name]["image"])

    def run(self, name: str, **changes: str) -> tuple[int, str]:
        script = cloudbuild_steps()[name]["script"].replace("/workspace", str(self.workspace))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=self.environment | changes,
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

    def fails(self, digest: str = "new", **changes: str) -> str:
        """Build, let the release fail, and return its output; nothing must have changed."""
        self.all(*BUILT, DIGEST=digest)
        before = {name: self.serving(name)[0] for name in ("predict", "annotate")}
        status, output = self.run("release", **changes)
        assert status != 0
        assert "Traceback" not in output
        for name, image in before.items():
            assert self.serving(name) == (image, [])
            assert self.template(name) == "image:old"
        assert self.state["jobs"] == {"backfill": "image:old"}
        return output


@contextmanager
def front_end(service: Service) -> Iterator[str]:
    """Address of a front end that lets only callers with an identity through, as Google's does."""

    class Gatekeeper(Handler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            if self.headers.get("X-Serverless-Authorization") != f"Bearer {TOKEN}":
                self.answer(403, b"Forbidden")
                return
            passed_on = urllib.request.Request(service.url + self.path, body, dict(self.headers))
            try:
                with urllib.request.urlopen(passed_on, timeout=60) as answer:
                    self.answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read())

    with serve(Gatekeeper) as address:
        yield address


@pytest.fixture
def gatekeeper(service: Service) -> Iterator[str]:
    with front_end(service) as url:
        yield url


@pytest.fixture
def release(tmp_path: Path, service: Service) -> Release:
    return Release(tmp_path, service.url)


def test_a_release_goes_out_by_digest_after_a_real_prediction(release: Release) -> None:
    release.all(*BUILT, "release")
    image = f"{IMAGE}new"
    for name in ("predict", "annotate"):
        assert release.serving(name) == (image, []), "all traffic, and no tag is left"
    assert release.state["jobs"] == {"backfill": image}, "the job, and no other is left"
    calls = release.calls
    (built,) = (call for call in calls if "buildx build " in call)
    assert "--build-arg PYTHON_IMAGE=python@sha256:base" in built
    assert "--label org.opencontainers.image.revision=abc" in built
    assert "--sbom=true --provenance=mode=max" in built
    (tried,) = (n for n, call in enumerate(calls) if "secrets versions access" in call)
    (tried_job,) = (n for n, call in enumerate(calls) if "jobs deploy" in call)
    moved = [n for n, call in enumerate(calls) if "--to-revisions" in call]
    assert len(moved) == 2
    assert max(tried, tried_job) < min(moved)


def test_a_build_alone_deploys_nothing(release: Release) -> None:
    release.all(*BUILT, "release", RELEASE="false")
    assert not [call for call in release.calls if call.startswith("gcloud run")]


def test_other_targets_have_names_of_their_own(release: Release) -> None:
    release.all("build", "digest", TARGET="gpu")
    assert (release.workspace / "image").read_text().strip().endswith("/service-gpu@sha256:new")


def test_images_come_from_the_mirror(release: Release) -> None:
    release.all("build", MIRROR="mirror.example")
    assert any("pull --quiet mirror.example/library/python:" in call for call in release.calls)
    assert any("image=mirror.example/moby/buildkit:" in call for call in release.calls)


def test_what_terraform_has_configured_is_tried_and_released(release: Release) -> None:
    release.all(*BUILT, "release")
    release.change(meanwhile={"after": "secrets versions", "do": "apply"})
    subprocess.run([release.programs / "gcloud", "secrets", "versions", "access", "latest"])
    assert release.state["services"]["predict"]["traffic"][0]["revisionName"] == "predict-2"
    release.all(
        "build", "digest", "sbom", "components", "vulnerabilities", "release", BUILD="false"
    )
    assert release.state["services"]["predict"]["traffic"] == [
        {"revisionName": "predict-3", "percent": 100}
    ]
    assert release.serving("predict")[0] == f"{IMAGE}new"


def test_an_image_that_another_project_has_built_is_tried_and_released(release: Release) -> None:
    image = "europe-west1-docker.pkg.dev/staging/age-gender/service@sha256:tried"
    steps = ("build", "digest", "sbom", "components", "vulnerabilities", "release")
    release.all(*steps, BUILD="false", GIVEN=image)
    assert [release.serving(name) for name in ("predict", "annotate")] == [(image, [])] * 2
    assert release.state["jobs"] == {"backfill": image}
    assert not [call for call in release.calls if "build" in call.split()]
    assert [call for call in release.calls if "secrets versions access" in call], "it was tried"


@pytest.mark.parametrize(
    ("image", "build", "complaint"),
    [
        ("europe-west1-docker.pkg.dev/staging/age-gender/service:first", "false", "a digest"),
        (f"{IMAGE}tried", "true", "needs _BUILD=false"),
    ],
)
def test_an_image_that_might_be_another_is_refused(
    release: Release, image: str, build: str, complaint: str
) -> None:
    status, output = release.run("build", BUILD=build, GIVEN=image)
    assert status != 0
    assert complaint in output
    assert release.calls == []


def test_releasing_what_is_released_changes_nothing(release: Release) -> None:
    before = release.state
    release.all("release", BUILD="false")
    assert release.state == before


def test_a_revision_that_comes_meanwhile_gets_no_traffic(release: Release) -> None:
    release.change(meanwhile={"after": "--update-tags", "do": "apply"})
    release.all(*BUILT, "release")
    assert release.state["services"]["predict"]["traffic"] == [
        {"revisionName": "predict-2", "percent": 100}
    ]


def test_traffic_to_the_latest_would_be_noticed(release: Release, tmp_path: Path) -> None:
    """The stand-in distinguishes the tested revision from the latest."""
    release.change(meanwhile={"after": "--update-tags", "do": "apply"})
    release.all(*BUILT)
    text = (ROOT / "container" / "release.py").read_text(encoding="utf-8")
    bad = text.replace('f"--to-revisions={self.candidate}=100"', '"--to-latest"')
    assert bad != text
    (tmp_path / "container").mkdir()
    (tmp_path / "container" / "release.py").write_text(bad, encoding="utf-8")
    for name in ("smoke_test.py", "sample.jpg"):
        source = ROOT / "container" / name
        if name == "sample.jpg":
            source = ROOT / "function/age_gender/edge/web/sample.jpg"
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "container.release", f"{IMAGE}new"],
        cwd=tmp_path,
        env=release.environment,
        check=True,
    )
    (share, *_) = release.state["services"]["predict"]["traffic"]
    assert share == {"latestRevision": True, "percent": 100}
    assert len(release.state["services"]["predict"]["revisions"]) == 3


def test_another_image_that_comes_meanwhile_is_not_taken_for_ours(release: Release) -> None:
    planned = {"after": "during the deployment of predict", "do": "apply", "image": "image:old"}
    release.change(meanwhile=planned)
    assert "was deployed meanwhile, with image:old" in release.fails()


def test_a_release_does_not_undo_another(release: Release) -> None:
    release.change(meanwhile={"after": "secrets versions", "do": "release"})
    release.all(*BUILT)
    status, output = release.run("release")
    assert status != 0
    assert "was moved meanwhile" in output
    (share,) = release.state["services"]["predict"]["traffic"]
    assert share == {"revisionName": "predict-3", "percent": 100}


@pytest.mark.parametrize(
    ("digest", "message"),
    [
        ("broken", "gcloud run deploy predict failed"),
        ("wrong", "no answer"),
        ("fails-in-job", "gcloud run jobs deploy backfill-candidate failed"),
    ],
)
def test_a_candidate_that_fails_changes_nothing(
    release: Release, digest: str, message: str
) -> None:
    assert message in release.fails(digest)


def test_a_candidate_that_refuses_the_password_changes_nothing(
    tmp_path: Path, service: Service
) -> None:
    release = Release(tmp_path, service.url, password="of another revision")
    assert "answered 401" in release.fails()


@pytest.fixture(scope="module")
def with_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("keys") / "log.txt"
    with Service(log, AUTH="keys", AUTH_KEYS=f"{KEYS},pair=somebody:a-password") as running:
        yield running


@pytest.mark.parametrize(
    "secret", [KEYS, '{"pair": "somebody:a-password"}', "\npair = somebody:a-password\nmore=key\n"]
)
def test_a_candidate_with_keys_is_asked_with_the_first(
    tmp_path: Path, with_keys: Service, secret: str
) -> None:
    Release(tmp_path, with_keys.url, password=secret, auth="keys").all(*BUILT, "release")


def test_a_key_that_the_candidate_does_not_know_changes_nothing(
    tmp_path: Path, with_keys: Service
) -> None:
    release = Release(tmp_path, with_keys.url, password=f"new={'f' * 32}", auth="keys")
    assert "answered 401" in release.fails()


def test_a_candidate_that_leaves_callers_to_google_needs_no_secret(tmp_path: Path) -> None:
    with (
        Service(tmp_path / "log.txt", AUTH="iam", PUBLIC_ACCESS="false") as service,
        front_end(service) as url,
    ):
        release = Release(tmp_path, url, auth="iam")
        release.all(*BUILT, "release")
    assert not [call for call in release.calls if "secrets" in call]


def test_a_revision_of_terraform_that_does_not_start_is_not_released(release: Release) -> None:
    state = release.state
    state["services"]["predict"]["revisions"].append(
        {"name": "predict-2", "image": "image:old", "ready": False}
    )
    release.change(**state)
    assert "predict-2 has not started" in release.fails(BUILD="false")


def test_a_private_candidate_is_asked_with_a_token(tmp_path: Path, gatekeeper: str) -> None:
    release = Release(tmp_path, gatekeeper)
    release.all(*BUILT, "release")
    assert f"gcloud auth print-identity-token --audiences={gatekeeper}" in release.calls


def occurrence(severity: str, *, fixed: bool) -> dict[str, Any]:
    what = {"effectiveSeverity": severity, "fixAvailable": fixed, "shortDescription": "CVE-1"}
    return {"noteName": "note", "vulnerability": what}


def test_vulnerabilities_that_can_be_fixed_stop_a_release(tmp_path: Path) -> None:
    release = Release(tmp_path, NOWHERE)
    release.all("build", "digest")
    release.change(
        vulnerabilities=[occurrence("CRITICAL", fixed=True), occurrence("LOW", fixed=True)]
    )
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


SYSTEM = [f"pkg:deb/debian/package-{n}@1" for n in range(30)]
PYTHON = [f"pkg:pypi/package-{n}@1" for n in range(10)]


def test_a_complete_list_of_components_is_accepted() -> None:
    whole = sbom(*PYTHON, "pkg:pypi/Pyasn1_modules@0.4.2", "pkg:deb/debian/zlib1g@1%3A1.2?arch=a")
    held = [*SYSTEM, *PYTHON, "pkg:pypi/pyasn1-modules@0.4.2", "pkg:deb/debian/zlib1g@1:1.2"]
    assert missing(whole, held) == []
    assert missing({"linux/amd64": whole}, held) == []


def test_an_incomplete_one_stops_a_release(tmp_path: Path) -> None:
    held = [*SYSTEM, *PYTHON, "pkg:pypi/tensorflow@2.21.0"]
    assert missing(sbom(*PYTHON, "pkg:pypi/tensorflow@2.20.0"), held) == [
        "pkg:pypi/tensorflow@2.21.0"
    ]
    release = Release(tmp_path, NOWHERE)
    (tmp_path / "sbom.json").write_text(json.dumps(sbom()), encoding="utf-8")
    release.all("build", "digest", "sbom", TARGET="gpu")
    status, output = release.run("components", TARGET="gpu")
    assert status != 0
    assert "pkg:pypi/opencv-python-headless@" in output


def test_an_image_in_which_nothing_is_found_stops_a_release() -> None:
    assert missing({}, []) == [
        "packages pkg:deb/ (only 0 found in the image)",
        "packages pkg:pypi/ (only 0 found in the image)",
    ]


def test_packages_that_are_installed_are_listed() -> None:
    status = """Package: libc6
Status: install ok installed
Version: 2.36-9

Package: perl
Status: deinstall ok config-files
Version: 5.36
"""
    assert system_packages(status) == {"pkg:deb/debian/libc6@2.36-9"}
    assert any(purl.startswith("pkg:pypi/numpy@") for purl in python_packages())
