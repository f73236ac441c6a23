"""Computations of the benchmarks, and how they report failures."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import before, check, cost, latency, reference
from benchmarks.client import stages_of
from benchmarks.peers import compare, peer
from benchmarks.peers.peer import Kind, Peer, Unavailable
from benchmarks.report import _peers
from tests.unit.models import model

ECHO = """
import json, os, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    size = os.path.getsize(json.loads(line)["pixels"])
    if size == 6:
        sys.exit("ValueError: too small for me")
    print(json.dumps({"ms": 1.5, "cpu_ms": 2.0, "faces": [[size, "F"]]}), flush=True)
"""


def test_a_million_requests_on_two_vcpus() -> None:
    """36 ms each are 10 hours; 600 MiB are billed as 1 GiB, for half the time on two CPUs."""
    estimate = cost.million(36, 600)
    assert estimate["vcpu_hours"] == 10
    compute = 36_000 * cost.VCPU_SECOND + 18_000 * cost.GIB_SECOND
    assert estimate["compute_usd"] == pytest.approx(compute, abs=0.01)
    assert estimate["total_usd"] == pytest.approx(compute + cost.MILLION_REQUESTS, abs=0.01)
    assert cost.million(36, 600, utilisation=0.5)["vcpu_hours"] == 20


def test_operations_of_the_detector() -> None:
    """Proportional to the pixels; the number is the sum of its convolutions, by hand."""
    path = model("retinaface.tflite")
    whole = reference.model_gflop(path, (1, 480, 640, 3))
    assert whole == pytest.approx(7.87, rel=0.02)
    assert reference.model_gflop(path, (1, 480, 320, 3)) == pytest.approx(whole / 2, rel=0.02)


class TestCheck:
    @staticmethod
    def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float) -> int:
        results = tmp_path / "results.json"
        results.write_text(json.dumps({"latency": {"cases": [{"case": "a", "ratio": 2.0}]}}))
        monkeypatch.setattr(check, "RESULTS", results)
        cases = [{"case": "a", "ratio": now}, {"case": "b", "ratio": 9.0}]
        monkeypatch.setattr(latency, "measure", lambda _rounds: {"cases": cases})
        return check.main()

    def test_slower(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(tmp_path, monkeypatch, 2.5) == 1
        assert "SLOWER: a: 1.25 times" in capsys.readouterr().out

    def test_not_slower(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(tmp_path, monkeypatch, 2.1) == 0
        assert "nothing got slower" in capsys.readouterr().out


class TestPeers:
    KIND = Kind("x", "x of someone", "python", ("x",))

    @pytest.fixture
    def worker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A peer installed in a folder for this test."""
        script = tmp_path / "python" / "worker.py"
        (script.parent / "x").mkdir(parents=True)
        script.write_text(ECHO)
        monkeypatch.setenv("BENCH_PEERS", str(tmp_path))
        monkeypatch.setattr(peer, "HERE", tmp_path)
        return script

    def test_answers(self, worker: Path, tmp_path: Path) -> None:
        pixels = tmp_path / "p"
        pixels.write_bytes(bytes(12))
        with Peer(self.KIND) as running:
            assert running.run(pixels, 2, 2)["faces"] == [[12, "F"]]
            assert running.run(pixels, 2, 2)["ms"] == 1.5
            assert running.memory_mib() > 1

    def test_the_reason_of_a_crash(self, worker: Path, tmp_path: Path) -> None:
        pixels = tmp_path / "p"
        pixels.write_bytes(bytes(6))
        with Peer(self.KIND) as running, pytest.raises(Unavailable, match="too small for me"):
            running.run(pixels, 2, 1)

    def test_does_not_start(self, worker: Path) -> None:
        worker.write_text("raise ImportError('Error: no such thing')")
        with pytest.raises(Unavailable, match="no such thing"):
            Peer(self.KIND).__enter__()

    def test_no_node(self, worker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(Unavailable, match="not installed"):
            Peer(Kind("human", "human", "node")).__enter__()

    def test_cannot_be_installed(self, worker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        failing = [sys.executable, "-c", "import sys; sys.exit('ERROR: no version for you')"]
        install = peer._install
        monkeypatch.setattr(peer, "_install", lambda _command, cwd: install(failing, cwd))
        with pytest.raises(Unavailable, match="no version for you"):
            Peer(Kind("y", "y", "python", ("y",))).__enter__()

    def test_unavailable_peers_are_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def absent(_self: Peer) -> Peer:
            raise Unavailable("cannot be installed: why not")

        def ours(_detector: Any) -> compare.Runner:
            return lambda _pixels, _width, _height: {"ms": 2.0, "cpu_ms": 3.0, "faces": []}

        monkeypatch.setattr(Peer, "__enter__", absent)
        monkeypatch.setattr(compare, "_ours", ours)
        rows = compare.measure(rounds=2)
        assert [row["name"] for row in rows[:2]] == ["ours, accurate", "ours, fast"]
        assert rows[0]["images"][0]["median"] == 2.0
        assert len(rows) == 2 + len(peer.KINDS)
        written = "\n".join(_peers(rows))
        for kind in peer.KINDS:
            assert f"| {kind.title} | not measured: cannot be installed: why not |" in written


def test_twice_as_fast_whatever_the_machine_did() -> None:
    """Pairs of which each second took ten times as long: the ratio and its interval stay 2."""
    busy = np.tile([1.0, 10.0], 20)
    found = before.compared({"before": 2 * busy, "after": busy})
    assert found["ratio"] == found["low"] == found["high"] == 2


def test_an_uncertain_ratio_has_a_wide_interval() -> None:
    found = before.compared({"before": np.array([1.0, 9, 5, 5, 2]), "after": np.full(5, 2.0)})
    assert found["low"] < found["ratio"] == 2.5 < found["high"]
    quick = before.compared({"before": np.full(5, 0.02), "after": np.full(5, 0.024)})
    assert quick["ratio"] == quick["low"] == 0.833  # of times that round to the same


def test_the_cpu_time_of_a_process_is_counted_finely() -> None:
    start, own = latency.cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < own + 0.002:
        pass
    assert latency.cpu_seconds(os.getpid()) - start >= 0.002


def test_server_timing() -> None:
    assert stages_of("fetch;dur=1.5, decode;dur=12.0") == {"fetch": 1.5, "decode": 12.0}
