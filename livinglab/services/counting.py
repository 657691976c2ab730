"""Counting: paper, telephone lists and shows of hands enter as counts, each sheet once."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeVar

from livinglab.domain.batches import Batch
from livinglab.domain.contributors import Dimension
from livinglab.domain.observations import Category, Channel
from livinglab.errors import ConflictError, InvalidError, LabError, UnreadableInputError
from livinglab.ports import CivicStore, UnitOfWork
from livinglab.services.collecting import Collected
from livinglab.services.joining import visible
from livinglab.services.observing import without_controls

Made = TypeVar("Made")

FIRST_DAY = date(2000, 1, 1)
COUNTED_CHANNELS = frozenset({Channel.EVENT, Channel.PHONE, Channel.KIOSK, Channel.STAFF})
COLUMNS = frozenset({"external_id", "day", "category", "n"})
AT_ONCE = 500
MOST_LINES = 1_000_000
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What somebody counted, as it comes."""

    source: str
    external_id: str
    category: str
    day: date
    n: int
    channel: Channel = Channel.EVENT
    place: str | None = None
    zone: str | None = None
    strata: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def digest(self) -> str:
        """Hash what was counted."""
        facts = [
            self.category,
            self.day.isoformat(),
            self.n,
            self.channel.value,
            self.place,
            self.zone,
            {name: dict(levels) for name, levels in self.strata.items()},
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def count(
    sheet: Sheet, *, categories: Mapping[str, Category], work: UnitOfWork, now: datetime
) -> tuple[Batch, bool]:
    """Keep what somebody counted; the same sheet twice is kept once.

    Returns:
        The batch, and whether it is new.

    Raises:
        ConflictError: The source used the name for another sheet.
        InvalidError: Something is not as it must be, with its path.
    """
    earlier = work.batches.one(source=sheet.source, external_id=sheet.external_id)
    if earlier is not None:
        if earlier.body_sha256 != sheet.digest():
            raise ConflictError(f"{sheet.external_id!r} was used for another batch")
        return earlier, False
    _check_words(sheet)
    if sheet.category not in categories:
        raise InvalidError("category", f"must be one of {', '.join(sorted(categories))}")
    if not FIRST_DAY <= sheet.day <= (now + timedelta(days=1)).date():
        raise InvalidError("day", f"must lie between {FIRST_DAY} and today")
    if sheet.channel not in COUNTED_CHANNELS:
        named = ", ".join(sorted(one.value for one in COUNTED_CHANNELS))
        raise InvalidError("channel", f"must be one of {named}")
    _check_where(sheet, work)
    try:
        made = Batch(
            source=sheet.source,
            external_id=sheet.external_id,
            body_sha256=sheet.digest(),
            category=sheet.category,
            day=sheet.day,
            n=sheet.n,
            channel=sheet.channel,
            received_at=now,
            place=sheet.place,
            zone=sheet.zone,
            strata={name: dict(levels) for name, levels in sheet.strata.items()},
        )
    except ValueError as error:
        raise InvalidError("n", str(error)) from error
    work.batches.add([made])
    return made, True


def _check_words(sheet: Sheet) -> None:
    if without_controls(sheet.external_id) != sheet.external_id:
        raise InvalidError("external_id", "holds control characters")
    for name, levels in sheet.strata.items():
        if any(without_controls(level) != level for level in levels):
            raise InvalidError("strata", "a level holds control characters")
        if name not in {one.value for one in Dimension}:
            raise InvalidError("strata", f"there is no dimension {name!r}")


def _check_where(sheet: Sheet, work: UnitOfWork) -> None:
    if (sheet.place is None) == (sheet.zone is None):
        raise InvalidError("place", "give the key of a place, or of a zone")
    if sheet.zone is not None and work.zones.get(sheet.zone) is None:
        raise InvalidError("zone", f"there is no Zone {sheet.zone!r}")
    if sheet.place is not None:
        found = work.places.get(sheet.place)
        if found is None or not visible([found], work):
            raise InvalidError("place", f"there is no Place {sheet.place!r}")


def import_batches(
    lines: Iterable[str],
    source: str,
    *,
    civic: CivicStore,
    categories: Mapping[str, Category],
    now: datetime,
    keep: bool = True,
) -> Collected:
    """Count the sheets of a table; lines of one `external_id` are one sheet.

    Args:
        lines: Text of a CSV file: `external_id`, `day`, `category`, `place` or `zone`, `n`, and
            where they are known `dimension` and `level`, `channel`, `source`. The line without a
            dimension tells how many there were; without one it is the largest sum of a dimension.
        source: Whose it is where a line does not tell.
        civic: Where batches are kept.
        categories: The city's themes.
        now: When they are received.
        keep: Whether anything is kept; if not, this tells what would be.

    Raises:
        UnreadableInputError: It is no such file.
    """
    found = Collected()
    sheets = list(_sheets(lines, source, found))
    found.rows += len(sheets)
    for start in range(0, len(sheets), AT_ONCE):
        with civic.work(write=keep) as work:
            for line, sheet in sheets[start : start + AT_ONCE]:
                try:
                    new = count(sheet, categories=categories, work=work, now=now)[1]
                except InvalidError as error:
                    found.refuse(f"bad_{error.path}", line)
                except LabError:
                    found.refuse("other_batch_of_this_name", line)
                else:
                    found.stored += new
                    found.duplicate += not new
    return found


def _sheets(lines: Iterable[str], source: str, found: Collected) -> Iterator[tuple[int, Sheet]]:
    """Yield each sheet with its first line; where a line is broken, its whole sheet is."""
    rows = csv.DictReader(lines)
    names = {name.strip() for name in rows.fieldnames or ()}
    if missing := COLUMNS - names:
        raise UnreadableInputError("the file", f"lacks the column {min(missing)}")
    if not names & {"place", "zone"}:
        raise UnreadableInputError("the file", "lacks a column place or zone")
    together: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(_read_rows(rows), start=2):
        if line > MOST_LINES:
            raise UnreadableInputError("the file", f"has more than {MOST_LINES} lines")
        told = {key.strip(): (value or "").strip() for key, value in row.items() if key}
        name = told.get("source") or source, told["external_id"]
        together.setdefault(name, []).append((line, told))
    for (whose, id_), group in together.items():
        line = group[0][0]
        try:
            yield line, _sheet(whose, id_, [told for _, told in group])
        except ValueError as error:
            found.rows += 1
            found.refuse(f"bad_{error}", line)


def _read_rows(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise UnreadableInputError("the file", f"is no CSV ({error})") from error


def _sheet(source: str, name: str, rows: list[dict[str, str]]) -> Sheet:
    """Make a sheet of its lines.

    Raises:
        ValueError: Named after the column that is wrong.
    """
    first = rows[0]
    if not 1 <= len(name) <= LONGEST_NAME or not 1 <= len(source) <= LONGEST_NAME:
        raise ValueError("external_id")
    for column in ("day", "category", "place", "zone", "channel"):
        if len({one.get(column, "") for one in rows}) > 1:
            raise ValueError(column)
    strata: dict[str, dict[str, int]] = {}
    totals = []
    for one in rows:
        n = _read(int, one["n"], "n")
        dimension, level = one.get("dimension", ""), one.get("level", "")
        if bool(dimension) != bool(level) or len(level) > LONGEST_NAME:
            raise ValueError("level")
        if not dimension:
            totals.append(n)
        elif strata.setdefault(dimension, {}).setdefault(level, n) != n:
            raise ValueError("level")
    if len(totals) > 1:
        raise ValueError("n")
    total = totals[0] if totals else max(sum(levels.values()) for levels in strata.values())
    return Sheet(
        source=source,
        external_id=name,
        category=first["category"],
        day=_read(date.fromisoformat, first["day"], "day"),
        n=total,
        channel=_read(Channel, first.get("channel") or "event", "channel"),
        place=first.get("place") or None,
        zone=first.get("zone") or None,
        strata=strata,
    )


def _read(make: Callable[[str], Made], text: str, column: str) -> Made:
    try:
        return make(text)
    except ValueError as error:
        raise ValueError(column) from error
