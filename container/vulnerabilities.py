"""Stops a release on known, fixable vulnerabilities; cloudbuild.yaml runs it.

    python3 vulnerabilities.py REPORT SEVERITY

REPORT is the output of `gcloud artifacts docker images list-vulnerabilities --format=json`,
SEVERITY the minimum that counts. Vulnerabilities without a fix do not stop a release.
"""

import json
import sys
from pathlib import Path
from typing import Any

SEVERITIES = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def fixable(report: list[dict[str, Any]], severity: str) -> list[str]:
    """List the fixable vulnerabilities of at least this severity.

    Raises:
        SystemExit: the severity is unknown.
    """
    if severity not in SEVERITIES:
        sys.exit(f"unknown severity: {severity}; known: {', '.join(SEVERITIES)}")
    blocking = SEVERITIES[SEVERITIES.index(severity) :]
    lines = []
    for occurrence in report:
        details = occurrence["vulnerability"]
        rated = details.get("effectiveSeverity", "")
        if details.get("fixAvailable") and rated in blocking:
            lines.append(f"{rated} {details.get('shortDescription', occurrence.get('noteName'))}")
    return sorted(lines)


def main(report: Path, severity: str) -> None:
    """Exit with an error if there are fixable vulnerabilities."""
    blocking = fixable(json.loads(report.read_text(encoding="utf-8")), severity)
    if blocking:
        sys.exit("\n".join(blocking))
    print(f"no fixable vulnerabilities of severity {severity} or higher")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
