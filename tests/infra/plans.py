"""Applies and plans of the example, against providers that stand in for Google's.

The stand-ins of ../shared/cloud keep a state, know which changes replace a resource, and make up
what the cloud would answer. gcloud is a program that only keeps a record.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra.tools import copy_of_terraform, shared_tool, with_stand_ins

EXAMPLE = "envs/example"
PROJECT = "example-project"


@dataclass(frozen=True)
class Change:
    """What a plan does with one resource."""

    address: str
    type: str
    actions: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A plan, or with ``after_apply`` the state after it, as ``terraform show -json`` has it."""

    document: dict[str, Any]

    @property
    def changes(self) -> list[Change]:
        """All that is created, changed or deleted."""
        return [
            Change(
                found["address"],
                found["type"],
                tuple(found["change"]["actions"]),
                found["change"]["before"] or {},
                found["change"]["after"] or {},
            )
            for found in self.document.get("resource_changes", [])
            if found["mode"] == "managed" and found["change"]["actions"] != ["no-op"]
        ]

    def resources(self, kind: str = "") -> list[dict[str, Any]]:
        """Planned resources, of one type or of all; each with address, type and values."""
        root = self.document["planned_values"]["root_module"]
        return [
            found
            for module in _modules(root)
            for found in module.get("resources", [])
            if found["mode"] == "managed" and kind in ("", found["type"])
        ]

    def configured(self, module: str) -> dict[str, dict[str, Any]]:
        """Expressions of the resources of a called module, by address in it."""
        calls = self.document["configuration"]["root_module"]["module_calls"]
        resources = calls[module]["module"]["resources"]
        return {r["address"]: r.get("expressions", {}) for r in resources}


def _modules(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield module
    for child in module.get("child_modules", []):
        yield from _modules(child)


def references(expression: Any) -> set[str]:
    """Addresses that an expression of a configuration refers to."""
    if isinstance(expression, dict):
        own = set(expression.get("references", []))
        return own.union(*(references(value) for value in expression.values()))
    if isinstance(expression, list):
        return set().union(*(references(value) for value in expression))
    return set()


@dataclass(frozen=True)
class Outcome:
    """What a sequence of commands led to.

    Attributes:
        plans: by name.
        output: all that was printed.
        gcloud: the gcloud commands that were run, in order.
        left: addresses in the state at the end.
    """

    plans: dict[str, Plan]
    output: str
    gcloud: list[str]
    left: list[str]


def terraform_runs(
    tmp_path: Path, *steps: Sequence[str], folder: str = EXAMPLE, terraform: Path | None = None
) -> Outcome:
    """Run steps in a copy of the example, or skip the test.

    Args:
        tmp_path: for the copy.
        steps: ``("apply", "a=1", ...)``, ``("destroy", ...)`` or ``("plan:NAME", ...)``, with
            variables or files of them.
        folder: in terraform/.
        terraform: the copy, if it has been made and changed.
    """
    if shared_tool("terraform/check") is None:
        pytest.skip("NOT CHECKED: applies, which take ../shared/cloud/terraform")
    copy = (terraform or copy_of_terraform(tmp_path)) / folder
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    calls = tmp_path / "gcloud.calls"
    calls.touch()
    for name, text in {"gcloud": f'echo "$*" >> {shlex.quote(str(calls))}', "sleep": ":"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    lines = ["set -e", f"export PATH={shlex.quote(str(programs))}:$PATH"]
    names = []
    for step, *variables in steps:
        kind, _, name = step.partition(":")
        options = ["-input=false", "-no-color"]
        for variable in (f"project_id={PROJECT}", *variables):
            options += ["-var-file" if variable.endswith(".tfvars") else "-var", variable]
        if kind == "plan":
            names.append(name)
            lines.append(shlex.join(["terraform", "plan", *options, f"-out={name}.plan"]))
            lines.append(f"terraform show -json {name}.plan > {name}.json")
        else:
            lines.append(shlex.join(["terraform", kind, "-auto-approve", *options]))
    lines.append("terraform state list > left || true")
    script = tmp_path / "steps.sh"
    script.write_text("\n".join(lines), encoding="utf-8")
    status, output = with_stand_ins(copy, "exec", "bash", script)
    assert status == 0, output[-4000:]
    return Outcome(
        {name: Plan(json.loads((copy / f"{name}.json").read_bytes())) for name in names},
        output,
        calls.read_text(encoding="utf-8").splitlines(),
        (copy / "left").read_text(encoding="utf-8").split(),
    )
