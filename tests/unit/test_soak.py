"""Figures of the soak, and its name server."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.soak import report as soak_report
from tests.soak.faults import dns_answer

TIMES = [(float(second), float(10 * second), "fast") for second in range(101)]


def test_percentiles_by_detector() -> None:
    rows = soak_report.latency([*TIMES, (5.0, 7.0, "accurate")])
    assert list(rows) == ["accurate", "fast"]
    assert rows["fast"] == {"count": 101, "p50": 500, "p95": 950, "p99": 990, "max": 1000}


def test_time_slices_are_in_order_and_not_empty() -> None:
    slices = soak_report.timeline([(0.0, 1.0, "fast"), (60.0, 3.0, "fast"), (60.0, 5.0, "fast")])
    assert [(s["p50"], s["p99"]) for s in slices] == [(1, 1), (4, pytest.approx(5, abs=0.1))]
    assert slices[0]["seconds"] < slices[1]["seconds"] <= 61
    assert soak_report.timeline([]) == []


def test_memory_is_compared_after_the_warm_up_and_before_the_end() -> None:
    samples: list[dict[str, float]] = [
        {"done": done, "pss_mib": mib}
        for done, mib in ((0, 10), (20, 100), (25, 102), (50, 999), (80, 110), (90, 104), (99, 1))
    ]
    growth = soak_report.memory_growth(samples, 100)
    assert growth == {"early_mib": 101, "late_mib": 107, "max_mib": 999, "growth_percent": 5.9}


def test_a_short_run_has_no_growth() -> None:
    assert math.isnan(soak_report.memory_growth([], 100)["growth_percent"])


def results() -> dict[str, Any]:
    return {
        "done": 1234, "good": 1000, "hostile": 234, "clients": 16, "seconds": 600,
        "machine": {"cores": 2, "cpu": "processor", "load_before": 0.1},
        "wrong": {}, "broken": 0, "rejected": 3,
        "memory": {"early_mib": 1.0, "late_mib": 1.0, "max_mib": 2.0, "growth_percent": 0.1},
        "latency_ms": soak_report.latency(TIMES), "timeline": soak_report.timeline(TIMES),
        "samples": [{"seconds": 1, "pss_mib": 5}],
        "faults": [{"name": "worker killed", "start": 1.0, "end": 2.0}],
        "failed": {"worker killed: 503": 2, "other: 424": 1},
    }  # fmt: skip


def test_figures_are_written_between_their_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    begin, end = soak_report.MARKS
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    monkeypatch.setattr(soak_report, "PAGE", page)
    monkeypatch.setattr(soak_report, "PLOT", tmp_path / "img" / "plot.png")
    for _ in range(2):
        soak_report.write(results())
    text = page.read_text()
    assert text.startswith(f"before\n{begin}\n")
    assert text.endswith(f"{end}\nafter\n")
    assert text.count("1,234 requests") == 1
    assert "old" not in text
    assert "| worker killed | 1.0 | 2.0 | 2 x 503 |" in text
    assert (tmp_path / "img" / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_has_the_marks_once() -> None:
    text = soak_report.PAGE.read_text(encoding="utf-8")
    assert [text.count(mark) for mark in soak_report.MARKS] == [1, 1]


@pytest.mark.parametrize(("kind", "answers"), [(b"\0\1", 1), (b"\0\x1c", 0)])
def test_name_server(kind: bytes, answers: int) -> None:
    query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3abc\4test\0" + kind + b"\0\1"
    answer = dns_answer(query)
    assert answer[:2] == query[:2]
    assert answer[6:8] == bytes([0, answers])
    assert query[12:] in answer
    assert answer.endswith(b"\x7f\0\0\1") == bool(answers)
