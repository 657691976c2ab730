"""The registry and the quarantine from the command line; both may be used while the lab runs."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from livinglab import bootstrap
from livinglab.cli.asking import ask, told
from livinglab.cli.printing import print_rows
from livinglab.config import Settings, read_settings
from livinglab.domain.access import Scope
from livinglab.domain.geometry import Point, is_point
from livinglab.domain.things import ThingState
from livinglab.errors import (
    LabBusyError,
    NotFoundError,
    UnreadableInputError,
)
from livinglab.ports import UnitOfWork
from livinglab.services import keying, registering
from livinglab.services.learning import skew_of
from livinglab.services.replaying import Replayed, drop, replay

_errors = Console(stderr=True)


@contextmanager
def civic(data: Path | None, *, write: bool = False) -> Iterator[UnitOfWork]:
    """Open one transaction on the civic data of a lab, running or not."""
    store = bootstrap.open_civic(read_settings(data=data))
    try:
        with store.work(write=write) as work:
            yield work
    finally:
        store.close()


def upgrade(data: Path | None) -> None:
    """Migrate."""
    bootstrap.upgrade(read_settings(data=data))
    _errors.print("the schema is up to date")


def create_key(
    name: str, scopes: list[str], data: Path | None, *, days: float | None = None
) -> None:
    """Make a key and print its secret."""
    wanted = scopes_named(scopes)
    lasts = None if days is None else timedelta(days=days)
    with civic(data, write=True) as work:
        secret = keying.create(name, wanted, work, datetime.now(UTC), lasts=lasts)
    print(secret)  # noqa: T201 - data go to stdout


def rotate_key(name: str, data: Path | None, *, grace_hours: float) -> None:
    """Give a key a new secret, and print it."""
    grace = timedelta(hours=grace_hours)
    with civic(data, write=True) as work:
        secret = keying.rotate(name, work, datetime.now(UTC), grace=grace)
    print(secret)  # noqa: T201 - data go to stdout


def revoke_key(name: str, data: Path | None) -> None:
    """Take a key away."""
    with civic(data, write=True) as work:
        keying.revoke(name, work)


def list_keys(data: Path | None, *, as_json: bool) -> None:
    """Print who holds keys, and until when; never a secret."""
    now = datetime.now(UTC)
    with civic(data) as work:
        rows = [
            {
                "name": one.name,
                "scopes": one.scopes,
                "created": f"{one.created_at:%Y-%m-%d}",
                "expires": f"{one.expires_at:%Y-%m-%dT%H:%M:%SZ}" if one.expires_at else None,
                "valid": one.is_valid(now),
            }
            for one in work.keys.all()
        ]
    print_rows(rows, as_json=as_json, empty="there are no keys")


def scopes_named(scopes: Sequence[str]) -> str:
    """Return scopes as they are kept.

    Raises:
        UnreadableInputError: One of them is none.
    """
    return " ".join(_choice("--scope", scope, Scope).value for scope in scopes)


def _choice(option: str, given: str, kind: type[Scope] | type[ThingState]) -> Scope | ThingState:
    try:
        return kind(given)
    except ValueError as error:
        names = ", ".join(one.value for one in kind)
        raise UnreadableInputError(option, f"{given!r} is none of {names}") from error


def list_things(state: str | None, data: Path | None, *, as_json: bool) -> None:
    """List Things."""
    wanted = _choice("--state", state, ThingState) if state else None
    with civic(data) as work:
        rows = [
            {
                "thing": thing.key,
                "state": thing.state.value,
                "route": thing.route,
                "moving": thing.moving,
                "place": thing.place,
                "introduced_at": f"{thing.introduced_at:%Y-%m-%dT%H:%M:%SZ}",
            }
            for thing in work.things.all()
            if wanted is None or thing.state is wanted
        ]
    print_rows(rows, as_json=as_json, empty="no Things")


def show_thing(key: str, data: Path | None, *, as_json: bool) -> None:
    """Show one Thing."""
    with civic(data) as work:
        thing = work.things.get(key)
        if thing is None:
            raise NotFoundError("Thing", key)
        rows = [
            {"what": "state", "value": thing.state.value, "since": _time(thing.introduced_at)},
            *(
                {
                    "what": one.observed_property + (f" ({one.channel})" if one.channel else ""),
                    "value": one.key,
                    "since": _time(one.introduced_at),
                }
                for one in work.things.datastreams([key])
            ),
            *(
                {
                    "what": "location",
                    "value": f"{where.lon} {where.lat} at {where.place}",
                    "since": _time(where.since),
                }
                for where in work.things.locations(key)
            ),
            *(
                {
                    "what": "clock",
                    "value": f"{skew.lag_s:.0f} s late when it arrives, median of {skew.samples}",
                    "since": _time(skew.at),
                }
                for skew in [skew_of(work.things.datastreams([key]), work)]
                if skew is not None
            ),
        ]
    print_rows(rows, as_json=as_json, empty="")


def _time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def set_state(keys: list[str], route: str | None, state: str, data: Path | None) -> None:
    """Confirm, retire or mark Things."""
    if not keys and route is None:
        raise UnreadableInputError("thing", "name Things by key, or a --route")
    with civic(data, write=True) as work:
        named = [*keys, *(registering.of_route(route, work) if route else [])]
        changed = registering.change_state(named, ThingState(state), work)
        rows = [{"thing": thing.key, "state": thing.state.value} for thing in changed]
    print_rows(rows, as_json=False, empty="no Things waited")


def locate_things(scheme: str, file: Path, data: Path | None) -> int:
    """Read a file of locations; 1 if some lines were refused."""
    spots = list(_spots(file))
    with civic(data, write=True) as work:
        found = registering.locate(scheme, spots, datetime.now(UTC), work)
    rows = [
        {"what": "located", "n": found.located, "which": ""},
        {"what": "unchanged", "n": found.unchanged, "which": ""},
        {"what": "no such Thing", "n": len(found.unknown), "which": " ".join(found.unknown)},
        {
            "what": "told twice, the first was taken",
            "n": len(found.contradicted),
            "which": " ".join(found.contradicted),
        },
    ]
    print_rows(rows, as_json=False, empty="")
    return int(bool(found.unknown or found.contradicted))


def _spots(file: Path) -> Iterator[tuple[str, Point]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for number, row in enumerate(csv.DictReader(lines), start=2):
                yield _spot(row, f"{file}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInputError(str(file), f"cannot be read ({error})") from error


def _spot(row: dict[str, str], where: str) -> tuple[str, Point]:
    id_ = row.get("thing") or row.get("sensor") or row.get("id")
    if not id_:
        raise UnreadableInputError(where, "there is no column thing, sensor or id, or it is empty")
    try:
        point = Point(float(row["lon"]), float(row["lat"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableInputError(where, "lon and lat must be numbers, in degrees") from error
    if not is_point(*point):
        raise UnreadableInputError(where, f"{point.lon} {point.lat} is no longitude and latitude")
    return id_, point


def list_quarantine(
    reason: str | None, route: str | None, data: Path | None, *, as_json: bool
) -> None:
    """List what waits."""
    rows, after = [], 0
    with civic(data) as work:
        while page := work.quarantine.page(reason=reason, route=route, after=after, limit=500):
            after = page[-1].number or after
            rows += [
                {
                    "number": one.number,
                    "reason": one.reason,
                    "route": one.route,
                    "topic": one.topic.decode(errors="replace"),
                    "readings": one.readings,
                    "count": one.count,
                    "last_seen": _time(one.last_seen),
                    "detail": one.detail,
                }
                for one in page
            ]
    print_rows(rows, as_json=as_json, empty="nothing waits")


def show_quarantined(number: int, data: Path | None, *, as_json: bool) -> None:
    """Show one refused message."""
    with civic(data) as work:
        one = work.quarantine.get(number)
        if one is None:
            raise NotFoundError("refused message", str(number))
        facts = {
            "reason": one.reason,
            "detail": one.detail,
            "state": one.state.value,
            "route": one.route,
            "topic": one.topic.decode(errors="replace"),
            "size": one.size,
            "sha256": one.sha256,
            "qos": (one.header >> 1) & 3,
            "retain": bool(one.header & 1),
            "dup": bool(one.header & 8),
            "first_seen": _time(one.first_seen),
            "last_seen": _time(one.last_seen),
            "count": one.count,
            "payload": one.payload.decode(errors="backslashreplace"),
        }
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))  # noqa: T201 - data go to stdout
    else:
        rows = [{"fact": name, "value": value} for name, value in facts.items()]
        print_rows(rows, as_json=False, empty="")


def replay_quarantine(
    reason: str | None, route: str | None, data: Path | None, *, dry_run: bool
) -> int:
    """Replay what waits, in the running lab if there is one; 1 if some is refused again."""
    settings = read_settings(data=data)
    try:
        lab = bootstrap.open_lab(settings)
    except LabBusyError:
        found = _replay_over_http(settings, reason, route, dry_run=dry_run)
    else:
        try:
            recorder = bootstrap.open_replayer(lab)
            found = replay(recorder, reason=reason, route=route, dry_run=dry_run)
        finally:
            lab.close()
    rows = [
        {"what": "tried", "n": found.tried},
        {"what": "healed", "n": found.healed},
        {"what": "Readings in them", "n": found.readings},
        {"what": "refused again", "n": found.refused},
    ]
    print_rows(rows, as_json=False, empty="")
    return int(found.refused > 0)


def _replay_over_http(
    settings: Settings, reason: str | None, route: str | None, *, dry_run: bool
) -> Replayed:
    """Ask the running lab to replay."""
    wanted = json.dumps({"reason": reason, "route": route, "dry_run": dry_run}).encode()
    return Replayed(**told(ask(settings, "/admin/quarantine:replay", wanted, "application/json")))


def drop_quarantined(reason: str | None, route: str | None, data: Path | None) -> None:
    """Give up on what waits."""
    with civic(data, write=True) as work:
        dropped = drop(work, reason=reason, route=route)
    print_rows([{"what": "dropped", "n": dropped}], as_json=False, empty="")
