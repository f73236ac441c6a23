"""Verifies the checksums of model files.

An engine notices when a file's structure is damaged, but not a flipped bit in its weights: its
predictions would just be wrong. The bytes that were verified are those that are used, since a file
may be replaced at any time.
"""

import json
from hashlib import sha256
from pathlib import Path

from age_gender.errors import ModelUnavailable

MANIFEST = "manifest.json"


def verified(models_dir: Path, file: str) -> bytes | None:
    """Read a model file and check it against the build's manifest.

    A file that is not in the manifest is not checked.

    Args:
        models_dir: folder of the file and, if it was built there, ``manifest.json``.
        file: name of the file.

    Returns:
        Its content, or None where it is missing.

    Raises:
        ModelUnavailable: it cannot be read, the checksum differs, or the manifest is damaged.
    """
    expected = _checksums(models_dir / MANIFEST).get(file)
    try:
        content = (models_dir / file).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelUnavailable(f"model file {file} cannot be read: {error.strerror}") from error
    if expected is not None and sha256(content).hexdigest() != expected:
        raise ModelUnavailable(
            f"model file {file} has changed since it was built: delete it and run `make models`"
        )
    return content


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
