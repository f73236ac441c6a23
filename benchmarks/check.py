"""Reports what got slower: ``python -m benchmarks.check`` after a change.

Measures the CPU time of each case relative to the reference loop and compares the ratio with the
stored one, so that a slower or busier machine does not look like slower code.
"""

import json
import sys

from benchmarks import latency
from benchmarks.report import RESULTS, table

ROUNDS = 15
TOLERANCE = 1.15
"""Runs on an idle machine differ by up to 10 %."""


def main() -> int:
    """Measure and print a table; return 1 if anything is slower than allowed."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    stored = {row["case"]: row["ratio"] for row in results["latency"]["cases"]}
    rows, slower = [], []
    for row in latency.measure(ROUNDS)["cases"]:
        before = stored.get(row["case"])
        if before is None:
            rows.append((row["case"], "new", row["ratio"], ""))
            continue
        change = row["ratio"] / before
        if change > TOLERANCE:
            slower.append(f"{row['case']}: {change:.2f} times the stored ratio")
        rows.append((row["case"], before, row["ratio"], f"{change:.2f}"))
    print(table(("case", "ratio stored", "now", "change"), rows))
    print("\n".join(f"SLOWER: {line}" for line in slower) or "nothing got slower")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
