"""Picture files of every format that people have, and files that are something else, for tests."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.unit.pictures import Pixels, encoded, marked

IMAGE: Pixels = np.ascontiguousarray(marked(48, 32).repeat(2, 0).repeat(2, 1))
"""96 x 64; red in its upper left."""

# Columns X, Y, Z of red, green and blue, relative to D50, as their makers' profiles have them.
DISPLAY_P3 = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def heic(image: Pixels | Pillow.Image, **options: Any) -> bytes:
    """Encode HEIC; options as `pillow_heif.HeifFile.save`."""
    # Loads an encoder of 20 MB.
    import pillow_heif

    pillow = image if isinstance(image, Pillow.Image) else Pillow.fromarray(image)
    stream = io.BytesIO()
    pillow_heif.from_pillow(pillow).save(stream, **{"quality": 90, **options})
    return stream.getvalue()


def oriented(image: Pixels, file_format: str, orientation: int) -> bytes:
    """Encode an image as a camera stores it with an EXIF orientation."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    if file_format == "HEIC":
        return heic(image, exif=exif.tobytes())
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95},
    }
    return encoded(image, file_format, exif=exif, **options.get(file_format, {}))


def profile(
    primaries: tuple[tuple[float, ...], ...], gamma: float, space: bytes = b"RGB "
) -> bytes:
    """Make an ICC profile of three primaries and a power."""
    power = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), power)
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + _fixed(*column)
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + _fixed(0.9642, 1, 0.8249)
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags[b"cprt"] = b"text\0\0\0\0none"
    body, table = b"", b""
    start = 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = bytearray(128)
    header[:4] = struct.pack(">I", start + len(body))
    header[8:24] = b"\x02\x10\0\0mntr" + space + b"XYZ "
    header[36:40] = b"acsp"
    header[68:80] = _fixed(0.9642, 1, 0.8249)
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65_536) for value in values))


def tiff_16_bit(image: Pixels) -> bytes:
    """Write an uncompressed TIFF of 16 bits a sample, which Pillow cannot."""
    height, width, _ = image.shape
    pixels: NDArray[Any] = image.astype("<u2") * 257
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8 + 2 + 9 * 12 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4 + 6),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, pixels.nbytes),
    ]
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    directory = struct.pack("<H", len(entries)) + rows + bytes(4)
    return b"II*\0\x08\0\0\0" + directory + struct.pack("<3H", 16, 16, 16) + pixels.tobytes()


def _tiff(mode: str, compression: str) -> bytes:
    return encoded(Pillow.fromarray(IMAGE).convert(mode), "TIFF", compression=compression)


def readable() -> dict[str, tuple[str, bytes]]:
    """Files that are read, by what they are: the ending of their name, and the content."""
    two = Pillow.fromarray(IMAGE)
    jpeg = encoded(IMAGE, "JPEG", quality=95)
    return {
        "JPEG": (".jpg", jpeg),
        "JPEG, progressive": (".jpeg", encoded(IMAGE, "JPEG", progressive=True)),
        "JPEG without its end": (".jpg", jpeg[:-2]),
        "JPEG with several pictures (MPO)": (
            ".mpo",
            encoded(two, "MPO", save_all=True, append_images=[two]),
        ),
        "PNG": (".png", encoded(IMAGE, "PNG")),
        "PNG, animated (first frame)": (
            ".png",
            encoded(two, "PNG", save_all=True, append_images=[two.rotate(180)]),
        ),
        "WebP": (".webp", encoded(IMAGE, "WEBP")),
        "WebP, animated (first frame)": (
            ".webp",
            encoded(two, "WEBP", save_all=True, append_images=[two.rotate(180)]),
        ),
        "GIF (first frame)": (".gif", encoded(IMAGE, "GIF")),
        "BMP": (".bmp", encoded(IMAGE, "BMP")),
        "HEIC": (".heic", heic(IMAGE)),
        "AVIF": (".avif", encoded(IMAGE, "AVIF")),
        "TIFF (first page)": (
            ".tif",
            encoded(two, "TIFF", save_all=True, append_images=[two.rotate(180)]),
        ),
        "TIFF, LZW": (".tif", _tiff("RGB", "tiff_lzw")),
        "TIFF, Deflate": (".tiff", _tiff("RGB", "tiff_adobe_deflate")),
        "TIFF, PackBits, palette": (".tif", _tiff("P", "packbits")),
        "TIFF, CCITT": (".tif", _tiff("1", "group4")),
        "TIFF, CMYK": (".tif", _tiff("CMYK", "tiff_lzw")),
        "TIFF, 16 bits": (".tif", tiff_16_bit(IMAGE)),
        "any of them without an ending": ("", jpeg),
    }


def refused() -> dict[str, tuple[str, bytes]]:
    """Pictures that are not read: the ending of their name, and the content."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    return {
        "an SVG": (".svg", svg),
        "a RAW photo": (".cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(100)),
        "a JPEG XL": (".jxl", b"\xff\x0a" + bytes(100)),
        "a JPEG 2000": (".jp2", encoded(IMAGE, "JPEG2000")),
        "a Photoshop file": (".psd", b"8BPS\0\1" + bytes(100)),
        "an icon": (".ico", encoded(IMAGE, "ICO", sizes=[(16, 16)])),
        "a BigTIFF": (".tif", b"II+\0\x08\0\0\0" + bytes(100)),
    }


def others() -> dict[str, tuple[str, bytes]]:
    """Files that are no pictures: the ending of their name, and the content."""
    return {
        "a PDF": (".pdf", encoded(IMAGE, "PDF")),
        "an MP4 video": ("", b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(100)),
        "a web page": (".html", b"<!doctype html><title>Sign in</title>"),
        "a text": (".txt", b"notes\n"),
        "an archive or document": (".zip", b"PK\3\4" + bytes(100)),
        "a sound": (".wav", b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)),
    }
