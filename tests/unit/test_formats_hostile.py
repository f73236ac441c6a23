"""HEIC, AVIF and TIFF files that are damaged, or made to do harm."""

import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from age_gender.errors import AgeGenderError, ImageError, ImageTooLarge
from age_gender.vision.decode import EncodedImage, decode
from age_gender.vision.formats import bmff, decoder, exif, isolated
from age_gender.vision.headers import read_header
from tests.unit.files import IMAGE, heic, tiff_16_bit
from tests.unit.pictures import encoded
from tests.unit.test_formats import box, grid

LIMITS = {"max_bytes": 1 << 24, "max_pixels": 1 << 20}
HEIC = heic(IMAGE)
AVIF = encoded(IMAGE, "AVIF")
TIFF = encoded(IMAGE, "TIFF", compression="tiff_lzw")


def patched(data: bytes, at: int, layout: str, *values: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, *values)
    return bytes(changed)


def with_tag(tag: int, value: int, data: bytes = TIFF) -> bytes:
    """Change the value of an entry of one number."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, at)[0] == tag:
            kind = struct.unpack_from("<H", data, at + 2)[0]
            return patched(data, at + 8, "<H" if kind == 3 else "<I", value)
    raise KeyError(tag)


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "decode", lambda *_: pytest.fail("it was decoded"))


@pytest.mark.defends("pixel-bomb")
@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "data",
    [
        with_tag(256, 60_000, with_tag(257, 60_000)),
        HEIC.replace(struct.pack(">II", 96, 64), struct.pack(">II", 60_000, 60_000)),
        AVIF.replace(struct.pack(">II", 96, 64), struct.pack(">II", 60_000, 60_000)),
    ],
)
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="pixels"):
        decode(data, **LIMITS)


@pytest.mark.defends("tiff-tiles")
@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("side", [(1, 1), (0, 0), (1 << 30, 1 << 30), (16, 1 << 20)])
def test_tiff_tiles_that_no_picture_has(side: tuple[int, int]) -> None:
    across, down = side
    entries = [(256, 4, 1, 1000), (257, 4, 1, 1000), (322, 4, 1, across), (323, 4, 1, down)]
    entries.append((324, 4, 1 << 20, 8))
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + bytes(4)
    with pytest.raises((ImageError, ImageTooLarge)):
        decode(data, **LIMITS)


@pytest.mark.defends("tiff-loop")
def test_tiff_directories_in_a_loop() -> None:
    (start,) = struct.unpack_from("<I", TIFF, 4)
    looped = patched(TIFF, exif.read_directory(TIFF).next_at, "<I", start)
    np.testing.assert_array_equal(decode(looped, **LIMITS), IMAGE)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (with_tag(259, 34925), "LZMA"),
        (with_tag(259, 34713), "a RAW photo"),
        (with_tag(277, 60_000), "samples"),
        (patched(tiff_16_bit(IMAGE), 8 + 2 + 9 * 12 + 4, "<3H", 32, 32, 32), "32 bits"),
    ],
)
def test_tiffs_that_are_not_read_are_named(data: bytes, name: str) -> None:
    with pytest.raises((ImageError, ImageTooLarge), match=name):
        decode(data, **LIMITS)


@pytest.mark.defends("box-bomb")
@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "inside",
    [
        box(b"free", b"") * 1_000_000,
        struct.pack(">I4s", 4, b"iinf"),
        box(b"iprp", box(b"ipma", struct.pack(">II", 0, 0xFFFFFFFF))),
        box(b"iprp", box(b"iprp", box(b"iprp", bytes(64)))),
        box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 1, 65535))),
        box(b"pitm", b""),
        b"",
    ],
)
def test_boxes_without_end(inside: bytes) -> None:
    start = time.process_time()
    with pytest.raises(ImageError):
        read_header(box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(4) + inside))
    assert time.process_time() - start < 5, "it ends"


@pytest.mark.defends("hidden-tiles")
@pytest.mark.usefixtures("no_decoder")
def test_tiles_that_are_larger_than_the_picture() -> None:
    data = grid(IMAGE, 64)
    large = data.replace(struct.pack(">II", 64, 64), struct.pack(">II", 8000, 8000))
    with pytest.raises((ImageError, ImageTooLarge)):
        decode(large, **LIMITS)


@pytest.mark.usefixtures("no_decoder")
def test_more_tiles_than_any_picture_has(monkeypatch: pytest.MonkeyPatch) -> None:
    data = grid(IMAGE, 64)
    monkeypatch.setattr(bmff, "MAX_TILES", 1)
    with pytest.raises(ImageError, match="tiles"):
        decode(data, **LIMITS)


def program(folder: Path, text: str) -> Path:
    path = folder / "decoder.py"
    path.write_text(f"import os, signal, sys, time\n{text}\n", encoding="utf-8")
    return path


@pytest.mark.defends("isolated-crash")
@pytest.mark.parametrize(
    "text",
    [
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "sys.stdin.buffer.read(); os.kill(os.getpid(), signal.SIGABRT)",
        "sys.stdin.buffer.read(); sys.stdout.buffer.write(b'x' * 7)",
        "sys.stdin.buffer.read(); sys.stdout.buffer.write(b'\\xff' * 100)",
        "sys.stdin.buffer.read(); sys.stdout.buffer.write(b'\\x60\\0\\0\\0\\x40\\0\\0\\0x')",
        "time.sleep(60)",
        "raise SystemExit(5)",
    ],
)
def test_whatever_happens_to_the_decoder_the_file_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_PROGRAM", program(tmp_path, text))
    monkeypatch.setattr(isolated, "_WAITING", 0.1)
    with pytest.raises((ImageError, ImageTooLarge), match="damaged"):
        decode(TIFF, **LIMITS)


def test_a_decoder_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_PROGRAM", program(tmp_path, "raise SystemExit(4)"))
    with pytest.raises(ImageError, match="not installed"):
        decode(TIFF, **LIMITS)


@pytest.mark.defends("decoder-memory")
def test_a_decoder_takes_no_more_memory_than_its_header_allows() -> None:
    """The tiles say 64 x 64, and what is compressed in them has 4 million pixels."""
    large = heic(np.zeros((2048, 2048, 3), np.uint8))
    lying = large.replace(struct.pack(">II", 2048, 2048), struct.pack(">II", 64, 64))
    assert lying != large
    with pytest.raises(AgeGenderError):
        decode(lying, **LIMITS)
    # From a process that is small itself, since a child's peak starts with its parent's.
    measure = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    arguments = ["HEIC", str(8 << 20), "20", os.pathsep.join(filter(None, sys.path))]
    measured = subprocess.run(
        [sys.executable, "-c", measure, sys.executable, "-I", "-S", decoder.__file__, *arguments],
        input=lying,
        capture_output=True,
        check=True,
    )
    assert int(measured.stdout) < 40_000, "kilobytes"


@pytest.mark.defends("decoder-memory")
def test_a_decoder_takes_no_more_memory_than_the_container_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As much as its size asks for is not there; what is there is enough for a small one."""
    large = encoded(np.zeros((1000, 1000, 3), np.uint8), "AVIF")
    assert decode(large, **LIMITS).shape == (1000, 1000, 3)
    monkeypatch.setattr(isolated, "spare_memory", lambda: isolated.KEPT_BYTES)
    monkeypatch.setattr(isolated, "BASE_BYTES", 10 << 20)
    with pytest.raises(ImageTooLarge, match="more memory"):
        decode(large, **LIMITS)
    assert decode(AVIF, **LIMITS).shape == IMAGE.shape


@pytest.mark.defends("decoder-secrets")
def test_a_decoder_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIC_AUTH_PASSWORD", "kubes")
    seen = tmp_path / "environment"
    text = f"open({str(seen)!r}, 'w').write(str(dict(os.environ)))"
    monkeypatch.setattr(isolated, "_PROGRAM", program(tmp_path, text))
    with pytest.raises(ImageError):
        decode(TIFF, **LIMITS)
    assert "kubes" not in seen.read_text(encoding="utf-8")


@pytest.mark.defends("corrupted")
@pytest.mark.parametrize("data", [HEIC, AVIF, TIFF], ids=["heic", "avif", "tiff"])
def test_headers_changed_or_cut_anywhere(data: bytes) -> None:
    """Whatever the header says, nothing but our own errors comes of it."""
    chance = random.Random(1)
    for _ in range(2000):
        changed = bytearray(data[: chance.choice((len(data), chance.randrange(len(data))))])
        for _ in range(chance.choice((0, 1, 3, 9)) if changed else 0):
            at = chance.randrange(min(len(changed), 500))
            changed[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        try:
            EncodedImage(bytes(changed), **LIMITS)
        except AgeGenderError:
            continue


@pytest.mark.parametrize("data", [HEIC, AVIF, TIFF], ids=["heic", "avif", "tiff"])
def test_content_that_is_damaged(data: bytes) -> None:
    chance = random.Random(2)
    for _ in range(6):
        changed = bytearray(data)
        for _ in range(20):
            changed[chance.randrange(len(changed) // 2, len(changed))] = chance.randrange(256)
        try:
            assert decode(bytes(changed), **LIMITS).shape == IMAGE.shape
        except AgeGenderError:
            continue


def test_no_process_stays_behind() -> None:
    before = _children()
    decode(TIFF, **LIMITS)
    with pytest.raises(ImageError):
        decode(TIFF[: len(TIFF) // 2], **LIMITS)
    assert _children() <= before


def _children() -> set[str]:
    """Processes that this one has started and not collected; other tests may share it."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(listing.read_text(encoding="ascii").split()) if listing.exists() else set()
