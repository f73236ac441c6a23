"""The checks of the deployment files, as functions, so that the checks can be checked."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
CLOUDBUILD = ROOT / "cloudbuild.yaml"
CLOUDBUILD_TEST = ROOT / "cloudbuild.test.yaml"
CLOUD = ROOT.parent / "shared" / "cloud"
"""Stand-ins for the cloud, next to the checkout on some machines; used where they are."""

STARTS = 6
"""How often the stand-ins for Terraform's providers may be started."""
_NOT_STARTED = re.compile(r"^cat: \S*/reattach: ", re.MULTILINE)

MODULES = sorted(path.parent.name for path in TERRAFORM.glob("modules/*/main.tf"))
FOLDERS = (*(f"modules/{name}" for name in MODULES), "envs/example")


def run(
    *command: str | Path,
    cwd: Path = ROOT,
    timeout: float = 900,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Exit status and all output of a command; ``environment`` adds to the present one."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return done.returncode, done.stdout


def shared_tool(name: str) -> Path | None:
    """A tool of ../shared/cloud where there is one."""
    tool = CLOUD / name
    return tool if tool.exists() else None


def program(name: str) -> str:
    """A program of this environment or on the PATH, or the test is skipped."""
    for folder in (Path(sys.executable).parent, Path(sys.prefix) / "infra" / "bin"):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT CHECKED: there is no {name} here (`make check-infra` installs some)")
    return found


def cloudbuild(path: Path = CLOUDBUILD) -> dict[str, Any]:
    """What cloudbuild.yaml, or another of its kind, says."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def cloudbuild_steps() -> dict[str, dict[str, Any]]:
    """Its steps, by id."""
    return {step["id"]: step for step in cloudbuild()["steps"]}


def with_stand_ins(folder: Path, *what: str | Path) -> tuple[int, str]:
    """Run ../shared/cloud/terraform/check, which must be there, on a folder.

    It gives its providers ten seconds to start. On a busy machine that may not be enough; nothing
    has been done by then, so it is tried again.

    Returns:
        Exit status and all output.
    """
    _fetch_stand_ins()
    for _ in range(STARTS):
        status, output = run(CLOUD / "terraform" / "check", folder, *what)
        if not (status and _NOT_STARTED.search(output)):
            break
    return status, output


@cache
def _fetch_stand_ins() -> None:
    """Have the check fetch what it needs, in one process at a time.

    On a new machine, test processes would start it together, and take each other's files away.
    """
    lock = Path(tempfile.gettempdir()) / f"terraform-stand-ins-{os.getuid()}.lock"
    with lock.open("w") as held, tempfile.TemporaryDirectory() as empty:
        fcntl.flock(held, fcntl.LOCK_EX)
        run(CLOUD / "terraform" / "check", empty, "validate")


def terraform_check(folder: str, tmp_path: Path, what: str = "test") -> tuple[int, str]:
    """fmt, init, validate and the tests of one folder of terraform/ or of a changed copy of it.

    With the stand-ins of ../shared/cloud for the providers where they are, else with the real ones.
    """
    program("terraform")
    copy = copy_of_terraform(tmp_path) / folder
    if shared_tool("terraform/check"):
        return with_stand_ins(copy, what)
    if reason := missing_providers(folder):
        pytest.skip(f"NOT CHECKED: terraform/{folder}: {reason}")
    return check_with_real_providers(copy, what)


@cache
def missing_providers(folder: str) -> str:
    """Why Terraform cannot have the providers of a folder; empty if it can."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = copy_of_terraform(Path(temporary)) / folder
        _, output = terraform(copy, "init", "-backend=false", "-input=false")
    unavailable = re.search(r"Error: Failed to (query available|install) provider.*", output)
    return f"no providers ({unavailable[0]})" if unavailable else ""


def check_with_real_providers(folder: Path, what: str) -> tuple[int, str]:
    """The same steps as ../shared/cloud/terraform/check, up to the first that fails."""
    steps = [
        ("fmt", "-check", "-recursive", "-diff"),
        ("init", "-backend=false", "-input=false"),
        ("validate",),
    ]
    if what == "test":
        steps.append(("test",))
    output = ""
    for step in steps:
        status, printed = terraform(folder, *step)
        output += printed
        if status:
            return status, output
    return 0, output


def terraform(folder: Path, command: str, *options: str) -> tuple[int, str]:
    """Run Terraform, with the providers kept between runs."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache_dir = Path(os.environ.get("TF_PLUGIN_CACHE_DIR") or root / "age-gender" / "terraform")
    cache_dir.mkdir(parents=True, exist_ok=True)
    environment = {
        "TF_PLUGIN_CACHE_DIR": str(cache_dir),
        # No lock files are committed; without this the cache would not be used.
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
    }
    return run(
        *(program("terraform"), command, "-no-color", *options),
        cwd=folder,
        timeout=900,
        environment=environment,
    )


def copy_of_terraform(tmp_path: Path) -> Path:
    """A copy that can be changed, the same one each time within a test."""
    copy = tmp_path / "terraform"
    if not copy.exists():
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "terraform.tfvars")
        shutil.copytree(TERRAFORM, copy, ignore=ignored)
    return copy


def change(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path.name} any more: mend this test"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def rendered_manifests(terraform: Path, **changes: object) -> dict[str, str]:
    """The Kubernetes manifests by name, as Terraform renders them."""
    values: dict[str, object] = {
        "name": "age-gender-gpu",
        "namespace": "age-gender",
        "image": "example.com/project/service-gpu@sha256:" + "0" * 64,
        "gpu_type": "nvidia-l4",
        "cpu": 4,
        "memory": "12Gi",
        "username": "sugar",
        "auth": "basic",
        "min_replicas": 1,
        "max_replicas": 3,
        "internal_lb": True,
        "settings": {"LOG": "debug", "MAX_PIXELS": "1000000"},
        "threads": 72,
        "max_queue": 64,
        "service_account": "pods@example-project.iam.gserviceaccount.com",
    }
    values.update(changes)
    folder = terraform / "modules" / "gke_gpu" / "manifests"
    names = sorted(path.name for path in folder.glob("*.tftpl"))
    # Two encodings: of the values as an argument, and of the result for the console's quotes.
    arguments = json.dumps(json.dumps(values)).replace("${", "$${").replace("%{", "%%{")
    calls = ", ".join(
        f'"{name}" = templatefile("{folder / name}", jsondecode({arguments}))' for name in names
    )
    done = subprocess.run(
        [program("terraform"), "console"],
        input=f"jsonencode({{{calls}}})\n",
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    texts: dict[str, str] = json.loads(json.loads(done.stdout))
    return {name.removesuffix(".yaml.tftpl"): text for name, text in texts.items()}


def validate_manifests(manifests: dict[str, str], tmp_path: Path) -> tuple[int, str]:
    """Every manifest against Kubernetes' schemas; fields that it does not know are errors."""
    paths = write_manifests(manifests, tmp_path / "manifests")
    return run(program("kubernetes-validate"), "--strict", *paths)


def write_manifests(manifests: dict[str, str], folder: Path) -> list[Path]:
    """A file for each manifest."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, text in manifests.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def gcloud_commands(text: str) -> list[str]:
    """The gcloud commands in a script or document, continued lines joined, one each."""
    text = re.sub(r"[ \t]*\\\n\s*", " ", text)
    commands = []
    while nested := re.search(r"\$\(([^()]*)\)", text):  # the innermost first
        if nested[1].startswith("gcloud "):
            commands.append(nested[1])
        text = text[: nested.start()] + "value" + text[nested.end() :]
    commands += re.findall(r"(?<![\w./`-])gcloud [^\n|&;`]+", text)
    return [re.sub(r"\$\{?\w+\}?", "value", c.split(" >")[0]).strip() for c in commands]


def lint_gcloud(commands: list[str], tmp_path: Path) -> list[str]:
    """What gcloud says against each command that it does not understand."""
    listed = tmp_path / "commands.json"
    unique = list(dict.fromkeys(commands))
    listed.write_text(json.dumps([{"command_string": command} for command in unique]))
    _, output = run(
        program("gcloud"), "meta", "lint-gcloud-commands", f"--commands-file={listed}", timeout=300
    )
    assert "[{" in output, output[-1000:]
    results, _ = json.JSONDecoder().raw_decode(output[output.index("[{") :])
    assert len(results) == len(unique)
    return [f"{r['command_string']}: {r['error_message']}" for r in results if not r["success"]]
