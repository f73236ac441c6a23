"""Builds the site and checks its links: ``python -m docsite [FOLDER]``."""

import sys
import time
from pathlib import Path

from docsite.build import build
from docsite.links import problems
from docsite.places import ROOT


def main(arguments: list[str]) -> int:
    """Build into a folder, ``build/site`` by default; return 1 if a link is broken."""
    folder = Path(arguments[0]) if arguments else ROOT / "build" / "site"
    start = time.perf_counter()
    built = build(folder)
    broken = problems(folder)
    for line in broken:
        print(line, file=sys.stderr)
    seconds = time.perf_counter() - start
    print(
        f"{built.pages} pages and {built.listings} listings in {folder}, "
        f"{len(broken)} broken links, {seconds:.1f} s"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
