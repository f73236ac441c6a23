"""Commands and figures in the documents about deployment are valid."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.tools import (
    ROOT,
    TERRAFORM,
    change,
    copy_of_terraform,
    gcloud_commands,
    lint_gcloud,
)

DOC = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def documented() -> list[str]:
    pages = ("deploy.md", "bucket.md", "monitoring.md", "scale.md")
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in pages)
    blocks = re.findall(r"^```(?:console|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [command for block in blocks for command in gcloud_commands(block)]


def outputs_and_variables() -> tuple[set[str], set[str]]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in TERRAFORM.rglob("*.tf"))
    return set(re.findall(r'^output "(\w+)"', text, re.M)), set(
        re.findall(r'^variable "(\w+)"', text, re.M)
    )


def test_gcloud_knows_every_command(tmp_path: Path) -> None:
    assert len(documented()) >= 20
    assert lint_gcloud(documented(), tmp_path) == []


def test_continued_lines_and_nested_commands_are_split() -> None:
    block = "$ a | gcloud x create \\\n    --flag=1\n$ b $(gcloud y z --w=1)/c && gcloud d e > f\n"
    assert gcloud_commands(block) == ["gcloud y z --w=1", "gcloud x create --flag=1", "gcloud d e"]


def test_an_unknown_flag_is_reported(tmp_path: Path) -> None:
    commands = [c.replace("--entry-point", "--entrypoint") for c in documented()]
    wrong = [c for c in commands if "--entrypoint" in c]
    assert wrong
    assert len(lint_gcloud(wrong[:1], tmp_path)) == 1


def test_named_outputs_exist() -> None:
    outputs, _ = outputs_and_variables()
    named = set(re.findall(r"terraform\S* (?:-chdir=\S+ )?output -raw (\w+)", DOC))
    assert named
    assert named <= outputs


@pytest.mark.parametrize(
    "name",
    sorted(set(re.findall(r"`(\w+) = ", DOC)) | set(re.findall(r"-var (\w+)=", DOC))),
)
def test_named_variables_exist(name: str) -> None:
    assert name in outputs_and_variables()[1]


def undocumented_roles(terraform: Path) -> list[str]:
    """Roles that modules and example grant and that the table of permissions does not name."""
    granted = {
        role
        for path in terraform.rglob("*.tf")
        for role in re.findall(r'"roles/([\w.]+)"', path.read_text(encoding="utf-8"))
    }
    section = DOC[DOC.index("\n## Permissions") : DOC.index("\n## Costs")]
    return sorted(granted - set(re.findall(r"`([\w.]+)`", section)))


def test_the_table_of_permissions_is_complete(tmp_path: Path) -> None:
    assert undocumented_roles(TERRAFORM) == []
    terraform = copy_of_terraform(tmp_path)
    change(terraform / "envs/example/build.tf", '"roles/run.developer"', '"roles/run.admin"')
    assert undocumented_roles(terraform) == ["run.admin"]


def test_memory_is_the_measured_one() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    (steady,) = re.findall(r"about (\d+) MiB steady", DOC)
    assert abs(int(steady) - measured["memory"]["steady_mib"]) <= 5


def test_dollars_follow_from_cpu_seconds() -> None:
    # Half of the billed time is used; 2 vCPU come with 1 GiB; each request costs extra.
    second = 2 * (0.000024 + 0.0000025 / 2)
    rows = re.findall(r"^\| [^|]+ \| ([\d.]+) \| (\d+) s \| ([\d.]+) \|$", DOC, re.MULTILINE)
    assert len(rows) == 3
    for seconds, thousand, dollars in rows:
        assert round(1000 * float(seconds)) == int(thousand)
        assert abs(1000 * float(seconds) * second + 0.0004 - float(dollars)) <= 0.0005
