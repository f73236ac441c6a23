"""Says what got slower: ``python -m benchmarks.check`` after a change.

The CPU time of each case is measured anew beside the reference loop's, and the ratio of the two
compared with the stored one, so that a slower or busier machine does not look like slower code.
"""

import json
import sys

from benchmarks import latency
from benchmarks.report import RESULTS, table

ROUNDS = 15
TOLERANCE = 1.15
"""On a quiet machine, runs differ by up to a tenth."""


def main() -> int:
    """Measure, print a table, and give 1 if anything is slower than allowed."""
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
            slower.append(f"{row['case']}: {change:.2f} times what it was")
        rows.append((row["case"], before, row["ratio"], f"{change:.2f}"))
    print(table(("case", "ratio stored", "now", "change"), rows))
    print("\n".join(f"SLOWER: {line}" for line in slower) or "nothing got slower")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
