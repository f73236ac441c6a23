"""Compares an image's SBOM with the installed packages; cloudbuild.yaml runs it.

    python3 sbom.py SBOM REQUIREMENTS

SBOM is SPDX, plain or as wrapped by `docker buildx imagetools inspect --format '{{ json .SBOM }}'`.
Scanners can overlook the packages of a stripped image, and then report no vulnerabilities either.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

MIN_SYSTEM_PACKAGES = 20


def components(sbom: dict[str, Any]) -> set[str]:
    """Package URLs without qualifiers: ``pkg:pypi/numpy@2.4.6``, ``pkg:deb/debian/libc6@2.36``."""
    spdx = sbom
    while "packages" not in spdx:  # wrapped: {"SPDX": ...} or {"linux/amd64": {"SPDX": ...}}
        inner = [value for value in spdx.values() if isinstance(value, dict)]
        if not inner:
            return set()
        spdx = inner[0]
    return {
        unquote(reference["referenceLocator"].split("?")[0])
        for package in spdx["packages"]
        for reference in package.get("externalRefs", [])
        if reference["referenceType"] == "purl"
    }


def pinned(requirements: str) -> set[str]:
    """Package URLs of the pins in a requirements file."""
    pins = re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", requirements, re.MULTILINE)
    return {f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}" for name, version in pins}


def missing(sbom: dict[str, Any], requirements: str) -> list[str]:
    """List what the SBOM lacks."""
    listed = components(sbom)
    lacking = sorted(pinned(requirements) - listed)
    system = sum(purl.startswith("pkg:deb/") for purl in listed)
    if system < MIN_SYSTEM_PACKAGES:
        lacking.append(f"the system's packages (only {system} listed)")
    return lacking


def main(sbom: Path, requirements: Path) -> None:
    """Exit with an error if anything is missing."""
    lacking = missing(
        json.loads(sbom.read_text(encoding="utf-8")), requirements.read_text(encoding="utf-8")
    )
    if lacking:
        sys.exit("missing from the SBOM: " + ", ".join(lacking))
    print("the SBOM is complete")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
