"""Stops a release at known vulnerabilities that have a fix; cloudbuild.yaml runs it.

    python3 vulnerabilities.py REPORT SEVERITY

REPORT is what `gcloud artifacts docker images list-vulnerabilities --format=json` wrote, SEVERITY
the least that counts. What has no fix yet would stop every release and could not be helped.
"""

import json
import sys
from pathlib import Path
from typing import Any

SEVERITIES = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def fixable(report: list[dict[str, Any]], severity: str) -> list[str]:
    """Name what is at least as severe and has a fix.

    Raises:
        SystemExit: there is no such severity.
    """
    if severity not in SEVERITIES:
        sys.exit(f"no severity: {severity}; there are {', '.join(SEVERITIES)}")
    counts = SEVERITIES[SEVERITIES.index(severity) :]
    found = []
    for occurrence in report:
        what = occurrence["vulnerability"]
        rated = what.get("effectiveSeverity", "")
        if what.get("fixAvailable") and rated in counts:
            found.append(f"{rated} {what.get('shortDescription', occurrence.get('noteName'))}")
    return sorted(found)


def main(report: Path, severity: str) -> None:
    """Print what was found, and end with an error if that is anything."""
    found = fixable(json.loads(report.read_text(encoding="utf-8")), severity)
    if found:
        sys.exit("\n".join(found))
    print(f"nothing from {severity} on that has a fix")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
