"""Pins the images of images.txt by their present digest.

    python3 -m container.pin_images [REGISTRY]

REGISTRY is Docker Hub's, or one that mirrors it, such as mirror.gcr.io.
"""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

IMAGES = Path(__file__).with_name("images.txt")
DOCKER_HUB = "https://registry-1.docker.io"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
"""A digest of one of these is good for all platforms."""

_LINE = re.compile(r"^(\w+) ([a-z0-9._/-]+):([\w.-]+)(?:@(sha256:[0-9a-f]{64}))?$")


def read_images(text: str) -> dict[str, tuple[str, str, str | None]]:
    """Repository, tag and digest (None: not pinned) by purpose.

    Raises:
        ValueError: a line is neither a comment nor an image.
    """
    images = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        found = _LINE.match(line)
        if not found:
            raise ValueError(f"not an image: {line}")
        images[found[1]] = (found[2], found[3], found[4])
    return images


def digest(registry: str, repository: str, tag: str) -> str:
    """Ask a registry for the digest of a tag's index.

    Raises:
        OSError: it does not answer, or knows no such tag.
        ValueError: what it has is no index of platforms.
    """
    url = f"{registry}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ", ".join(INDEXES)}
    try:
        return _head(url, headers)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        token = _token(error.headers.get("WWW-Authenticate", ""))
        return _head(url, {**headers, "Authorization": f"Bearer {token}"})


def _head(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers, method="HEAD")  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - given by the user
        found = answer.headers.get("Docker-Content-Digest", "")
        if answer.headers.get_content_type() not in INDEXES or not found.startswith("sha256:"):
            raise ValueError(f"{url} is no index of platforms")
        return str(found)


def _token(challenge: str) -> str:
    """A token for reading, from where the registry's challenge says."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urlencode({name: fields[name] for name in ("service", "scope") if name in fields})
    with urllib.request.urlopen(f"{fields['realm']}?{query}", timeout=30) as answer:  # noqa: S310
        return str(json.load(answer)["token"])


def pin(text: str, resolve: Callable[[str, str], str]) -> str:
    """Return the file's text with the digest of each image that ``resolve`` finds."""
    lines = text.splitlines()
    for purpose, (repository, tag, _) in read_images(text).items():
        (at,) = (i for i, line in enumerate(lines) if line.startswith(f"{purpose} "))
        lines[at] = f"{purpose} {repository}:{tag}@{resolve(repository, tag)}"
    return "\n".join(lines) + "\n"


def main(registry: str) -> None:
    """Rewrite the file, or exit with an error and leave it."""
    try:
        text = pin(
            IMAGES.read_text(encoding="utf-8"), lambda name, tag: digest(registry, name, tag)
        )
    except (OSError, ValueError) as error:
        sys.exit(f"nothing pinned: {error}")
    IMAGES.write_text(text, encoding="utf-8")
    print(text, end="")  # noqa: T201


if __name__ == "__main__":
    main(f"https://{sys.argv[1]}" if len(sys.argv) > 1 else DOCKER_HUB)
