"""Whether a model's file is the one that was built.

The engine itself finds out when a file's structure is damaged. A bit that has turned in its weights
it cannot see: the answers would just be wrong.
"""

import json
from hashlib import file_digest
from pathlib import Path

from age_gender.errors import ModelUnavailable

MANIFEST = "manifest.json"


def verified(models_dir: Path, file: str) -> Path:
    """Path of a model's file, compared with the checksum that the build wrote down.

    A file of which the manifest knows nothing, or which is missing, is left to the engine.

    Args:
        models_dir: has the file and, if it was built there, ``manifest.json``.
        file: name in it.

    Raises:
        ModelUnavailable: the file is another one, or the manifest is damaged.
    """
    path = models_dir / file
    expected = _checksums(models_dir / MANIFEST).get(file)
    if expected is None or not path.is_file():
        return path
    with path.open("rb") as stream:
        found = file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise ModelUnavailable(
            f"model file {file} is not the one that was built: delete it and run `make models`"
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
            f"{MANIFEST} of the models is damaged: delete it and run `make models`"
        ) from None
