"""Releases an image, or what Terraform has configured; cloudbuild.yaml runs it.

    python3 -m container.release [IMAGE]

With IMAGE, services get revisions of it and the job gets it; without, services get the revisions
that ``terraform apply`` has made since the last release. SERVICE, ANNOTATE_SERVICE, BACKFILL_JOB,
REGION, TAG, and AUTH, USERNAME and SECRET of the trial come from the environment.

Nothing changes for users before everything has been tried: new revisions get no traffic, and the
job is tried as another job. Traffic then goes to the revisions that were tried, whatever has been
deployed meanwhile. If a trial fails, the services' templates get their previous image back, or the
next ``terraform apply`` would deploy the failed one.
"""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container.smoke_test import SmokeTestFailed, request_prediction

SAMPLE = Path(__file__).parents[1] / "function/age_gender/edge/web/sample.jpg"
TRIAL_ARGUMENTS = (
    *("-m", "age_gender.batch.backfill"),
    *("--source", "/app/age_gender/edge/web", "--out", "/tmp/results"),  # noqa: S108 - in the job
)


class ReleaseFailed(Exception):
    """A release cannot go on; the text says why."""


def gcloud(*arguments: str) -> str:
    """Run gcloud and return its output.

    Raises:
        ReleaseFailed: it failed; its own message says why.
    """
    finished = subprocess.run(["gcloud", *arguments], stdout=subprocess.PIPE, text=True)  # noqa: S603, S607
    if finished.returncode:
        words = [word for word in arguments if not word.startswith("--")]
        raise ReleaseFailed(f"gcloud {' '.join(words)} failed")
    return finished.stdout.strip()


@dataclass(frozen=True)
class State:
    """What a service was like at one time.

    Attributes:
        document: as ``gcloud run services describe --format=json`` prints it.
    """

    document: dict[str, Any]

    @property
    def image(self) -> str:
        """Image of the template, which the next revision gets."""
        (container,) = self.document["spec"]["template"]["spec"]["containers"]
        return str(container["image"])

    @property
    def newest(self) -> str:
        """Name of the revision that was created last."""
        return str(self.document["status"]["latestCreatedRevisionName"])

    @property
    def newest_started(self) -> bool:
        """Whether that revision has started."""
        return bool(self.newest == self.document["status"].get("latestReadyRevisionName"))

    @property
    def serving(self) -> dict[str, int]:
        """Percent of the traffic by revision."""
        targets = self.document["status"]["traffic"]
        return {t["revisionName"]: t["percent"] for t in targets if t.get("percent")}

    @property
    def is_reachable(self) -> bool:
        """Whether the service takes requests from a build."""
        annotations = self.document["metadata"].get("annotations", {})
        return bool(annotations.get("run.googleapis.com/ingress", "all") == "all")


class Service:
    """A Cloud Run service during a release.

    Attributes:
        name: of the service.
        before: what it was like at the start.
        candidate: name of the revision to release, once there is one.
    """

    def __init__(self, name: str, region: str, tag: str):
        """Look at the service; ``tag`` gives its candidate an address meanwhile."""
        self.name = name
        self._region = f"--region={region}"
        self._tag = tag
        self._is_tagged = False
        self._image = ""
        self.before = self.describe()
        self.candidate = ""

    def describe(self) -> State:
        """Return what the service is like now."""
        command = ("run", "services", "describe", self.name, self._region, "--format=json")
        return State(json.loads(gcloud(*command)))

    def make_candidate(self, image: str | None) -> None:
        """Deploy the image without traffic, or take what was deployed last.

        Raises:
            ReleaseFailed: the revision does not start, or somebody else deploys at the same time.
        """
        if image is None:
            self.candidate = self.before.newest
            if not self.before.newest_started:
                raise ReleaseFailed(f"{self.candidate} has not started")
            return
        self._image = image
        deployed = self._deploy(image)
        if deployed.image != image:
            raise ReleaseFailed(f"{self.name} was deployed meanwhile, with {deployed.image}")
        self.candidate = deployed.newest

    def try_candidate(self, tag: str) -> None:
        """Request a prediction from the candidate, where a build can reach it.

        Raises:
            ReleaseFailed: there is no right answer.
        """
        if not self.before.is_reachable:
            # It has started, and so it has its models.
            print(f"{self.candidate} takes no requests from a build: only its start was tried")  # noqa: T201
            return
        self._traffic(f"--update-tags={tag}={self.candidate}")
        self._is_tagged = True
        try:
            request_prediction(self.describe().document, tag, SAMPLE, gcloud)
        except SmokeTestFailed as error:
            raise ReleaseFailed(f"{self.candidate}: {error}") from None

    def release(self) -> None:
        """Move all traffic to the candidate.

        Raises:
            ReleaseFailed: somebody else has moved it since the start.
        """
        now = self.describe().serving
        if now == {self.candidate: 100}:
            return self.clean_up()
        if now != self.before.serving:
            raise ReleaseFailed(f"the traffic of {self.name} was moved meanwhile, to {list(now)}")
        untagged = [f"--remove-tags={self._tag}"] if self._is_tagged else []
        self._traffic(f"--to-revisions={self.candidate}=100", *untagged)
        self._is_tagged = False

    def withdraw(self) -> None:
        """Move the traffic back to where it was, if it is at the candidate."""
        if self.candidate and self.describe().serving == {self.candidate: 100}:
            back = ",".join(f"{name}={percent}" for name, percent in self.before.serving.items())
            self._traffic(f"--to-revisions={back}")

    def restore(self) -> None:
        """Give the template its previous image back, if it still has the candidate's."""
        if self._image and self.describe().image == self._image != self.before.image:
            self._deploy(self.before.image)

    def clean_up(self) -> None:
        """Remove the tag: it would keep an address open."""
        if self._is_tagged:
            self._traffic(f"--remove-tags={self._tag}")
            self._is_tagged = False

    def _deploy(self, image: str) -> State:
        command = ("run", "deploy", self.name, self._region, f"--image={image}", "--no-traffic")
        return State(json.loads(gcloud(*command, "--quiet", "--format=json")))

    def _traffic(self, *changes: str) -> None:
        command = ("run", "services", "update-traffic", self.name, self._region, "--quiet")
        gcloud(*command, *changes)


class Job:
    """The back-fill job during a release."""

    def __init__(self, name: str, region: str):
        """Look at the job."""
        self._name = name
        self._region = f"--region={region}"
        command = ("run", "jobs", "describe", name, self._region, "--format=json")
        self._task = json.loads(gcloud(*command))["spec"]["template"]["spec"]["template"]["spec"]

    def try_image(self, image: str) -> None:
        """Annotate the image's own sample in another job, with this one's identity and size.

        Raises:
            ReleaseFailed: it cannot.
        """
        trial = f"{self._name}-candidate"
        limits = self._task["containers"][0]["resources"]["limits"]
        try:
            gcloud(
                *("run", "jobs", "deploy", trial, self._region, f"--image={image}", "--quiet"),
                *("--command=python", f"--args={','.join(TRIAL_ARGUMENTS)}"),
                *("--tasks=1", "--max-retries=0", f"--cpu={limits['cpu']}"),
                f"--memory={limits['memory']}",
                f"--service-account={self._task['serviceAccountName']}",
                *("--execute-now", "--wait"),
            )
        finally:
            with suppress(ReleaseFailed):
                gcloud("run", "jobs", "delete", trial, self._region, "--quiet")

    def release(self, image: str) -> None:
        """Have the next back-fill use the image."""
        gcloud("run", "jobs", "update", self._name, self._region, f"--image={image}", "--quiet")


def release(services: list[Service], job: Job | None, image: str | None, tag: str) -> None:
    """Try everything, then release everything.

    Args:
        services: what to release.
        job: likewise.
        image: by digest; None: what is deployed.
        tag: under which candidates are reached.

    Raises:
        ReleaseFailed: a trial failed, and nothing has changed.
    """
    try:
        for service in services:
            service.make_candidate(image)
        for service in services:
            service.try_candidate(tag)
        if job and image:
            job.try_image(image)
        for service in services:
            service.release()
        if job and image:
            job.release(image)
    except ReleaseFailed:
        for service in services:
            for undo in (service.withdraw, service.clean_up, service.restore):
                with suppress(ReleaseFailed):  # the others are still to be undone
                    undo()
        raise


def main(image: str | None) -> None:
    """Release what the environment names, or exit with an error."""
    region = os.environ["REGION"]
    # A tag of its own for each build, in case two run at the same time.
    tag = "candidate-" + hashlib.sha256(os.environ["TAG"].encode()).hexdigest()[:8]
    names = [name for name in (os.environ["SERVICE"], os.environ["ANNOTATE_SERVICE"]) if name]
    try:
        services = [Service(name, region, tag) for name in names]
        job = Job(os.environ["BACKFILL_JOB"], region) if os.environ["BACKFILL_JOB"] else None
        release(services, job, image, tag)
    except ReleaseFailed as error:
        sys.exit(f"not released: {error}")
    print("released: " + ", ".join(service.candidate for service in services))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
