#!/usr/bin/env python3
"""Runs the commands of ``age-gender`` from a checkout, without installing the package."""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - started by whatever Python there is
    sys.exit("error: this needs Python 3.11 or later: run `make models`, which finds it")

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "function"), str(ROOT)]

from age_gender.cli import run

if __name__ == "__main__":
    run()
