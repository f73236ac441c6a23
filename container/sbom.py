"""Compares an image's SBOM with the packages that it holds; cloudbuild.yaml runs it.

    python3 sbom.py SBOM INSTALLED

SBOM is SPDX, plain or as wrapped by `docker buildx imagetools inspect --format '{{ json .SBOM }}'`,
INSTALLED what `installed.py` prints inside the image. Scanners can overlook the packages of a
stripped image, and then report no vulnerabilities either.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

MIN_PACKAGES = {"pkg:deb/": 20, "pkg:pypi/": 10}
"""An image holds at least so many of each kind; fewer mean that they were not found."""


def components(sbom: dict[str, Any]) -> set[str]:
    """Package URLs without qualifiers: ``pkg:pypi/numpy@2.4.6``, ``pkg:deb/debian/libc6@2.36``."""
    spdx = sbom
    while "packages" not in spdx:  # wrapped: {"SPDX": ...} or {"linux/amd64": {"SPDX": ...}}
        inner = [value for value in spdx.values() if isinstance(value, dict)]
        if not inner:
            return set()
        spdx = inner[0]
    return {
        _normalized(unquote(reference["referenceLocator"].split("?")[0]))
        for package in spdx["packages"]
        for reference in package.get("externalRefs", [])
        if reference["referenceType"] == "purl"
    }


def _normalized(purl: str) -> str:
    """The package URL with a Python package's name as indexes write it."""
    if not purl.startswith("pkg:pypi/"):
        return purl
    name, _, version = purl.removeprefix("pkg:pypi/").partition("@")
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"


def missing(sbom: dict[str, Any], installed: list[str]) -> list[str]:
    """List what the SBOM lacks, and kinds of packages of which too few are installed."""
    lacking = sorted(set(installed) - components(sbom))
    for kind, least in MIN_PACKAGES.items():
        count = sum(purl.startswith(kind) for purl in installed)
        if count < least:
            lacking.append(f"packages {kind} (only {count} found in the image)")
    return lacking


def main(sbom: Path, installed: Path) -> None:
    """Exit with an error if anything is missing."""
    lacking = missing(
        json.loads(sbom.read_text(encoding="utf-8")),
        json.loads(installed.read_text(encoding="utf-8")),
    )
    if lacking:
        sys.exit("missing from the SBOM: " + ", ".join(lacking))
    print("the SBOM is complete")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
