"""The back-fill's job for Cloud Batch runs the program with its shard, and settings that exist."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from age_gender.batch import backfill
from age_gender.settings import Settings
from tests.infra.tools import ROOT

JOB = json.loads((ROOT / "container" / "batch.json").read_text(encoding="utf-8"))


def task() -> dict[str, Any]:
    (group,) = JOB["taskGroups"]
    spec: dict[str, Any] = group["taskSpec"]
    return spec


def arguments(container: dict[str, Any], tmp_path: Path) -> list[str]:
    """What the container's shell calls Python with, as task 3 of 20."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nfor argument in "$@"; do echo "$argument"; done\n')
    python.chmod(0o755)
    environment = {"PATH": str(tmp_path), "BATCH_TASK_INDEX": "3", "BATCH_TASK_COUNT": "20"}
    command = [container["entrypoint"], *container["commands"]]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.split()


def test_a_task_does_its_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, name, *options = arguments(task()["runnables"][0]["container"], tmp_path)
    assert (module, name) == ("-m", backfill.__name__)
    assert options == ["--shard=3", "--shards=20"]
    assert backfill.main(options) == 2
    assert "INPUT_BUCKET is not set" in capsys.readouterr().err


def test_settings_exist() -> None:
    names = set(task()["environment"]["variables"])
    assert {"INPUT_BUCKET", "OUTPUT_BUCKET"} <= names <= {n.upper() for n in Settings.model_fields}


def test_what_may_work_later_is_tried_again() -> None:
    (policy,) = task()["lifecyclePolicies"]
    # 1: the program's own; 50001: the Spot VM was taken away.
    assert (policy["action"], policy["actionCondition"]["exitCodes"]) == ("RETRY_TASK", [1, 50001])


def test_a_container_has_what_its_task_pays_for() -> None:
    spec = task()
    options = spec["runnables"][0]["container"]["options"]
    assert int(spec["computeResource"]["cpuMilli"]) == 1000
    assert int(spec["computeResource"]["memoryMib"]) == 1024
    assert {"--cpus=1", "--memory=1g"} <= set(options.split())
