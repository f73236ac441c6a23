"""Stands in for gcloud and Cloud Run: keeps services, revisions, tags and traffic in a file.

    python cloud_run.py STATE_FILE COMMAND...

It knows the commands that a release uses, and refuses others. Images with "broken" in their name do
not start, those with "wrong" start and answer nothing. ``meanwhile`` in the state is what others do
after a command: {"after": text in the command, "do": "apply" or "release"}, once, with another
image if "image" is given.
"""

import json
import sys
from pathlib import Path
from typing import Any

TOKEN = "identity-token"
NOWHERE = "http://127.0.0.1:9"


def new_state(url: str, password: str) -> dict[str, Any]:
    """Two services and a job as the first apply leaves them, released once."""
    state: dict[str, Any] = {
        "url": url,
        "password": password,
        "vulnerabilities": [],
        "services": {},
        "jobs": {"backfill": "image:old"},
        "meanwhile": None,
    }
    for name, ingress in (("predict", "all"), ("annotate", "internal")):
        state["services"][name] = {"ingress": ingress, "image": "image:old", "revisions": []}
        service = state["services"][name]
        revise(name, service)
        service["traffic"] = [{"revisionName": f"{name}-1", "percent": 100}]
    return state


def revise(name: str, service: dict[str, Any], image: str | None = None) -> bool:
    """Make a revision of the template, as each change of it does; whether it starts."""
    service["image"] = image or service["image"]
    starts = "broken" not in service["image"]
    number = len(service["revisions"]) + 1
    service["revisions"].append(
        {"name": f"{name}-{number}", "image": service["image"], "ready": starts}
    )
    return starts


def ready(service: dict[str, Any]) -> str:
    """The newest revision that has started."""
    return str([r["name"] for r in service["revisions"] if r["ready"]][-1])


def described(state: dict[str, Any], service: dict[str, Any]) -> str:
    """What gcloud prints of a service."""
    images = {r["name"]: r["image"] for r in service["revisions"]}
    traffic = []
    for target in service["traffic"]:
        shown = {**target, "revisionName": target.get("revisionName") or ready(service)}
        if "tag" in target:
            wrong = "wrong" in images[shown["revisionName"]]
            shown["url"] = NOWHERE if wrong else state["url"]
        traffic.append(shown)
    return json.dumps(
        {
            "metadata": {"annotations": {"run.googleapis.com/ingress": service["ingress"]}},
            "spec": {"template": {"spec": {"containers": [{"image": service["image"]}]}}},
            "status": {
                "url": state["url"],
                "latestCreatedRevisionName": service["revisions"][-1]["name"],
                "latestReadyRevisionName": ready(service),
                "traffic": traffic,
            },
        }
    )


def move_traffic(service: dict[str, Any], options: dict[str, str]) -> None:
    """What `update-traffic` does."""
    tags = [t for t in service["traffic"] if "tag" in t]
    shares = [t for t in service["traffic"] if "tag" not in t]
    for option, value in options.items():
        if option == "--to-latest":
            shares = [{"latestRevision": True, "percent": 100}]
        elif option == "--to-revisions":
            pairs = [pair.split("=") for pair in value.split(",")]
            shares = [{"revisionName": name, "percent": int(share)} for name, share in pairs]
        elif option == "--update-tags":
            tag, name = value.split("=")
            tags = [*(t for t in tags if t["tag"] != tag), {"revisionName": name, "tag": tag}]
        elif option == "--remove-tags":
            tags = [t for t in tags if t["tag"] != value]
    service["traffic"] = shares + tags


def execute(state: dict[str, Any], words: list[str], options: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of a command."""
    match words:
        case ["run", "services", "describe", name]:
            return 0, described(state, state["services"][name])
        case ["run", "deploy", name]:
            service = state["services"][name]
            if "--no-traffic" in options:
                for target in service["traffic"]:
                    if target.pop("latestRevision", False):
                        target["revisionName"] = ready(service)
            starts = revise(name, service, options["--image"])
            meanwhile(state, f"during the deployment of {name}")
            return (0, described(state, service)) if starts else (1, "")
        case ["run", "services", "update-traffic", name]:
            move_traffic(state["services"][name], options)
        case ["run", "jobs", "describe", _]:
            limits = {"cpu": "1", "memory": "1Gi"}
            task = {
                "serviceAccountName": "job@example",
                "containers": [{"resources": {"limits": limits}}],
            }
            return 0, json.dumps({"spec": {"template": {"spec": {"template": {"spec": task}}}}})
        case ["run", "jobs", "deploy", name]:
            state["jobs"][name] = options["--image"]
            return int("fails-in-job" in options["--image"]), ""
        case ["run", "jobs", "update", name]:
            state["jobs"][name] = options["--image"]
        case ["run", "jobs", "delete", name]:
            del state["jobs"][name]
        case ["secrets", "versions", "access", "latest"]:
            return 0, state["password"]
        case ["auth", "print-identity-token"]:
            return 0, TOKEN
        case ["artifacts", "docker", "images", "scan", _]:
            return 0, "scan-1"
        case ["artifacts", "docker", "images", "list-vulnerabilities", "scan-1"]:
            return 0, json.dumps(state["vulnerabilities"])
        case _:
            return 2, f"unknown command: {' '.join(words)}"
    return 0, ""


def meanwhile(state: dict[str, Any], command: str) -> None:
    """What others do after this command."""
    planned = state["meanwhile"]
    if not planned or planned["after"] not in command:
        return
    state["meanwhile"] = None
    service = state["services"]["predict"]
    revise("predict", service, planned.get("image"))
    if planned["do"] == "release":
        newest = service["revisions"][-1]["name"]
        move_traffic(service, {"--to-revisions": f"{newest}=100"})


def main(state_file: Path, arguments: list[str]) -> int:
    state = json.loads(state_file.read_bytes())
    words = [word for word in arguments if not word.startswith("--")]
    pairs = [word.partition("=") for word in arguments if word.startswith("--")]
    status, output = execute(state, words, {name: value for name, _, value in pairs})
    if output:
        sys.stdout.write(f"{output}\n")
    meanwhile(state, " ".join(arguments))
    state_file.write_text(json.dumps(state), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
