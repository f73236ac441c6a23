"""The results as Markdown."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cost

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
TABLE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "img" / "benchmarks"

HEAD = """\
# Benchmarks

Made by `make bench`; the raw figures are in `benchmarks/results.json`. Medians of {rounds} rounds,
cases interleaved. `inference_time` is what the service reports: finding, aligning and judging the
faces, without decoding and encoding the picture. "CPU" is the time that all CPUs together spent on
the picture, decoding included.

Where the time goes, what was done about it and what was tried in vain: [speed.md](speed.md).

Machine: {cpu}, {cores} cores, {memory_gib} GiB, {system}, Python {python}; load average before
the run {load_before}; commit {commit}. {packages}.

`make bench-check` runs the pipeline's cases again and says what got slower. It compares ratios of
CPU times to that of a fixed loop of matrix products in the same run ({reference_ms} ms here), so
that another machine, or a busy one, does not look like slower code.
"""

PEERS = """\
The same decoded pictures in one run, all libraries in turn, each three times in a row of which the
first is not counted, then a short pause; every library in a process of its own with its models
loaded, set up as its documentation does. mtcnn is followed by a
WideResNet-16-8 on 64-pixel chips, the size of the original service's model, with random weights:
its speed is what counts. Of @vladmandic/human detector, mesh and description are on, its other
models off. In brackets: 95th percentile.
"""

LIMITS = """\
"Least" is the time that the operations of the convolutions alone would take at {gemm} GFLOP/s, the
best rate of a float32 matrix product measured here in the same run, all cores. Int8 arithmetic can
go below it; depthwise convolutions, which move more than they compute, do not come near.
"""

COST = """\
One face at 640x480. Ours is the whole service over HTTP, the peers are the library alone. Prices
of Cloud Run, billed by request, tier 1 regions, noted in {noted}: ${vcpu} a vCPU second, ${gib} a
GiB second, ${requests} a million requests. They change: check them. Instances with {vcpus} vCPUs,
always busy: the least that a million pictures can cost. At half the load it is twice as much.
"""


def markdown(results: dict[str, Any]) -> str:
    """Render all tables."""
    machine, latency = results["machine"], results["latency"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    head = {
        **machine,
        "packages": packages,
        "rounds": latency["rounds"],
        "reference_ms": latency["reference_ms"]["median"],
    }
    sections = (
        _latency(latency),
        _http(results["http"]),
        _peers(results["peers"]),
        _throughput(results["throughput"]),
        _limits(results["limits"]),
        _cost(results),
        _threads(results["threads"]),
        _cold_start(results["cold_start"], results["container"]),
        _imports(results["imports"]),
        _memory(results["memory"]),
        _detection(results["detection"]),
    )
    return "\n".join((HEAD.format(**head), *("\n".join(section) for section in sections)))


Section = tuple[str, ...]


def _latency(latency: dict[str, Any]) -> Section:
    stages = ("decode", "detect", "align", "attributes")
    rows = (
        (
            row["case"],
            row["inference_ms"]["median"],
            row["inference_ms"]["p95"],
            *(row["stages_ms"][stage] for stage in stages),
            row["cpu_ms"]["median"],
        )
        for row in latency["cases"]
    )
    return (
        "## Latency in the pipeline, milliseconds\n",
        table(("case", "inference_time", "p95", *stages, "CPU"), rows),
        f"\nEach further face costs {latency['each_further_face_ms']} ms.\n",
    )


def _http(http: dict[str, Any]) -> Section:
    rows = ((name, row["median"], row["p95"], row["cpu_ms"]) for name, row in http.items())
    return (
        "## End to end over HTTP, 640x480, one face, milliseconds\n",
        table(("request", "median", "p95", "CPU of the server"), rows) + "\n",
    )


def _peers(peers: list[dict[str, Any]]) -> Section:
    shown = next(row["pictures"] for row in peers if "pictures" in row)
    titles = [f"{p['width']}x{p['height']}, {p['people']}" for p in shown]
    rows = []
    for row in peers:
        if "pictures" not in row:
            rows.append((row["name"], f"not measured: {row['unavailable']}", *[""] * len(shown)))
            continue
        cells = [f"{p['median']:.0f} ({p['p95']:.0f})" for p in row["pictures"]]
        first = row["pictures"][0]["median"] / peers[0]["pictures"][0]["median"]
        rows.append((row["name"], *cells, f"{first:.1f}"))
    return (
        "## Beside others, milliseconds by picture and people in it\n",
        PEERS,
        table(("library", *titles, "times ours (first picture)"), rows),
        "\n![Latency by number of faces](img/benchmarks/faces.png)",
        "![Latency by size of picture](img/benchmarks/size.png)\n",
    )


def _throughput(told: dict[str, Any]) -> Section:
    rows = [tuple(row.values()) for row in told["rows"]]
    return (
        "## Throughput of the server, `accurate`, 640x480, one face\n",
        table(("clients", "pictures a second", "median, ms", "p95, ms"), rows),
        f"\nOn one CPU: {told['one_cpu']} pictures a second; all together are {told['ratio']} times"
        " that.\n",
        "![Throughput by number of clients](img/benchmarks/throughput.png)\n",
    )


def _limits(limits: dict[str, Any]) -> Section:
    rows = (
        (row["case"], row["gflop"], row["least_ms"], row["measured_ms"], row["times"])
        for row in limits["rows"]
    )
    return (
        "## How far from the limit\n",
        LIMITS.format(gemm=limits["gemm_gflops"]),
        table(("network", "GFLOP", "least, ms", "measured, ms", "times the least"), rows) + "\n",
    )


def _cost(results: dict[str, Any]) -> Section:
    rows = (
        (row["name"], row["cpu_ms"], row["memory_mib"], row["vcpu_hours"], row["total_usd"])
        for row in cost.rows(results)
    )
    text = COST.format(
        noted=cost.NOTED,
        vcpu=f"{cost.VCPU_SECOND:.7f}",
        gib=f"{cost.GIB_SECOND:.7f}",
        requests=f"{cost.MILLION_REQUESTS:.2f}",
        vcpus=cost.INSTANCE_VCPUS,
    )
    columns = ("what", "CPU ms a picture", "MiB", "vCPU hours a million", "US$ a million")
    return ("## What a million pictures cost\n", text, table(columns, rows) + "\n")


def _threads(rows: list[dict[str, Any]]) -> Section:
    return (
        "## Threads of the detector, 640x480\n",
        "One network run by so many threads, and so many networks run by one thread each. More CPUs"
        " than are listed this machine does not have.\n",
        table(
            ("CPUs", "threads", "one run, ms", "runs a second, one thread each"),
            (tuple(row.values()) for row in rows),
        )
        + "\n",
    )


FIRST_STAGES = ("load", "decode", "detect", "align", "attributes", "render")


def _cold_start(starts: dict[str, Any], told: dict[str, Any]) -> Section:
    if "unavailable" in told:
        note = f"\nIn a container: not measured, {told['unavailable']}."
    else:
        note = f"\nIn the container, whose own start counts too:\n\n```\n{told['command']}\n```"
    contained = told.get("starts", {})
    named = {**starts, **{f"{name}, in the container": row for name, row in contained.items()}}
    rows = (
        (
            *(name, row["median_s"], row["min_s"], row["up_s"]),
            *(row["first_ms"].get(stage, 0) for stage in FIRST_STAGES),
        )
        for name, row in named.items()
    )
    columns = ("detector", "median, s", "least, s", "server up, s")
    return (
        "## Cold start: from `exec` to the first answered prediction\n",
        "The picture goes back drawn. After the server is up come the stages of the first request,"
        " milliseconds.\n",
        table((*columns, *FIRST_STAGES), rows),
        note,
        "\n![Cold start](img/benchmarks/start.png)\n",
    )


def _imports(rows: list[dict[str, Any]]) -> Section:
    return (
        "### What is imported before the first request, by package\n",
        "As `-X importtime` counts it, which makes each a little slower.\n",
        table(("package", "ms"), (tuple(row.values()) for row in rows)) + "\n",
    )


def _memory(memory: dict[str, Any]) -> Section:
    rows = [tuple(sample.values()) for sample in memory["samples"]]
    return (
        "## Memory of the server over 1,000 mixed requests, MiB\n",
        "PSS counts pages that processes share once over all of them; RSS of the worker counts them"
        " in full.\n",
        table(("after requests", "PSS of all processes", "RSS of the worker"), rows),
        "\n![Memory by requests answered](img/benchmarks/memory.png)\n",
    )


def _detection(rows: list[dict[str, Any]]) -> Section:
    columns = ("face, pixels", "detector", "faces", "recall", "false faces")
    return (
        "## Faces found, by size of face\n",
        table(columns, (tuple(row.values()) for row in rows)) + "\n",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
