"""Verifies the checksums of model files.

An engine notices when a file's structure is damaged, but not a flipped bit in its weights: its
predictions would just be wrong.
"""

import json
from hashlib import file_digest
from pathlib import Path

from age_gender.errors import ModelUnavailable

MANIFEST = "manifest.json"


def verified(models_dir: Path, file: str) -> Path:
    """Return the path of a model file after checking it against the build's manifest.

    Files that are missing or not in the manifest are not checked; the engine reports them.

    Args:
        models_dir: folder of the file and, if it was built there, ``manifest.json``.
        file: name of the file.

    Raises:
        ModelUnavailable: the checksum differs, or the manifest is damaged.
    """
    path = models_dir / file
    expected = _checksums(models_dir / MANIFEST).get(file)
    if expected is None or not path.is_file():
        return path
    with path.open("rb") as stream:
        actual = file_digest(stream, "sha256").hexdigest()
    if actual != expected:
        raise ModelUnavailable(
            f"model file {file} has changed since it was built: delete it and run `make models`"
        )
    return path


def _checksums(manifest: Path) -> dict[str, str]:
    try:
        models = json.loads(manifest.read_bytes())["models"].values()
        return {
            name: record["sha256"] for model in models for name, record in model["files"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelUnavailable(
            f"the models' {MANIFEST} is damaged: delete it and run `make models`"
        ) from None
