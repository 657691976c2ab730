"""Media: photos of citizens, kept apart from everything else under names that nobody can guess."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import PIL

from livinglab.adapters.images import CONTENT_TYPE, LARGEST_BYTES, Darkroom, Photo
from livinglab.errors import StoreUnavailableError
from livinglab.ports import Media, MediaSize

PART = "Media"
STALE_S = 3_600
"""How long a photo may be on its way into the folder; what is older was left by a crash. [s]"""
_KEY = re.compile(r"[0-9a-f]{32}")


class MemoryMediaStore:
    """A MediaStore that forgets everything with its process."""

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        """Begin empty; no photo may have more bytes than this."""
        self._darkroom = Darkroom(largest_bytes)
        self._photos: dict[str, Photo] = {}
        self._since: dict[str, float] = {}

    def put(self, data: bytes, *, locate: bool = False) -> Media:
        """Make a photo anew and keep it: see `ports.MediaStore`."""
        photo = self._darkroom.develop(data, locate=locate)
        media = _described(photo)
        self._since[media.key] = time.time()
        self._photos[media.key] = photo
        return media

    def get(self, key: str, size: MediaSize = MediaSize.FULL) -> bytes | None:
        """Return a photo."""
        photo = self._photos.get(key)
        return None if photo is None else _in_size(photo, size)

    def delete(self, key: str) -> bool:
        """Forget a photo; tell whether there was one."""
        self._since.pop(key, None)
        return self._photos.pop(key, None) is not None

    def older(self, than_s: float) -> Iterator[str]:
        """Yield the keys of photos that were kept longer ago. [s]"""
        before = time.time() - than_s
        yield from [key for key, since in list(self._since.items()) if since <= before]

    def ping(self) -> str:
        """Return name and version of what answers."""
        return f"memory, Pillow {PIL.__version__}"

    def close(self) -> None:
        """Let go of everything."""
        self._photos.clear()


class FolderMediaStore:
    """A MediaStore in a folder of its own, which only the lab may enter.

    Each photo is a folder, ``<first two digits of the key>/<key>/``, with a file for each size. It
    is filled under ``unfinished/`` and moved as a whole, so that nobody sees half of one.
    """

    def __init__(self, folder: Path, largest_bytes: int = LARGEST_BYTES) -> None:
        """Open the folder, making it if needed, and sweep out what a crash left unfinished.

        Raises:
            StoreUnavailableError: It cannot be made or written.
        """
        self._folder = folder
        self._unfinished = folder / "unfinished"
        self._darkroom = Darkroom(largest_bytes)
        with self._disk():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._unfinished.mkdir(mode=0o700, exist_ok=True)
            for left in self._unfinished.iterdir():
                with suppress(FileNotFoundError):  # another process was just about to
                    if time.time() - left.stat().st_mtime > STALE_S:
                        shutil.rmtree(left)

    def put(self, data: bytes, *, locate: bool = False) -> Media:
        """Make a photo anew and keep it: see `ports.MediaStore`."""
        photo = self._darkroom.develop(data, locate=locate)
        media = _described(photo)
        with self._disk():
            self._keep(media.key, photo)
        return media

    def get(self, key: str, size: MediaSize = MediaSize.FULL) -> bytes | None:
        """Return a photo."""
        if not _KEY.fullmatch(key):
            return None
        with self._disk():
            try:
                return _file(self._home(key), size).read_bytes()
            except FileNotFoundError:
                self._look()
        return None

    def delete(self, key: str) -> bool:
        """Forget a photo; tell whether there was one."""
        if not _KEY.fullmatch(key):
            return False
        going = self._unfinished / key
        with self._disk():
            with suppress(FileNotFoundError):
                self._home(key).rename(going)  # both sizes go at once, even if the power goes too
                _sync(self._home(key).parent)
            self._look()
            if not going.exists():
                return False
            shutil.rmtree(going)
            _sync(self._unfinished)
        return True

    def older(self, than_s: float) -> Iterator[str]:
        """Yield the keys of photos that were kept longer ago. [s]"""
        before = time.time() - than_s
        with self._disk():
            for home in sorted(self._folder.glob("??/*")):
                if _KEY.fullmatch(home.name) and home.stat().st_mtime <= before:
                    yield home.name

    def ping(self) -> str:
        """Return name and version of what answers: see `ports.MediaStore`."""
        with self._disk():
            self._look()
        if not os.access(self._unfinished, os.W_OK | os.X_OK):
            raise StoreUnavailableError(PART, "the folder cannot be written", self._remedy())
        return f"folder, Pillow {PIL.__version__}"

    def close(self) -> None:
        """Let go of everything: nothing is held between two calls."""

    def _keep(self, key: str, photo: Photo) -> None:
        draft, home = self._unfinished / key, self._home(key)
        try:
            draft.mkdir(mode=0o700)
            for size in MediaSize:
                _write(_file(draft, size), _in_size(photo, size))
            _sync(draft)
            home.parent.mkdir(mode=0o700, exist_ok=True)
            draft.rename(home)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(home.parent)
        _sync(self._folder)

    def _look(self) -> None:
        """Raise if the folder is gone: then it is not known what is in there."""
        self._unfinished.stat()

    def _home(self, key: str) -> Path:
        return self._folder / key[:2] / key

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Say what a disk's error means; the path stays out, because the key is a secret."""
        try:
            yield
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise StoreUnavailableError(PART, problem, self._remedy()) from error

    def _remedy(self) -> str:
        return "look whether the disk is full and the folder of LIVINGLAB_MEDIA may be written"


def _described(photo: Photo) -> Media:
    return Media(
        key=secrets.token_hex(16),
        content_type=CONTENT_TYPE,
        width=photo.width,
        height=photo.height,
        size=len(photo.full),
        taken_point=photo.taken_point,
    )


def _in_size(photo: Photo, size: MediaSize) -> bytes:
    return photo.full if size is MediaSize.FULL else photo.thumb


def _file(folder: Path, size: MediaSize) -> Path:
    return folder / f"{size.value}.jpg"


def _write(path: Path, data: bytes) -> None:
    """Write a file down to the disk."""
    with path.open("xb") as file:
        path.chmod(0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Write the names in a folder down to the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
