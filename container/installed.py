"""Lists the packages that an image holds, as package URLs; cloudbuild.yaml runs it inside.

docker run --interactive IMAGE python - <installed.py
"""

import json
import re
from importlib.metadata import distributions
from pathlib import Path

DPKG_STATUS = Path("/var/lib/dpkg/status")


def python_packages() -> set[str]:
    """Packages that Python finds, such as ``pkg:pypi/numpy@2.4.6``."""
    return {
        f"pkg:pypi/{re.sub(r'[-_.]+', '-', package.metadata['Name']).lower()}@{package.version}"
        for package in distributions()
    }


def system_packages(status: str) -> set[str]:
    """Packages that dpkg has installed, such as ``pkg:deb/debian/libc6@2.36``."""
    found = set()
    for record in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", record, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found.add(f"pkg:deb/debian/{fields['Package']}@{fields['Version']}")
    return found


if __name__ == "__main__":
    debian = system_packages(DPKG_STATUS.read_text(encoding="utf-8"))
    print(json.dumps(sorted(python_packages() | debian)))  # noqa: T201
