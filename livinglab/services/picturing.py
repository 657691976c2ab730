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

from livinglab.domain.moderation import Deed, ModerationAction
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
            size=one.media.size,
            visibility=Visibility.QUARANTINED,
            at=now,
        )
    work.photos.add([known[digest] for digest in new])
    return [known[one.sha256] for one in made]


def public_photos(observations: Iterable[Observation], work: UnitOfWork) -> dict[UUID, list[Photo]]:
    """Return the photos of public Observations that a moderator let go, oldest first."""
    found: dict[UUID, list[Photo]] = {}
    ids = frozenset(one.id for one in observations if one.visibility is Visibility.PUBLIC)
    for one in work.photos.where(observation=ids, visibility=Visibility.PUBLIC):
        found.setdefault(one.observation, []).append(one)
    return found


def is_public(photo: Photo, categories: Mapping[str, Category], work: UnitOfWork) -> bool:
    """Tell whether everybody may see it: it was let go, and so was what it belongs to."""
    if photo.visibility is not Visibility.PUBLIC:
        return False
    shows = work.observations.get(photo.observation)
    category = categories.get(shows.category) if shows else None
    return (
        shows is not None
        and shows.visibility is Visibility.PUBLIC
        and category is not None
        and not category.privacy.personal
    )


def photo_of(key: str, work: UnitOfWork) -> Photo:
    """Return one.

    Raises:
        NotFoundError: There is none.
    """
    found = work.photos.one(key=key)
    if found is None:
        raise NotFoundError("Photo", key)
    return found


def judge_photo(
    key: str,
    *,
    public: bool,
    by: str,
    reason: str,
    work: UnitOfWork,
    store: MediaStore,
    now: datetime,
) -> Photo:
    """Let a photo go, or take it out for good: of what it showed nothing is kept.

    Raises:
        NotFoundError: There is no such photo.
        InvalidError: It is taken out without a reason.
        ConflictError: It was taken out before.
        StoreUnavailableError: It could not be taken out; ask again.
    """
    found = photo_of(key, work)
    if found.visibility is Visibility.REMOVED:
        if public:
            raise ConflictError(f"Photo {key} was removed before")
        return found
    if not public:
        if not reason.strip():
            raise InvalidError("reason", "say why; it is kept")
        store.delete(key)
    found.visibility = Visibility.PUBLIC if public else Visibility.REMOVED
    work.actions.add(
        [
            ModerationAction(
                subject=f"photo:{key}",
                deed=Deed.RELEASE if public else Deed.REMOVE,
                before=None,
                reason=reason,
                actor=by,
                at=now,
            )
        ]
    )
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
