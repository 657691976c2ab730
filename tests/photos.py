"""Photos as people send them, made by hand where no camera is so careless; and how to read one.

Whatever must not come out carries the word SECRET.
"""

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from struct import pack
from typing import Any

from PIL import Image

SECRET = b"SECRET"
POINT = (-3.8044, 43.4623)
"""Where the hand-made camera stands: 3° 48' 15.84" W, 43° 27' 44.28" N."""
BARE = {b"\xff\xe0", b"\xff\xdb", b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xda", b"\xff\xd9"}
"""Markers of a JPEG that says nothing: JFIF, tables, frame, scan, end."""
_SIZES = {2: 1, 3: 2, 4: 4, 5: 8}
_JFIF_BYTES = 16

Field = tuple[int, int, bytes]
"""Tag, type and value of a note of TIFF."""


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Write an image."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    """Read an image, all of it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def scene(width: int = 64, height: int = 48) -> Image.Image:
    """Draw a picture whose quarters are red, green, blue and white, by rows."""
    image = Image.new("RGB", (width, height), "white")
    half = (width // 2, height // 2)
    image.paste("red", (0, 0, *half))
    image.paste("lime", (half[0], 0, width, half[1]))
    image.paste("blue", (0, half[1], half[0], height))
    return image


def quarters(image: Image.Image) -> list[str]:
    """Name the colours of the quarters, by rows."""
    w, h = image.size
    middles = [
        (w // 4, h // 4),
        (3 * w // 4, h // 4),
        (w // 4, 3 * h // 4),
        (3 * w // 4, 3 * h // 4),
    ]
    return [colour(image, *middle) for middle in middles]


def colour(image: Image.Image, x: int, y: int) -> str:
    """Name the colour of a pixel, as near as a JPEG keeps it."""
    names = {(1, 0, 0): "red", (0, 1, 0): "lime", (0, 0, 1): "blue", (1, 1, 1): "white"}
    pixel = image.convert("RGB").getpixel((x, y))
    assert isinstance(pixel, tuple)
    return names.get(tuple(round(part / 255) for part in pixel), str(pixel))  # type: ignore[arg-type]  # of three


def ifd(fields: Sequence[Field], at: int, following: int = 0) -> bytes:
    """Write a directory of notes, to stand at an offset."""
    rows, heap = b"", b""
    for tag, kind, value in fields:
        where = pack("<I", at + 6 + 12 * len(fields) + len(heap))
        rows += pack("<HHI", tag, kind, len(value) // _SIZES[kind])
        rows += value.ljust(4, b"\0") if len(value) <= 4 else where
        heap += value if len(value) > 4 else b""
    return pack("<H", len(fields)) + rows + pack("<I", following) + heap


def rationals(*parts: tuple[int, int]) -> bytes:
    """Write fractions."""
    return b"".join(pack("<II", *part) for part in parts)


GPS: tuple[Field, ...] = (
    (1, 2, b"N\0"),
    (2, 5, rationals((43, 1), (27, 1), (4428, 100))),
    (3, 2, b"W\0"),
    (4, 5, rationals((3, 1), (48, 1), (1584, 100))),
)


def camera_notes(*, orientation: int = 1, gps: Sequence[Field] = GPS) -> bytes:
    """Write the notes of a camera: its maker, how it was held, where it stood, and a thumbnail."""
    thumb = with_segments(encoded(scene(16, 12), "JPEG"), (0xFE, b"SECRET thumbnail"))

    def directories(gps_at: int, thumb_ifd_at: int, thumb_at: int) -> list[bytes]:
        camera = [
            (0x010F, 2, b"SECRET camera\0"),
            (0x0112, 3, pack("<H", orientation)),
            (0x8825, 4, pack("<I", gps_at)),
        ]
        small = [(0x0201, 4, pack("<I", thumb_at)), (0x0202, 4, pack("<I", len(thumb)))]
        return [ifd(camera, 8, thumb_ifd_at), ifd(gps, gps_at), ifd(small, thumb_ifd_at)]

    camera, where, small = map(len, directories(0, 0, 0))
    gps_at, thumb_ifd_at = 8 + camera, 8 + camera + where
    written = directories(gps_at, thumb_ifd_at, thumb_ifd_at + small)
    return b"II*\0" + pack("<I", 8) + b"".join(written) + thumb


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """Put segments at the front of a JPEG."""
    front = b"".join(pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments)
    return jpeg[:2] + front + jpeg[2:]


def zipped() -> bytes:
    """Make an archive that opens even behind other bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("SECRET.html", "<script>SECRET</script>")
    return out.getvalue()


XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>SECRET xmp</x:xmpmeta>"


def telling_jpeg(image: Image.Image | None = None, **notes: Any) -> bytes:
    """Make a JPEG that tells everything that one can, and has an archive behind it."""
    plain = encoded(image or scene(), "JPEG", quality=95)
    iptc = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x12\x1c\x02\x50\0\x0cSECRET iptc\0\0"
    told = with_segments(
        plain,
        (0xE1, b"Exif\0\0" + camera_notes(**notes)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        (0xE2, b"ICC_PROFILE\0\1\1SECRET no profile"),
        (0xED, iptc),
        (0xFE, b"SECRET comment"),
    )
    return told + zipped()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write a chunk of a PNG."""
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, *, rows: Iterable[bytes], colours: int = 0, bits: int = 8
) -> bytes:
    """Write a PNG by hand, from its unpacked rows."""
    packing = zlib.compressobj(1)
    packed = b"".join(packing.compress(row) for row in rows) + packing.flush()
    header = chunk(b"IHDR", pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def telling_png(**notes: Any) -> bytes:
    """Make a PNG that tells everything that one can, before and after its pixels."""
    plain = encoded(scene(), "PNG")
    notes_of_all = chunk(b"tEXt", b"Author\0SECRET author") + chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
    )
    front = chunk(b"eXIf", camera_notes(**notes)) + notes_of_all
    return plain[:33] + front + plain[33:-12] + notes_of_all + plain[-12:] + zipped()


def telling_webp(**notes: Any) -> bytes:
    """Make a WebP that tells everything that one can."""
    exif = b"Exif\0\0" + camera_notes(**notes)
    return encoded(scene(), "WEBP", quality=95, exif=exif, xmp=XMP) + zipped()


def markers(jpeg: bytes) -> set[bytes]:
    """List the markers of a JPEG that is nothing but one: no bytes before, between or behind."""
    assert jpeg.startswith(b"\xff\xd8")
    found, at = set(), 2
    while at < len(jpeg):
        marker = jpeg[at : at + 2]
        found.add(marker)
        if marker == b"\xff\xd9":
            assert at + 2 == len(jpeg)
            return found
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker == b"\xff\xe0":
            assert _JFIF_BYTES == int.from_bytes(jpeg[4:6], "big")  # no thumbnail in there
        while marker == b"\xff\xda" and (
            jpeg[at] != 0xFF or jpeg[at + 1] in {0, *range(0xD0, 0xD8)}
        ):
            at += 1
    raise AssertionError("a JPEG without an end")
