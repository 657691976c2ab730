"""People from the command line: accounts of the staff, and who asks to be forgotten."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console

from livinglab import bootstrap
from livinglab.cli.printing import print_rows
from livinglab.cli.registry import civic, scopes_named
from livinglab.config import read_settings
from livinglab.domain.contributors import Contributor
from livinglab.errors import NotFoundError
from livinglab.ports import UnitOfWork
from livinglab.services import signing_in
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


def recruit(login: str, scopes: Sequence[str], data: Path | None) -> None:
    """Give somebody an account, and print its first password."""
    wanted = scopes_named(scopes)
    with civic(data, write=True) as work:
        password = signing_in.recruit(login, wanted, work, datetime.now(UTC))
    print(password)  # noqa: T201 - data go to stdout


def list_staff(data: Path | None, *, as_json: bool) -> None:
    """Print who has an account."""
    with civic(data) as work:
        rows = [
            {
                "login": one.login,
                "scopes": one.scopes,
                "created": f"{one.created_at:%Y-%m-%d}",
                "second factor": one.second_factor is not None,
                "active": one.active,
            }
            for one in work.staff.where()
        ]
    print_rows(rows, as_json=as_json, empty="nobody has an account")


def set_scopes(login: str, scopes: Sequence[str], data: Path | None) -> None:
    """Say anew what somebody may do."""
    wanted = scopes_named(scopes)
    with civic(data, write=True) as work:
        signing_in.member(login, work).scopes = wanted


def reset(login: str, data: Path | None) -> None:
    """Print a new password, and forget the second factor."""
    vault = bootstrap.open_vault(read_settings(data=data))
    try:
        with civic(data, write=True) as work:
            password = signing_in.restore(login, work, vault)
    finally:
        vault.close()
    print(password)  # noqa: T201 - data go to stdout


def dismiss(login: str, data: Path | None) -> None:
    """End an account."""
    with civic(data, write=True) as work:
        signing_in.dismiss(login, work)


def _behind(named: str, work: UnitOfWork) -> Contributor:
    try:
        posted = work.observations.get(UUID(named))
    except ValueError:
        posted = None
    found = work.contributors.get(posted.contributor if posted else named)
    if found is None:
        raise NotFoundError("Contributor or Observation", named)
    return found
