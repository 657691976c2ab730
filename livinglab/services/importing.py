"""Importing: history meets the rules that live Readings meet, and may be stopped anywhere.

Each row of a bulk file is a message of format `table`. A batch of rows takes the steps of
`recording`; then a checkpoint says how far the file is read, so that a second attempt goes on
there. What it repeats all the same comes out as duplicate.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import numpy as np
import structlog

from livinglab.domain.readings import Appended, Outcome, Test
from livinglab.errors import LabError, UnreadableInputError
from livinglab.ports import Message
from livinglab.services.gathering import Intake
from livinglab.services.recording import Recorder
from livinglab.wire.layouts import layout_from
from livinglab.wire.routes import Route
from livinglab.wire.table import LONGEST_ROW, Layout, Table, split

log = structlog.get_logger()

BATCH = 256 * 1024
"""Bytes of rows that are committed together."""
QOS_1 = 0x32
"""The first byte of a message that was published at QoS 1: imported rows are never lost either."""
FOLDER = "imports"
"""Of the data folder: where tables are kept for replays, and checkpoints of unfinished imports."""


@dataclass(slots=True, kw_only=True)
class Imported:
    """What became of rows, and of the Readings in them."""

    rows: int = 0
    readings: int = 0
    """Readings that were told, quarantined ones included."""
    stored: int = 0
    duplicate: int = 0
    replaced: int = 0
    missing: int = 0
    """Of the Readings: those whose source said that it has no value."""
    untold: int = 0
    """Empty cells by which the source said nothing."""
    things: int = 0
    """Things that introduced themselves."""
    quarantined_readings: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    """Reason → rows that were refused for it, whole or in part."""
    flagged: Counter[str] = field(default_factory=Counter)
    """Test → Readings to which it objected at the door."""

    def add(self, other: "Imported") -> None:
        """Add what became of more rows."""
        for one in fields(self):
            mine, more = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Counter):
                mine.update(more)
            else:
                setattr(self, one.name, mine + more)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {key: dict(one) if isinstance(one, Counter) else one for key, one in found.items()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read it from JSON."""
        found = cls()
        for one in fields(cls):
            value = told[one.name]
            setattr(found, one.name, Counter(value) if isinstance(value, dict) else int(value))
        return found


Take = Callable[[Sequence[bytes]], Imported]
"""Makes rows durable, and tells what became of them."""


def table_id(table: Table) -> str:
    """Return a name that only this layout with this header has."""
    facts = [table.layout.name, table.layout.document, table.header]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def import_route(table: Table) -> Route:
    """Return the route by which rows of a table are read and counted."""
    layout = table.layout
    return Route(
        name=f"import:{layout.name}",
        filter=f"import/{table_id(table)}/{{file}}",
        format="table",
        scheme=layout.scheme,
        timezone=layout.timezone,
        confirm=layout.confirm,
        options={"table": table},
    )


class Importer:
    """Records rows of one table in one lab."""

    def __init__(self, recorder: Recorder, table: Table) -> None:
        """Bind a Recorder whose only route is that of the table."""
        self.recorder = recorder
        self.table = table
        self.route = import_route(table)
        self._prefix = self.route.filter.removesuffix("{file}")

    def take(self, file: str, rows: Sequence[bytes]) -> Imported:
        """Record rows of a file: all of them are durable once this returns.

        Raises:
            StoreUnavailableError: Some step did not happen; the same call may be made again.
        """
        topic = (self._prefix + quote(file, safe="")).encode()
        recorder = self.recorder
        recorder.registry.refresh()
        intake = recorder.decode([Message(topic, row, QOS_1, len(row)) for row in rows])
        known = recorder.registry.things
        new = {(scheme, series[0]) for scheme, series in intake.new} - known.keys()
        appended = recorder.complete(intake)
        found = self._imported(intake, appended)
        found.things = len(new & recorder.registry.things.keys())  # some may have been refused
        return found

    def _imported(self, intake: Intake, appended: Appended) -> Imported:
        tally = intake.tally(self.route.name)
        counts = np.bincount(np.frombuffer(appended.outcomes, dtype=np.uint8), minlength=3)
        tests = np.frombuffer(intake.batch.tests, dtype=np.uint16)
        told = len(intake.batch) + tally.quarantined_readings
        cells = len(self.table.columns) * (tally.messages - tally.quarantined_messages)
        return Imported(
            rows=tally.messages,
            readings=told,
            stored=int(counts[Outcome.NEW]),
            duplicate=int(counts[Outcome.DUPLICATE]),
            replaced=int(counts[Outcome.REPLACED]),
            missing=int(np.isnan(np.frombuffer(intake.batch.results)).sum()),
            untold=cells - told,
            quarantined_readings=tally.quarantined_readings,
            quarantined=Counter(one.reason for one in intake.refused),
            flagged=Counter(
                {
                    (test.name or "").lower(): n
                    for test in Test
                    if (n := int(np.count_nonzero(tests & np.uint16(test))))
                }
            ),
        )


def keep_table(table: Table, data: Path) -> None:
    """Keep a table in the data folder, so that its rows can be replayed out of quarantine."""
    facts = {
        "layout": table.layout.name,
        "document": table.layout.document,
        "header": table.header,
    }
    path = data / FOLDER / f"{table_id(table)}.table.json"
    if not path.exists():
        _write(path, facts)


def kept_routes(data: Path) -> list[Route]:
    """Return the routes of all tables that were kept, for a replay.

    A layout that ships is taken as it ships now, so that its repair heals what it refused.
    """
    routes = []
    for path in sorted((data / FOLDER).glob("*.table.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            table = Table.bind(layout_from(facts["document"], facts["layout"]), facts["header"])
        except (OSError, ValueError, KeyError, LabError) as error:
            log.warning("import_table_unusable", file=path.name, problem=str(error))
            continue
        routes.append(import_route(table))
    return routes


def _write(path: Path, facts: Mapping[str, object]) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(facts), encoding="utf-8")
    draft.replace(path)


@dataclass(frozen=True, slots=True)
class Source:
    """A bulk file, its header read."""

    name: str
    file: BinaryIO
    table: Table
    start: int
    """Bytes of the header. [bytes]"""


def open_source(file: BinaryIO, name: str, layout: Layout) -> Source:
    """Read the header of a file.

    Raises:
        UnreadableInputError: It has none, or not the one that the layout describes.
    """
    line = file.readline(LONGEST_ROW + 1)
    try:
        header = split(line.decode("utf-8-sig").rstrip("\r\n"), layout.delimiter)
        table = Table.bind(layout, header)
    except (ValueError, csv.Error) as error:
        raise UnreadableInputError(name, f"does not fit layout {layout.name}: {error}") from error
    return Source(name, file, table, len(line))


def batches(file: BinaryIO, start: int, most: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield rows and where they end in the file; empty lines are none.

    Args:
        file: Read up to *start*.
        start: Where the next row begins. [bytes]
        most: Bytes of rows in a batch, unless one row has more.
    """
    rows: list[bytes] = []
    size, end = 0, start
    for row, length in _rows(file):
        end += length
        if row:
            if rows and size + len(row) >= most:
                yield rows, end - length
                rows, size = [], 0
            rows.append(row)
            size += len(row) + 1
    if rows:
        yield rows, end


def _rows(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield each line without its end, and its length; of one that is too long only the head."""
    while line := file.readline(LONGEST_ROW + 2):
        length = len(line)
        if length > LONGEST_ROW and not line.endswith(b"\n"):
            while more := file.readline(LONGEST_ROW):
                length += len(more)
                if more.endswith(b"\n"):
                    break
        yield line.rstrip(b"\r\n"), length


class Checkpoint:
    """How far an unfinished import of one file has come, in a file of its own."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist."""
        self._path = path

    @classmethod
    def of(cls, source: Source, data: Path) -> Self:
        """Find the checkpoint of a file by its content and its table; reads it to the end."""
        source.file.seek(0)
        digest = hashlib.file_digest(source.file, "sha256").hexdigest()[:16]  # type: ignore[arg-type]  # typeshed asks for more than a file
        source.file.seek(source.start)
        return cls(data / FOLDER / f"{table_id(source.table)}.{digest}.checkpoint.json")

    def read(self) -> tuple[int, Imported] | None:
        """Return where to go on and what came of the rows before; None: begin."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            return int(told["offset"]), Imported.of(told["imported"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, offset: int, imported: Imported) -> None:
        """Note that everything before *offset* is durable."""
        _write(self._path, {"offset": offset, "imported": imported.as_dict()})

    def clear(self) -> None:
        """Forget it: the import is finished."""
        with suppress(FileNotFoundError):
            self._path.unlink()


def import_rows(
    source: Source,
    take: Take,
    *,
    checkpoint: Checkpoint | None = None,
    most: int = BATCH,
    progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Import what a file holds, from its checkpoint on.

    Args:
        source: Read up to its first row.
        take: Makes rows durable.
        checkpoint: Where to note how far it came; None for a stream that cannot be read again.
        most: Bytes of rows that are taken at once.
        progress: Is told how far the file is read. [bytes]

    Returns:
        What became of all rows, those before the checkpoint included.

    Raises:
        StoreUnavailableError: It stopped there; the same call goes on there.
    """
    known = checkpoint and checkpoint.read()
    offset, imported = known or (source.start, Imported())
    if known:
        source.file.seek(offset)
    for rows, end in batches(source.file, offset, most):
        imported.add(take(rows))
        if checkpoint:
            checkpoint.write(end, imported)
        progress(end)
    if checkpoint:
        checkpoint.clear()
    return imported
