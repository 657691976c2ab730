"""A photo is taken apart to its pixels and made anew, so that nothing else can come with it.

The format is what the first bytes say, never what a name or a header claims. HEIC is refused: what
decodes it in Python today ships GPL (x265) or LGPL code, which this project does not hand on.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from threading import Lock
from typing import Any, Final, NamedTuple

from PIL import ExifTags, Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from livinglab.domain.geometry import Point, is_point
from livinglab.errors import InvalidError, LabError, TooLargeError, UnsupportedFormatError

CONTENT_TYPE: Final = "image/jpeg"
"""Of everything that comes out."""
LARGEST_BYTES: Final = 10 << 20
MOST_PIXELS: Mapping[str, int] = {
    "image/jpeg": 50_000_000,  # what telephones make, but for rare modes
    "image/png": 50_000_000,
    "image/webp": 20_000_000,  # its decoder holds every pixel four times
}
"""Media type → how many are decoded, so that it takes half a gigabyte at the most. [pixels]"""
MOST_SCANS: Final = 32
"""Of a progressive JPEG; cameras and editors make 18 at the most, bombs make thousands."""
MOST_SEGMENTS: Final = 2_000
LONGEST_SIDE: Final = 2_048
"""[pixels]"""
THUMB_SIDE: Final = 320
"""[pixels]"""
QUALITY: Final = 85

_READERS: Mapping[str, type[ImageFile]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
}
"""What is read, and by whom: a reader is called by its name, so that no other ever sees the bytes,
and looks at the first picture only."""
_BEGINNINGS: Mapping[str, re.Pattern[bytes]] = {
    kind: re.compile(pattern, re.DOTALL)
    for kind, pattern in {
        "image/jpeg": rb"\xff\xd8\xff",
        "image/png": rb"\x89PNG\r\n\x1a\n",
        "image/webp": rb"RIFF....WEBP",
        "image/heic": rb"....ftyp(?:he|mif1|msf1)",
        "image/avif": rb"....ftypavi",
        "image/gif": rb"GIF8",
        "image/tiff": rb"II\*\x00|MM\x00\*",
        "image/svg+xml": rb"(?:\xef\xbb\xbf)?\s*<(?:svg|\?xml)",
    }.items()
}
"""The first bytes of what people send; the formats that are not read are named to help them."""
_REMEDIES: Mapping[str, str] = {
    "image/heic": "on an iPhone choose Settings, Camera, Formats, Most Compatible, or send a copy "
    "that was exported as JPEG",
}
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""What ends a stretch of compressed data in a JPEG."""
_SCAN, _END = b"\xda", b"\xd9"
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How the camera was held (EXIF Orientation) → what sets the picture upright."""


class Photo(NamedTuple):
    """A photo made anew, in two sizes."""

    full: bytes
    thumb: bytes
    width: int
    height: int
    taken_point: Point | None


def sniff(data: bytes) -> str:
    """Return the media type that the first bytes tell.

    Raises:
        UnsupportedFormatError: It is none that is read.
    """
    matching = (kind for kind, begins in _BEGINNINGS.items() if begins.match(data))
    kind = next(matching, "application/octet-stream")
    if kind not in _READERS:
        raise UnsupportedFormatError(kind, tuple(_READERS), _REMEDIES.get(kind, ""))
    return kind


class Darkroom:
    """Makes photos anew: one at a time, so that a crowd of large ones never fills the memory."""

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        """Note how large a file may be. [bytes]"""
        self._largest_bytes = largest_bytes
        self._door = Lock()

    def develop(self, data: bytes, *, locate: bool = False) -> Photo:
        """Make a photo of some bytes: see `ports.MediaStore.put`."""
        if len(data) > self._largest_bytes:
            raise TooLargeError("the photo", self._largest_bytes)
        kind = sniff(data)
        with self._door, _decoding():
            return _developed(kind, data, locate=locate)


@contextmanager
def _decoding() -> Iterator[None]:
    """Answer for decoders, which raise whatever they like over bytes that they do not like."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        raise InvalidError("media", "is broken or cut off; send the photo again") from error


def _developed(kind: str, data: bytes, *, locate: bool) -> Photo:
    if kind == "image/jpeg":
        _refuse_endless(data)
    negative, most = _READERS[kind](BytesIO(data)), MOST_PIXELS[kind]
    if negative.width * negative.height > most:
        size = f"{negative.width} x {negative.height} pixels"
        raise InvalidError("media", f"has {size}; send one of {most:,} pixels at the most")
    exif = _exif(negative)
    profile = negative.info.get("icc_profile")
    upright = _upright(_on_white(_in_srgb(_shrunk(negative), profile)), exif)
    thumb = upright.copy()
    thumb.thumbnail((THUMB_SIDE, THUMB_SIDE))
    return Photo(
        full=_printed(upright),
        thumb=_printed(thumb),
        width=upright.width,
        height=upright.height,
        taken_point=_taken_point(exif) if locate else None,
    )


def _refuse_endless(data: bytes) -> None:
    """Refuse a JPEG that goes over its pixels again and again: each scan costs, and is tiny."""
    at, scans = 2, 0
    for _ in range(MOST_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None or marker[1] == _END:
            break
        scans += marker[1] == _SCAN
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    else:
        scans = MOST_SCANS + 1
    if scans > MOST_SCANS:
        raise InvalidError("media", "is built like no photo; open it and save it as a plain JPEG")


def _exif(negative: ImageFile) -> Image.Exif:
    """Return what the camera noted; broken notes are none, and cost no photo."""
    try:
        exif = negative.getexif()
        exif.get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:  # noqa: BLE001 - a reader of notes raises whatever it likes
        return Image.Exif()
    return exif


def _shrunk(negative: Image.Image) -> Image.Image:
    """Return it in its final size, as early as possible: the rest is cheap then."""
    if negative.mode in ("1", "P"):  # they could only be thinned out, not averaged
        negative = negative.convert(_full_mode(negative))
    elif negative.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off at 8
        negative = negative.point(lambda grey: grey * (1 / 256)).convert("L")
    negative.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return negative


def _full_mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "RGB"


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return it in the colours that a reader without a profile assumes."""
    if profile and image.mode in ("L", "RGB", "RGBA", "CMYK"):
        mode = _full_mode(image)
        try:
            given = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, given, srgb, outputMode=mode) or image
        except (ImageCms.PyCMSError, OSError):  # a profile of something else: a little off, then
            pass
    return image.convert(_full_mode(image))


def _on_white(image: Image.Image) -> Image.Image:
    """Return a new picture; what was hidden behind transparency is gone, not only unseen."""
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image if image.mode == "RGBA" else None)
    return paper


def _upright(image: Image.Image, exif: Image.Exif) -> Image.Image:
    turn = _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _printed(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def _taken_point(exif: Image.Exif) -> Point | None:
    """Return where the camera stood; cameras without a fix write zeros, or 0/0."""
    notes = exif.get_ifd(ExifTags.IFD.GPSInfo)
    try:
        lat = _degrees(notes[ExifTags.GPS.GPSLatitude], notes[ExifTags.GPS.GPSLatitudeRef])
        lon = _degrees(notes[ExifTags.GPS.GPSLongitude], notes[ExifTags.GPS.GPSLongitudeRef])
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None
    return Point(lon, lat) if is_point(lon, lat) and (lon or lat) else None


def _degrees(parts: Any, side: Any) -> float:
    """Turn degrees, minutes and seconds into degrees; south and west are negative."""
    degrees, minutes, seconds = map(float, parts)
    sign = {"N": 1, "E": 1, "S": -1, "W": -1}[side]
    return sign * (degrees + minutes / 60 + seconds / 3600)
