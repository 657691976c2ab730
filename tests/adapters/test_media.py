"""Photos in a folder: what lies on the disk, when, and for whom."""

import os
from pathlib import Path

import pytest

from livinglab.adapters.media import STALE_S, FolderMediaStore
from livinglab.errors import InvalidError, StoreUnavailableError
from livinglab.ports import MediaSize
from tests import photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where nothing is yet, nor the folder above."""
    return tmp_path / "new" / "media"


def files(folder: Path) -> list[Path]:
    """List every file below."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_photo_is_a_folder_of_its_own(folder):
    """Two levels deep, under its key; an operator finds and counts them."""
    media = FolderMediaStore(folder).put(photos.telling_jpeg())
    home = folder / media.key[:2] / media.key

    assert [home / "full.jpg", home / "thumb.jpg"] == files(folder)
    assert media.size == (home / "full.jpg").stat().st_size


def test_nobody_else_may_look(folder):
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        FolderMediaStore(folder).put(photos.telling_jpeg())
    finally:
        os.umask(before)

    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files(folder)}


def test_photos_outlive_the_store(folder):
    """One opens the folder, and another finds what is there."""
    media = FolderMediaStore(folder).put(photos.telling_jpeg())
    later = FolderMediaStore(folder)

    assert media.size == len(later.get(media.key) or b"")
    assert later.delete(media.key)
    assert FolderMediaStore(folder).get(media.key) is None


def test_a_deleted_photo_leaves_no_file(folder):
    """In no folder, and under no other name."""
    store = FolderMediaStore(folder)
    store.delete(store.put(photos.telling_jpeg()).key)

    assert [] == files(folder)


def test_deleting_goes_on_where_a_crash_ended_it(folder):
    """The same call again takes what is left, and says that there was something."""
    store = FolderMediaStore(folder)
    key = store.put(photos.telling_jpeg()).key
    (folder / key[:2] / key).rename(folder / "unfinished" / key)

    assert [True, False] == [store.delete(key), store.delete(key)]
    assert [] == files(folder)


def test_what_is_refused_leaves_no_file(folder):
    """It was never written down."""
    store = FolderMediaStore(folder)
    with pytest.raises(InvalidError):
        store.put(photos.telling_jpeg()[:700])

    assert [] == files(folder)


def test_what_a_crash_left_is_swept_out_and_what_is_on_its_way_is_not(folder):
    """A photo that nobody was told of is nobody's; but another process may be writing one."""
    FolderMediaStore(folder)
    left, going = folder / "unfinished" / ("0" * 32), folder / "unfinished" / ("1" * 32)
    for each in (left, going):
        each.mkdir()
        (each / "full.jpg").write_bytes(b"half a ph")
    long_ago = left.stat().st_mtime - STALE_S - 1
    os.utime(left, (long_ago, long_ago))
    store = FolderMediaStore(folder)

    assert [going / "full.jpg"] == files(folder)
    assert [None, None] == [store.get("0" * 32), store.get("1" * 32)]


def test_a_photo_that_cannot_be_kept_leaves_nothing(folder):
    """Its folder is taken by something else; the error names no key, because keys are secrets."""
    store = FolderMediaStore(folder)
    for number in range(256):
        (folder / f"{number:02x}").write_bytes(b"")
    with pytest.raises(StoreUnavailableError) as refused:
        store.put(photos.telling_jpeg())

    assert [] == list((folder / "unfinished").iterdir())
    assert str(folder) not in str(refused.value)
    assert "LIVINGLAB_MEDIA" in str(refused.value)


def test_a_folder_that_is_gone_is_told_by_its_ping(folder):
    """And by each call: nobody is told that a photo is deleted, only because it cannot be seen."""
    store = FolderMediaStore(folder)
    key = store.put(photos.telling_jpeg()).key
    folder.rename(folder.with_name("elsewhere"))

    for call in (
        store.ping,
        lambda: store.put(photos.telling_jpeg()),
        lambda: store.get(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(StoreUnavailableError, match="No such file"):
            call()
    assert not folder.exists()
    folder.with_name("elsewhere").rename(folder)
    assert store.get(key, MediaSize.THUMB)


def test_a_file_where_the_folder_should_be_is_told_at_the_start(tmp_path):
    """Not with the first photo."""
    (tmp_path / "media").write_bytes(b"")

    with pytest.raises(StoreUnavailableError, match="Media: File exists"):
        FolderMediaStore(tmp_path / "media")
