"""People from the command line: somebody asks to be forgotten, and cannot do it themselves."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console

from livinglab import bootstrap
from livinglab.config import read_settings
from livinglab.domain.contributors import Contributor
from livinglab.errors import NotFoundError
from livinglab.ports import UnitOfWork
from livinglab.services.contributing import erase

_screen = Console(stderr=True)


def erase_contributor(named: str, data: Path | None) -> None:
    """Erase the Contributor of a pseudonym, or whoever posted an Observation.

    Raises:
        NotFoundError: Nobody is behind that.
        StoreUnavailableError: Ask again; what is gone stays gone.
    """
    settings = read_settings(data=data)
    store, vault = bootstrap.open_civic(settings), bootstrap.open_vault(settings)
    media = bootstrap.open_media(settings)
    try:
        with store.work() as work:
            done = erase(_behind(named, work), work, vault, media, datetime.now(UTC))
        off_disk = store.scrub()
    finally:
        media.close()
        vault.close()
        store.close()
    _screen.print(f"erased: {done.rows} rows name nobody any more", highlight=False)
    if not off_disk:
        _screen.print("somebody was reading: its file holds traces until the lab is next stopped")


def _behind(named: str, work: UnitOfWork) -> Contributor:
    try:
        posted = work.observations.get(UUID(named))
    except ValueError:
        posted = None
    found = work.contributors.get(posted.contributor if posted else named)
    if found is None:
        raise NotFoundError("Contributor or Observation", named)
    return found
