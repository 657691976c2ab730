"""Picturing: photos are made anew, wait for a moderator, and go with whoever sent them.

A photo takes long to be made anew, so it is made before the transaction that names it: what no
transaction named in the end is taken out again, at once or, after a crash, by night.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from livinglab.domain.observations import Category, Observation, Visibility
from livinglab.domain.photos import MOST_PHOTOS, Photo
from livinglab.errors import ConflictError, InvalidError, NotFoundError
from livinglab.ports import CivicStore, Media, MediaStore, UnitOfWork

FORGOTTEN_S = 3_600.0
"""A photo that nobody names after so long was left by a crash. [s]"""


@dataclass(slots=True)
class Developed:
    """A photo made anew, that a transaction may keep."""

    sha256: str
    media: Media
    kept: bool = False


@contextmanager
def developed(
    files: Iterable[bytes], store: MediaStore, *, locate: bool = False
) -> Iterator[list[Developed]]:
    """Make photos anew for as long as the block lasts; what it does not keep goes again.

    Args:
        files: As somebody sent them.
        store: Where they are kept.
        locate: Whether their owner agreed that the positions in them are read.

    Raises:
        LabError: One of them cannot be kept: see `ports.MediaStore.put`.
    """
    made: list[Developed] = []
    try:
        for data in files:
            digest = hashlib.sha256(data).hexdigest()
            made.append(Developed(digest, store.put(data, locate=locate)))
        yield made
    except BaseException:
        _take_out(made, store)
        raise
    _take_out([one for one in made if not one.kept], store)


def _take_out(made: Sequence[Developed], store: MediaStore) -> None:
    for one in made:
        store.delete(one.media.key)


def attach(
    observation: Observation, made: Sequence[Developed], work: UnitOfWork, now: datetime
) -> list[Photo]:
    """Attach photos to an Observation, where they wait for a moderator; the same twice is once.

    Raises:
        InvalidError: They would be too many.
        ConflictError: It was removed.
    """
    if observation.visibility is Visibility.REMOVED:
        raise ConflictError(f"Observation {observation.id} was removed before")
    known = {one.sha256: one for one in work.photos.where(observation=observation.id)}
    new = {one.sha256: one for one in made if one.sha256 not in known}
    if len(known) + len(new) > MOST_PHOTOS:
        raise InvalidError("media", f"{MOST_PHOTOS} photos of one Observation at the most")
    for digest, one in new.items():
        one.kept = True
        known[digest] = Photo(
            key=one.media.key,
            observation=observation.id,
            sha256=digest,
            width=one.media.width,
            height=one.media.height,
            visibility=Visibility.QUARANTINED,
            at=now,
        )
    work.photos.add([known[digest] for digest in new])
    return [known[one.sha256] for one in made]


def public_photos(
    observations: Iterable[Observation], categories: Mapping[str, Category], work: UnitOfWork
) -> dict[UUID, list[Photo]]:
    """Return the photos that everybody may see, oldest first: let go, as what they belong to."""
    found: dict[UUID, list[Photo]] = {}
    ids = frozenset(one.id for one in observations if _shows(one, categories))
    for one in work.photos.where(observation=ids, visibility=Visibility.PUBLIC):
        found.setdefault(one.observation, []).append(one)
    return found


def is_public(photo: Photo, categories: Mapping[str, Category], work: UnitOfWork) -> bool:
    """Tell whether everybody may see it."""
    of = work.observations.get(photo.observation)
    return photo.visibility is Visibility.PUBLIC and of is not None and _shows(of, categories)


def _shows(one: Observation, categories: Mapping[str, Category]) -> bool:
    """Tell whether an Observation may show its photos."""
    category = categories.get(one.category)
    public = one.visibility is Visibility.PUBLIC
    return public and category is not None and not category.privacy.personal


def photo_of(key: str, work: UnitOfWork) -> Photo:
    """Return one.

    Raises:
        NotFoundError: There is none.
    """
    found = work.photos.one(key=key)
    if found is None:
        raise NotFoundError("Photo", key)
    return found


def forget(ids: Iterable[UUID], work: UnitOfWork, store: MediaStore) -> int:
    """Take out all photos of some Observations, and return how many.

    Raises:
        StoreUnavailableError: Some may be gone and others not; ask again.
    """
    photos = work.photos.where(observation=frozenset(ids))
    for one in photos:
        store.delete(one.key)
    work.photos.remove(photos)
    return len(photos)


def sweep(civic: CivicStore, store: MediaStore) -> int:
    """Take out what a crash left in the store and nobody names; return how many.

    Raises:
        StoreUnavailableError: What is left is done next time.
    """
    taken = 0
    old = store.older(FORGOTTEN_S)
    while some := frozenset(islice(old, 500)):
        with civic.work(write=False) as work:
            named = {one.key for one in work.photos.where(key=some)}
        for key in some - named:
            taken += store.delete(key)
    return taken
