"""The table of formats in docs/api.md, from files that are given to each part of the product.

``python -m tests.formats_table`` writes it.
"""

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import functions_framework

from age_gender.batch.annotate import Annotator, predict_with
from age_gender.batch.folder_store import FolderStore
from age_gender.batch.location import Location
from age_gender.cli.frames import frames_of
from age_gender.cli.inputs import collect
from age_gender.edge.app import Edge
from age_gender.errors import AgeGenderError
from age_gender.limits.limiter import PredictionLimiter
from age_gender.settings import FUNCTION_DIR, Settings
from tests.contract.conftest import MAIN, Client, FakeRuntime
from tests.markdown import ROOT, read
from tests.unit import files

PAGE = ROOT / "docs" / "api.md"
INDEX = FUNCTION_DIR / "age_gender" / "edge" / "web" / "index.html"
_TABLE = re.compile(r"(<!-- formats: made by tests\.formats_table -->\n).*?(\n<!-- end -->)", re.S)

Part = Callable[[str, bytes], str]
"""Takes the ending of a file's name and its content; returns ``yes``, or what it is called."""


def parts(client: Client, folder: Path) -> dict[str, Part]:
    """Return the parts of the product by name.

    Args:
        client: of the service.
        folder: an empty one to work in.
    """
    return {
        "service": lambda _, data: _service(client, data),
        "command line": lambda suffix, data: _command_line(folder, suffix, data),
        "trigger": lambda suffix, data: _trigger(folder, suffix, data),
        "demo page": lambda suffix, data: _page(client, suffix, data),
    }


def table(client: Client, folder: Path) -> str:
    """Give each file to each part, and build the table."""
    columns = parts(client, folder)
    lines = [f"| file | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for group in (files.readable(), files.refused(), files.others()):
        for name, (suffix, data) in group.items():
            cells = [part(suffix, data) for part in columns.values()]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(text: str, made: str) -> str:
    """Return the page with the table in its place."""
    return _TABLE.sub(lambda match: match[1] + made + match[2], text)


def current(text: str) -> str:
    """Return the table of the page."""
    match = _TABLE.search(text)
    assert match
    return match[0].split("\n", 1)[1].rsplit("\n", 1)[0]


def _quoted(name: str) -> str:
    return f"no: “{name}”"


def _named(message: str) -> str:
    """What a refusal calls the file."""
    name, found, _ = message.partition(" cannot be read: ")
    assert found, message
    return _quoted(name)


def _service(client: Client, data: bytes) -> str:
    response = client.post(data=data, content_type="application/octet-stream")
    answer = response.get_json()
    if response.status_code == 200:
        assert answer["image_size"] == [96, 64]
        return "yes"
    assert (response.status_code, answer["code"]) == (415, "unsupported-picture")
    return _named(answer["detail"])


def _page(client: Client, suffix: str, data: bytes) -> str:
    (accepted,) = re.findall(r'type="file" id="files" accept="([^"]*)"', read(INDEX))
    answered = _service(client, data)
    if answered == _quoted("an MP4 video") and "video/*" in accepted.split(","):
        return "as a video"
    # Files can also be dropped, whatever they are called.
    assert answered != "yes" or not suffix or suffix in accepted.split(",")
    return answered


def _command_line(folder: Path, suffix: str, data: bytes) -> str:
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    try:
        inputs = collect([str(folder)])
        for file in inputs.files:
            (frame,) = frames_of(file, Settings(), 1.0, lambda _: None)
            assert frame.image.shape == (64, 96, 3)
            return "yes"
        for _, kind in inputs.others:
            return _quoted(kind)
        assert inputs.videos
        return "as a video"
    except AgeGenderError as error:
        return _named(error.message)
    finally:
        path.unlink()


def _trigger(folder: Path, suffix: str, data: bytes) -> str:
    settings = Settings(annotate_image="none")
    runtime = FakeRuntime()
    runtime.settings = settings  # type: ignore[attr-defined]
    limiter = PredictionLimiter.from_settings(settings, intake=1)
    with tempfile.TemporaryDirectory() as out:
        store = FolderStore(folder)
        path = folder / f"file{suffix}"
        path.write_bytes(data)
        annotator = Annotator(
            Location(FolderStore(Path(out))),
            lambda encoded, options: predict_with(runtime, limiter, encoded, options),  # type: ignore[arg-type]
            settings,
        )
        (stored,) = store.list("")
        outcome = annotator.annotate(store, stored)
        path.unlink()
    return "yes" if outcome.status == "annotated" else _named(outcome.body["error"]["message"])


def _client() -> Client:
    app = functions_framework.create_app("predict", str(MAIN))  # type: ignore[no-untyped-call]
    edge = Edge(Settings(), FakeRuntime)  # type: ignore[arg-type]
    sys.modules["main"]._edge = edge  # type: ignore[attr-defined]
    return Client(app.test_client())


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as folder:
        made = table(_client(), Path(folder))
    PAGE.write_text(with_table(read(PAGE), made), encoding="utf-8")


if __name__ == "__main__":
    main()
