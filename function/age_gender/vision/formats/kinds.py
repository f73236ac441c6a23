"""Recognises what a file is by its first bytes: one list of what can be read, and of the rest."""

import os
from typing import NamedTuple

from age_gender.errors import ImageError, NotAnImage
from age_gender.vision.formats import png

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "HEIC", "AVIF", "TIFF")
"""Accepted formats; no decoder sees a byte of any other."""
NAMES = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "TIFF": (".tif", ".tiff"),
}
"""Usual ends of their files' names. What a file is, its content says; these only help to choose."""
SNIFFED_BYTES = 1024
"""Bytes of a file's start that `kind_of` needs."""
_NOT_IN_TEXTS = bytes([*range(9), *range(14, 27)])
"""Control characters that no text has."""

_SAVE = "save it as JPEG or PNG"


class Kind(NamedTuple):
    """What a file is.

    Attributes:
        name: one of `FORMATS` if it can be read, else with an article: ``a PDF``.
        is_image: a still picture, whether it can be read or not.
        advice: what to do about a file that cannot be read.
    """

    name: str
    is_image: bool = True
    advice: str = _SAVE

    @property
    def is_readable(self) -> bool:
        """Whether it is one of `FORMATS`."""
        return self.name in FORMATS

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.advice == _VIDEO_ADVICE

    def refusal(self) -> ImageError:
        """Return the error for a file of this kind, which cannot be read."""
        error = ImageError if self.is_image else NotAnImage
        return error(f"{self.name} cannot be read: {self.advice} (readable: {NAMES})")


UNKNOWN = Kind("a file of unknown kind", is_image=False, advice="use a picture")

_PDF = Kind("a PDF", is_image=False, advice="export its page as JPEG or PNG")
_VIDEO_ADVICE = "use one of its frames; the command line takes videos with their usual ending"
RAW = Kind("a RAW photo", advice="export it from your photo program as JPEG")
_ARCHIVE = Kind("an archive or document", is_image=False, advice="take out the pictures in it")
_AUDIO = Kind("a sound", is_image=False, advice="use a picture")
_SVG = Kind("an SVG", advice="export it as PNG")
_HTML = Kind("a web page", is_image=False, advice="use the address of the picture itself")
_TEXT = Kind("a text", is_image=False, advice="use a picture")
_JPEG_XL = Kind("a JPEG XL", advice="save it as JPEG, which loses nothing for most of them")
_JPEG_2000 = Kind("a JPEG 2000")


def _video(name: str) -> Kind:
    return Kind(name, is_image=False, advice=_VIDEO_ADVICE)


_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", Kind("JPEG")),
    (png.SIGNATURE, Kind("PNG")),
    (b"GIF87a", Kind("GIF")),
    (b"GIF89a", Kind("GIF")),
    # Before TIFF, whose first bytes some of them share.
    (b"II*\0\x10\0\0\0CR", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"IIU\0", RAW),
    (b"MMOR", RAW),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"FOVb", RAW),
    (b"\0MRM", RAW),
    (b"II*\0", Kind("TIFF")),
    (b"MM\0*", Kind("TIFF")),
    (b"II+\0", Kind("a BigTIFF", advice="save it as an ordinary TIFF or as JPEG")),
    (b"MM\0+", Kind("a BigTIFF", advice="save it as an ordinary TIFF or as JPEG")),
    (b"%PDF-", _PDF),
    (b"%!PS", Kind("a PostScript file", is_image=False, advice="export it as JPEG or PNG")),
    (b"\xc5\xd0\xd3\xc6", Kind("a PostScript file", is_image=False, advice="export it as PNG")),
    (b"8BPS", Kind("a Photoshop file", advice="export it as JPEG or PNG")),
    (b"gimp xcf", Kind("a GIMP file", advice="export it as JPEG or PNG")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JPEG_XL),
    (b"\xff\x0a", _JPEG_XL),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JPEG_2000),
    (b"\xff\x4f\xff\x51", _JPEG_2000),
    (b"\0\0\1\0", Kind("an icon")),
    (b"\0\0\2\0\0\0\0\0", Kind("a TGA file")),
    (b"\0\0\x0a\0\0\0\0\0", Kind("a TGA file")),
    (b"\0\0\2\0", Kind("a cursor")),
    (b"icns", Kind("an icon")),
    (b"v/1\x01", Kind("an OpenEXR file")),
    (b"#?RADIANCE", Kind("a Radiance HDR file")),
    (b"#?RGBE", Kind("a Radiance HDR file")),
    (b"DDS ", Kind("a DDS texture")),
    (b"qoif", Kind("a QOI file")),
    (b"BPG\xfb", Kind("a BPG file")),
    (b"\x1aE\xdf\xa3", _video("a Matroska or WebM video")),
    (b"\0\0\1\xba", _video("an MPEG video")),
    (b"\0\0\1\xb3", _video("an MPEG video")),
    (b"FLV\1", _video("a Flash video")),
    (b"0&\xb2u\x8ef\xcf\x11", _video("a Windows Media file")),
    (b"\x8aMNG\r\n\x1a\n", _video("an animated MNG")),
    (b"ID3", _AUDIO),
    (b"OggS", _AUDIO),
    (b"fLaC", _AUDIO),
    (b"\xff\xfb", _AUDIO),
    (b"PK\3\4", _ARCHIVE),
    (b"PK\5\6", _ARCHIVE),
    (b"\x1f\x8b", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (b"Rar!\x1a\7", _ARCHIVE),
    (b"BZh", _ARCHIVE),
    (b"\xfd7zXZ\0", _ARCHIVE),
    (b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _ARCHIVE),
    (b"SIMPLE  =", Kind("a FITS file")),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", is_image=False)),
    (b"\x93NUMPY", Kind("a NumPy array", is_image=False)),
    (b"\0\5\x16\7", Kind("a file of macOS metadata", is_image=False, advice="leave it out")),
)

_RIFF = {
    b"WEBP": Kind("WebP"),
    b"AVI ": _video("an AVI video"),
    b"WAVE": _AUDIO,
    b"ACON": Kind("a cursor"),
}

_ALL_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def claims_image(name: str) -> bool:
    """Whether a file has the name of a picture, so that it should be one."""
    return os.path.splitext(name)[1].lower() in _ALL_SUFFIXES


AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_VIDEO_BRANDS = (b"M4V", b"iso", b"mp4", b"mp7", b"avc", b"3gp", b"3g2", b"f4v", b"dash", b"MSNV")


def kind_of(data: bytes) -> Kind:
    """Recognise what a file is.

    Args:
        data: its first `SNIFFED_BYTES` bytes, or all of it.
    """
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[4:8] == b"ftyp":
        return _base_media(data)
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12], UNKNOWN)
    if data.startswith(b"BM") and len(data) > 26:
        return Kind("BMP")
    if data[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return _video("a QuickTime video")
    if data[128:132] == b"DICM":
        return Kind("a DICOM file", advice="export it as PNG")
    if data[:1] == b"G" and data[188:189] == b"G":
        return _video("an MPEG video")
    if data[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF") and (
        data[2:3] in (b" ", b"\n", b"\r", b"\t")
    ):
        return Kind("a Netpbm file")
    return _text(data)


def _base_media(data: bytes) -> Kind:
    """Recognise by the brands of an ISO base media file (ISO/IEC 14496-12, section 4.3)."""
    end = min(int.from_bytes(data[:4], "big"), len(data), SNIFFED_BYTES)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]
    major = brands[0]
    if AVIF_BRANDS.intersection(brands):
        return Kind("AVIF")
    if HEIC_BRANDS.intersection(brands):
        return Kind("HEIC")
    if major == b"crx ":
        return RAW
    if major == b"qt  ":
        return _video("a QuickTime video")
    if major in (b"M4A ", b"M4B ", b"M4P "):
        return _AUDIO
    if major.startswith(_VIDEO_BRANDS):
        return _video("an MP4 video")
    return Kind("a media file of this kind", is_image=False)


def _text(data: bytes) -> Kind:
    start = data[:SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = start.lower()
    if lower.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in lower:
        return _SVG
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _HTML
    if start and len(start.translate(None, _NOT_IN_TEXTS)) == len(start):
        try:
            start.decode()
        except UnicodeDecodeError as error:
            is_cut = len(data) >= SNIFFED_BYTES and error.start >= len(start) - 3
            if not is_cut:  # within a character
                return UNKNOWN
        return _TEXT
    return UNKNOWN
