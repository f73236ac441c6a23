"""PEP 517 build backend: setuptools, plus a step that builds missing networks first.

So ``pip install .`` in a clean checkout gives an installation that can predict. If the networks are
built already, setuptools is all it needs.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

from modelbuild.build import build_all, check
from modelbuild.catalogue import MODELS_DIR, ROOT
from modelbuild.errors import ModelBuildError

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ConfigSettings = Mapping[str, Any] | None

_PIN = re.compile(r"^[\w.-]+==[^\s\\]+", re.MULTILINE)


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """List the build requirements; with the converters only if networks are missing."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_converters()]


def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """List the requirements of an editable build; see `get_requires_for_build_wheel`."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_converters()]


def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build missing networks, then the wheel; returns its file name."""
    _build_models()
    # setuptools would also pack what an earlier build left there, such as deleted modules.
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str,
    config_settings: ConfigSettings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build missing networks, then the editable wheel; returns its file name."""
    _build_models()
    return str(build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def _converters() -> list[str]:
    """Pins from ``requirements/build.txt``, if any network is missing or outdated."""
    if not check(MODELS_DIR):
        return []
    return _PIN.findall((ROOT / "requirements" / "build.txt").read_text(encoding="utf-8"))


def _build_models() -> None:
    try:
        build_all(MODELS_DIR, log=lambda line: print(line, file=sys.stderr))
    except ModelBuildError as error:
        sys.exit(f"error: {error}")
