"""Photos made anew: what cameras, editors and attackers send, each by one example."""

from struct import pack

import pytest
from PIL import Image, ImageCms

from livinglab.adapters.images import (
    LONGEST_SIDE,
    MOST_SCANS,
    MOST_SEGMENTS,
    THUMB_SIDE,
    Darkroom,
    Photo,
    sniff,
)
from livinglab.errors import InvalidError, UnsupportedFormatError
from tests import photos
from tests.photos import colour, encoded, opened, quarters, scene

UPRIGHT = ["red", "lime", "blue", "white"]


def developed(sent: bytes, *, locate: bool = False) -> Photo:
    return Darkroom().develop(sent, locate=locate)


def seen(sent: bytes) -> Image.Image:
    """Return what comes out."""
    return opened(developed(sent).full)


def held(orientation: int) -> Image.Image:
    """Return the scene as a camera stores it that was held in a way."""
    turned: Image.Image = scene()
    ways = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return turned.transpose(ways[orientation]) if orientation in ways else turned


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation):
    """However the camera was held; nothing says so afterwards."""
    found = seen(photos.telling_jpeg(held(orientation), orientation=orientation))

    assert UPRIGHT == quarters(found)
    assert (64, 48) == found.size


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation):
    """Some cameras write zero."""
    assert UPRIGHT == quarters(seen(photos.telling_jpeg(orientation=orientation)))


def test_large_photos_shrink_and_small_ones_never_grow():
    """Both sizes keep the shape."""
    large, small = (developed(encoded(scene(*size), "JPEG")) for size in [(4_000, 3_000), (40, 30)])

    assert (LONGEST_SIDE, 1_536) == (large.width, large.height) == opened(large.full).size
    assert (THUMB_SIDE, 240) == opened(large.thumb).size
    assert (40, 30) == opened(small.full).size == opened(small.thumb).size


MODES = ["1", "L", "LA", "P", "RGB", "RGBA"]


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_pixel_is_read(mode):
    """Black stays black and white stays white, with one bit or with thirty-two."""
    drawn = Image.new("L", (64, 48), 255)
    drawn.paste(0, (0, 0, 32, 48))
    found = seen(encoded(drawn.convert(mode), "PNG"))

    assert ["(0, 0, 0)", "white"] == [colour(found, 8, 24), colour(found, 56, 24)]


@pytest.mark.parametrize("mode", ["1", "P"])
def test_fine_lines_become_grey(mode):
    """A drawing of two colours is averaged where it shrinks, not thinned out."""
    lines = Image.frombytes("1", (2 * LONGEST_SIDE, 8), b"\xaa" * (LONGEST_SIDE // 4) * 8)
    found = seen(encoded(lines.convert(mode), "PNG"))

    assert pytest.approx((127, 127, 127), abs=3) == found.getpixel((1_000, 2))


def test_sixteen_bits_of_grey_keep_their_shades():
    """A hundred of 256 is still a hundred."""
    found = seen(photos.png(8, 8, rows=[b"\0" + pack(">H", 100 * 256) * 8] * 8, bits=16))

    assert pytest.approx((100, 100, 100), abs=1) == found.getpixel((4, 4))


def test_four_inks_become_three_lights():
    """JPEG of a printing house: no magenta, no yellow, no black."""
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

    assert "red" == colour(seen(encoded(inks, "JPEG", quality=95)), 8, 8)


def test_colours_are_those_of_the_profile():
    """A profile that calls red what others call blue is followed, and is gone afterwards."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"temp").replace(b"bXYZ", b"rXYZ").replace(b"temp", b"bXYZ")
    found = seen(encoded(scene(), "JPEG", quality=95, icc_profile=swapped))

    assert ["blue", "lime", "red", "white"] == quarters(found)
    assert "icc_profile" not in found.info


def test_what_transparency_hid_is_gone():
    """Who rubs a face out in an editor only makes it transparent; it becomes white paper."""
    rubbed = scene().convert("RGBA")
    rubbed.paste((255, 0, 0, 0), (0, 0, 32, 24))

    for kind in ("PNG", "WEBP"):
        found = seen(encoded(rubbed, kind, lossless=True, exact=True))
        assert ["white", "lime", "blue", "white"] == quarters(found)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_moving_pictures_the_first_is_kept(kind):
    """The others may show what nobody looked at."""
    others = [Image.new("RGB", (64, 48), name) for name in ("blue", "red")]
    found = seen(encoded(scene(), kind, save_all=True, append_images=others))

    assert UPRIGHT == quarters(found)
    assert 1 == getattr(found, "n_frames", 1)


def test_of_two_pictures_in_a_jpeg_the_first_is_kept():
    """Cameras for depth append a second (MPO)."""
    pair = encoded(
        scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48), "blue")]
    )

    assert UPRIGHT == quarters(seen(pair))


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x24ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x24ftypavif\0\0\0\0avifmif1", "image/avif"),
        (b"GIF89a<script>SECRET</script>", "image/gif"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml"),
        (b"\xef\xbb\xbf\n <?xml version='1.0'?><svg/>", "image/svg+xml"),
        (b"<!doctype html><img src=x>", "application/octet-stream"),
        (b"%PDF-1.7", "application/octet-stream"),
        (photos.zipped(), "application/octet-stream"),
        (b" " + photos.telling_jpeg(), "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_other_formats_are_refused_by_name(sent, kind):
    """Whatever the file is called: the bytes decide."""
    with pytest.raises(UnsupportedFormatError) as refused:
        developed(sent)

    assert kind == refused.value.given
    assert "image/jpeg, image/png, image/webp" in str(refused.value)


def test_who_sends_heic_is_told_what_to_do():
    """It is what an iPhone makes unless one asks it for something else."""
    with pytest.raises(UnsupportedFormatError, match="choose Settings, Camera, Formats"):
        sniff(b"\0\0\0\x24ftypheic")


@pytest.mark.parametrize(
    "sent", [encoded(scene(), "JPEG"), encoded(scene(), "PNG"), encoded(scene(), "WEBP")]
)
def test_a_photo_that_was_cut_off_is_refused(sent):
    """Wherever it ends before its last pixel."""
    for length in range(16, len(sent) * 4 // 5, len(sent) // 40 + 1):
        with pytest.raises(InvalidError, match="broken or cut off"):
            developed(sent[:length])


def test_forty_megapixels_are_read():
    """A grey PNG of 8,000 by 5,000 comes out as large as any other photo."""
    found = developed(photos.png(8_000, 5_000, rows=[b"\0" + b"\xff" * 8_000] * 5_000))

    assert (LONGEST_SIDE, 1_280) == (found.width, found.height)


def test_more_pixels_are_refused_before_they_are_unpacked():
    """The header says how many there would be: a bomb of 3,600 megapixels is 67 bytes."""
    bomb = photos.png(60_000, 60_000, rows=[b"\0"])

    assert 100 > len(bomb)
    with pytest.raises(InvalidError, match=r"60000 x 60000 pixels; send one of 50,000,000"):
        developed(bomb)


def test_a_jpeg_of_too_many_pixels_is_refused():
    """Its frame says so."""
    sent = encoded(scene(), "JPEG").replace(pack(">HH", 48, 64), pack(">HH", 65_000, 65_000))

    with pytest.raises(InvalidError, match="65000 x 65000 pixels"):
        developed(sent)


def test_a_webp_of_too_many_pixels_is_refused():
    """Its canvas says so, however small the picture on it is."""
    still = encoded(scene(), "WEBP", lossless=True)[12:]
    canvas = pack("<I", 0x02)[:4] + (8_191).to_bytes(3, "little") + (4_095).to_bytes(3, "little")
    frame = b"\0" * 6 + (63).to_bytes(3, "little") + (47).to_bytes(3, "little") + b"\0" * 4 + still
    body = b"WEBP"
    for name, part in [(b"VP8X", canvas), (b"ANIM", b"\0" * 6), (b"ANMF", frame)]:
        body += name + pack("<I", len(part)) + part
    sent = b"RIFF" + pack("<I", len(body)) + body

    with pytest.raises(InvalidError, match="8192 x 4096 pixels; send one of 20,000,000"):
        developed(sent)


def test_a_jpeg_of_endless_scans_is_refused():
    """Each costs the time of a whole picture, and has a few bytes; a real one has ten."""
    real = encoded(scene(), "JPEG", progressive=True)
    last = real[real.rindex(b"\xff\xda") : -2]
    bomb = real[:-2] + last * MOST_SCANS + real[-2:]

    assert UPRIGHT == quarters(seen(real))
    with pytest.raises(InvalidError, match="built like no photo"):
        developed(bomb)


def test_a_jpeg_of_endless_segments_is_refused():
    """Empty comments only cost time."""
    comments = [(0xFE, b"")] * MOST_SEGMENTS

    with pytest.raises(InvalidError, match="built like no photo"):
        developed(photos.with_segments(encoded(scene(), "JPEG"), *comments))


def test_scans_behind_the_end_do_not_count():
    """A telephone puts a film behind the photo, and a film holds any bytes."""
    film = b"\0\2" + b"\xff\xda\0\2" * 10_000

    assert UPRIGHT == quarters(seen(encoded(scene(), "JPEG") + film))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it warns, and reads on
@pytest.mark.parametrize(
    "notes",
    [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"SECRET", photos.camera_notes()[:90]],
    ids=["none", "no directory", "elsewhere", "nonsense", "cut off"],
)
def test_broken_notes_cost_no_photo(notes):
    """A camera's mistakes are not its owner's."""
    sent = photos.with_segments(encoded(scene(), "JPEG"), (0xE1, b"Exif\0\0" + notes))
    found = developed(sent, locate=True)

    assert UPRIGHT == quarters(opened(found.full))
    assert found.taken_point is None


FULL = photos.rationals((43, 1), (27, 1), (0, 1))
NO_FIX = photos.rationals((0, 0), (0, 0), (0, 0))
TOO_FAR = photos.rationals((99, 1), (0, 1), (0, 1))
ZERO = photos.rationals((0, 1), (0, 1), (0, 1))


def where(lat: bytes, lon: bytes, sides: tuple[bytes, bytes] = (b"N", b"W")) -> list[photos.Field]:
    north, east = (side + b"\0" for side in sides)
    return [(1, 2, north), (2, 5, lat), (3, 2, east), (4, 5, lon)]


@pytest.mark.parametrize(
    ("gps", "point"),
    [
        (where(FULL, FULL, (b"S", b"E")), (43.45, -43.45)),
        (where(FULL, FULL)[:3], None),
        (where(FULL, FULL, (b"N", b"X")), None),
        (where(FULL[:16], FULL), None),
        (where(NO_FIX, FULL), None),
        (where(TOO_FAR, FULL), None),
        (where(ZERO, ZERO), None),
    ],
    ids=["south", "no longitude", "no side", "two parts", "no fix", "off the earth", "zeros"],
)
def test_a_position_is_one_or_none(gps, point):
    """Cameras without a fix write all sorts of things; none of them is a place in the sea."""
    assert point == pytest.approx(developed(photos.telling_jpeg(gps=gps), locate=True).taken_point)
