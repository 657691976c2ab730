"""What every MediaStore promises."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livinglab.adapters.media import FolderMediaStore, MemoryMediaStore
from livinglab.errors import InvalidError, TooLargeError, UnsupportedFormatError
from livinglab.ports import Media, MediaSize, MediaStore
from tests import photos

LARGEST = 100_000
TELLING = {
    "image/jpeg": photos.telling_jpeg,
    "image/png": photos.telling_png,
    "image/webp": photos.telling_webp,
}


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path: Path) -> Iterator[MediaStore]:
    """Every adapter."""
    opened: MediaStore
    if request.param == "memory":
        opened = MemoryMediaStore(LARGEST)
    else:
        opened = FolderMediaStore(tmp_path / "media", LARGEST)
    with closing(opened):
        yield opened


def kept(store: MediaStore, media: Media) -> list[bytes]:
    """Return a photo in every size."""
    found = [store.get(media.key, size) for size in MediaSize]
    return [each for each in found if each is not None]


@pytest.mark.parametrize("kind", TELLING)
def test_what_comes_out_carries_no_metadata(store, kind):
    """No EXIF, thumbnail, XMP, IPTC, ICC, comment, text, and no archive behind it: byte by byte."""
    sent = TELLING[kind](orientation=6)
    media = store.put(sent)
    sizes = kept(store, media)

    assert photos.SECRET in sent
    assert 2 == len(sizes)
    for each in sizes:
        assert photos.markers(each) <= photos.BARE
        assert photos.SECRET not in each
        assert not photos.opened(each).getexif()
    assert ["blue", "red", "white", "lime"] == photos.quarters(photos.opened(sizes[0]))


@pytest.mark.parametrize("kind", TELLING)
def test_position_is_read_only_if_asked_for(store, kind):
    """Its owner decides; it is told apart from the photo, and the photo never holds it."""
    asked, silent = store.put(TELLING[kind](), locate=True), store.put(TELLING[kind]())

    assert pytest.approx(photos.POINT, abs=1e-9) == asked.taken_point
    assert silent.taken_point is None
    assert kept(store, asked) == kept(store, silent)


def test_a_photo_is_told_as_it_is_kept(store):
    """Width, height, bytes and type are those of what comes out, not of what went in."""
    media = store.put(photos.telling_png(orientation=6))
    [full, _] = kept(store, media)
    image = photos.opened(full)

    assert ("image/jpeg", "JPEG") == (media.content_type, image.format)
    assert (48, 64) == (media.width, media.height) == image.size
    assert len(full) == media.size


def test_keys_tell_nothing(store):
    """The same photo twice has two names, of 128 random bits."""
    one, other = store.put(photos.telling_jpeg()), store.put(photos.telling_jpeg())

    assert one.key != other.key
    assert 16 == len(bytes.fromhex(one.key))
    assert kept(store, one) == kept(store, other)


def test_deleting_takes_every_size(store):
    """And tells whether there was anything."""
    media, other = store.put(photos.telling_jpeg()), store.put(photos.telling_jpeg())

    assert [True, False] == [store.delete(media.key), store.delete(media.key)]
    assert [] == kept(store, media)
    assert 2 == len(kept(store, other))


@pytest.mark.parametrize("key", ["", "0" * 32, "../" * 3, "/etc/passwd", "\0", "é", "0" * 5_000])
def test_a_name_that_was_never_given_opens_nothing(store, key):
    """Whatever it looks like."""
    assert store.get(key) is None
    assert not store.delete(key)


def test_what_is_refused_leaves_nothing(store):
    """Each has its reason: too large, no photo, broken; and the next photo is kept."""
    large = photos.telling_jpeg() + bytes(LARGEST)
    for error, sent in [
        (TooLargeError, large),
        (UnsupportedFormatError, photos.zipped()),
        (UnsupportedFormatError, b""),
        (InvalidError, photos.telling_jpeg()[:700]),
    ]:
        with pytest.raises(error):
            store.put(sent)

    assert 2 == len(kept(store, store.put(photos.telling_jpeg())))


def test_any_thread_may_put(store):
    """A crowd of photos at once: each is kept, whole."""
    sent = photos.telling_jpeg()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(store.put, [sent] * 12))

    assert 12 == len({media.key for media in found})
    assert 1 == len({tuple(kept(store, media)) for media in found})


def test_pinging_names_what_answers(store):
    """With the version of what decodes."""
    assert "Pillow" in store.ping()


def test_closing_twice_does_nothing(store):
    """The second time."""
    store.close()
    store.close()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it warns, and reads on
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(sorted(TELLING)),
    cuts=st.lists(st.tuples(st.integers(0, 3_000), st.binary(max_size=4)), max_size=6),
    length=st.integers(0, 4_000),
)
def test_whatever_comes_is_clean_or_refused(store, kind, cuts, length):
    """Bytes are changed and cut off anywhere: an error of ours, or a photo that says nothing."""
    sent = bytearray(TELLING[kind]())
    for at, bytes_ in cuts:
        sent[at : at + len(bytes_)] = bytes_
    try:
        media = store.put(bytes(sent[: length if length % 2 else None]), locate=True)
    except (InvalidError, UnsupportedFormatError):
        return

    for each in kept(store, media):
        assert photos.markers(each) <= photos.BARE
        assert photos.SECRET not in each
