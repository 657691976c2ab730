"""History from the command line: bulk files come in, public Readings go out.

Where a lab runs on the data folder, it is asked over HTTP, because one process holds the Readings.
"""

import json
import os
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from livinglab import bootstrap
from livinglab.cli.asking import ask, pieces, told
from livinglab.cli.looking import instant
from livinglab.cli.printing import print_rows
from livinglab.config import Settings, read_settings
from livinglab.domain.readings import Interval
from livinglab.errors import LabBusyError, UnreadableInputError
from livinglab.services.exporting import COLUMNS, csv_text, export_rows, plan_export
from livinglab.services.importing import (
    BATCH,
    Checkpoint,
    Imported,
    Importer,
    Source,
    import_rows,
    open_source,
)
from livinglab.wire.layouts import layout_named
from livinglab.wire.table import Layout

OVER_HTTP = 40 * 1024
"""Bytes of rows in one request, unless one row has more: a lab takes 64 KiB at a time."""
NOTES = {
    "passed_over": "the layout knows nothing of",
    "joined": "several instruments are one Datastream in",
}
"""Fact of a report → how it is told."""

_screen = Console(stderr=True)

Sink = Callable[[Sequence[bytes]], Imported]
"""Takes rows of the source at hand."""
Opener = Callable[[Source], Sink]
"""Prepares taking the rows of a source."""


def import_readings(
    files: Sequence[str], layout: str, data: Path | None, *, dry_run: bool, as_json: bool
) -> int:
    """Import bulk files; 1 if some of them was refused."""
    settings, described = read_settings(data=data), layout_named(layout)
    with ExitStack() as opened:
        sources = [opened.enter_context(_open(name, described)) for name in files]
        opener, most = opened.enter_context(_opener(settings, dry_run=dry_run))
        keeps = None if dry_run else settings.data
        reports = [_import(source, opener, keeps, most) for source in sources]
    _print(reports, as_json=as_json)
    return int(any(report["quarantined"] for report in reports))


@contextmanager
def _open(name: str, layout: Layout) -> Iterator[Source]:
    """Open a file, or standard input, and read its header."""
    if name == "-":
        yield open_source(sys.stdin.buffer, "standard input", layout)
        return
    path = Path(name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableInputError(name, f"cannot be read ({error.strerror})") from error
    with file:
        yield open_source(file, path.name, layout)


@contextmanager
def _opener(settings: Settings, *, dry_run: bool) -> Iterator[tuple[Opener, int]]:
    """Yield how rows are taken, and how many bytes of them at once."""
    with ExitStack() as opened:
        if dry_run:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            lab = bootstrap.open_rehearsal(settings, folder)
        else:
            try:
                lab = bootstrap.open_lab(settings)
            except LabBusyError:
                yield _over_http(settings), OVER_HTTP
                return
        opened.callback(lab.close)
        yield _here(lab), BATCH


def _here(lab: bootstrap.Lab) -> Opener:
    """Take rows in this process; one importer for all files of a table."""
    importers: dict[object, Importer] = {}

    def opening(source: Source) -> Sink:
        found = importers.get(source.table.header)
        if found is None:
            found = importers[source.table.header] = bootstrap.open_importer(lab, source.table)
        return lambda rows: found.take(source.name, rows)

    return opening


def _over_http(settings: Settings) -> Opener:
    """Hand rows to the running lab."""

    def opening(source: Source) -> Sink:
        table = source.table
        facts = {
            "file": source.name,
            "layout": table.layout.name,
            "document": table.layout.document,
            "header": table.header,
        }
        head = json.dumps(facts).encode()

        def take(rows: Sequence[bytes]) -> Imported:
            return Imported.of(told(ask(settings, "/admin/imports", b"\n".join([head, *rows]))))

        return take

    return opening


def _import(source: Source, opener: Opener, data: Path | None, most: int) -> dict[str, Any]:
    """Import one file and describe what came of it."""
    checkpoint = None
    if data is not None and source.file.seekable():
        checkpoint = Checkpoint.of(source, data)
        if known := checkpoint.read():
            _screen.print(f"{source.name}: goes on at byte {known[0]:,}")
    began = time.monotonic()
    with _progress(source) as told:
        found = import_rows(source, opener(source), checkpoint=checkpoint, most=most, progress=told)
    table = source.table
    return {
        "file": source.name,
        "layout": table.layout.name,
        **found.as_dict(),
        "passed_over": list(table.passed_over),
        "joined": list(table.joined),
        "seconds": round(time.monotonic() - began, 2),
    }


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[int], None]]:
    """Show how far a file is read: a bar on a terminal, a line elsewhere."""
    total = os.fstat(source.file.fileno()).st_size or None  # a pipe has no size
    if not _screen.is_terminal:
        _screen.print(f"{source.name}: {total:,} bytes" if total else source.name, highlight=False)
        yield lambda _: None
        return
    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), DownloadColumn())
    with Progress(*shown, console=_screen) as bars:
        bar = bars.add_task(source.name, total=total)
        yield lambda end: bars.update(bar, completed=end)


def _print(reports: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print what came of each file, and on standard error what its columns made of it."""
    if as_json:
        print(json.dumps(reports, ensure_ascii=False))  # noqa: T201 - data go to stdout
        return
    for report in reports:
        for fact, words in NOTES.items():
            if report[fact]:
                names = ", ".join(report[fact])
                _screen.print(f"{report['file']}: {words}: {names}", highlight=False)
    aside = {"layout", "readings", "quarantined_readings", *NOTES}
    rows = [
        {name: _text(value) for name, value in report.items() if name not in aside}
        for report in reports
    ]
    print_rows(rows, as_json=False, empty="")


def _text(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {n}" for name, n in sorted(value.items()))
    return value


def export_readings(
    *,
    from_: str,
    to: str | None,
    place: str | None,
    thing: str | None,
    zone: str | None,
    format_: str,
    data: Path | None,
) -> None:
    """Write public Readings to standard output."""
    start, end = instant("--from", from_), instant("--to", to) if to else datetime.now(UTC)
    if start > end:
        raise UnreadableInputError("--from", "must not lie after --to")
    if format_ not in {"csv", "parquet"}:
        raise UnreadableInputError("--format", f"{format_!r} is none of csv, parquet")
    which = {"place": place, "thing": thing, "zone": zone}
    settings = read_settings(data=data)
    bootstrap.open_civic(settings).close()  # where there is no lab, none is made
    if format_ == "parquet" and sys.stdout.isatty():
        raise UnreadableInputError("--format parquet", "is no text; send it to a file with >")
    with _exported(settings, Interval(start, end), which) as pieces:
        if format_ == "parquet":
            _write_parquet(pieces, sys.stdout.buffer)
        else:
            for piece in pieces:
                sys.stdout.buffer.write(piece)


@contextmanager
def _exported(
    settings: Settings, interval: Interval, which: Mapping[str, str | None]
) -> Iterator[Iterable[bytes]]:
    """Yield an export as pieces of CSV, from this process or from the running lab."""
    try:
        lab = bootstrap.open_lab(settings)
    except LabBusyError:
        asked = {"from": interval.start.isoformat(), "to": interval.end.isoformat()}
        asked |= {name: key for name, key in which.items() if key is not None}
        path = f"/admin/export/readings?{urllib.parse.urlencode(asked)}"
        yield pieces(ask(settings, path))
        return
    try:
        with lab.work(write=False) as work:
            export = plan_export(work, lab.city.key, **which)
        rows = export_rows(export, interval, lab.readings)
        yield (piece.encode() for piece in csv_text(rows))
    finally:
        lab.close()


def _write_parquet(pieces: Iterable[bytes], target: BinaryIO) -> None:
    """Turn CSV into Parquet on its way out; nothing has to fit into memory."""
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = Path(folder, "readings.csv"), Path(folder, "readings.parquet")
        with csv.open("wb") as file:
            file.writelines(pieces)
        bootstrap.write_parquet(csv, parquet, COLUMNS)
        with parquet.open("rb") as file:
            copyfileobj(file, target)
