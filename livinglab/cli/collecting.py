"""Reports of other systems from the command line: `livinglab import observations`."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from livinglab import bootstrap
from livinglab.cli.printing import print_rows
from livinglab.config import Settings, empty_city, read_city, read_settings
from livinglab.errors import LabBusyError, UnreadableInputError
from livinglab.ports import CivicStore
from livinglab.services.collecting import Collected, collect
from livinglab.services.counting import import_batches
from livinglab.wire.reports import layout_named

_screen = Console(stderr=True)


def import_observations(
    files: Sequence[str], layout: str, data: Path | None, *, dry_run: bool, as_json: bool
) -> int:
    """Import files of reports; 1 if some of their rows were refused."""
    settings, described = read_settings(data=data), layout_named(layout)
    city = read_city(settings.city) if settings.city else empty_city()
    described = replace(described, timezone=described.timezone or city.city.timezone)
    told = []
    with _civic(settings) as civic:
        now = datetime.now(UTC)
        for name in files:
            began = time.monotonic()
            with _opened(name) as file, _progress(name) as progress:
                found = collect(
                    file,
                    described,
                    civic=civic,
                    categories=city.categories,
                    now=now,
                    keep=not dry_run,
                    progress=progress,
                )
            told.append(_described(name, found, time.monotonic() - began))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))  # noqa: T201 - data go to stdout
    else:
        print_rows([_line(one) for one in told], as_json=False, empty="")
    return int(any(one["refused"] for one in told))


def import_sheets(
    files: Sequence[str], source: str, data: Path | None, *, dry_run: bool, as_json: bool
) -> int:
    """Import files of batches; 1 if some were refused."""
    settings = read_settings(data=data)
    city = read_city(settings.city) if settings.city else empty_city()
    told = []
    with _civic(settings) as civic:
        for name in files:
            began = time.monotonic()
            with _opened(name) as file:
                found = import_batches(
                    file,
                    source,
                    civic=civic,
                    categories=city.categories,
                    now=datetime.now(UTC),
                    keep=not dry_run,
                )
            told.append(_described(name, found, time.monotonic() - began))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))  # noqa: T201 - data go to stdout
    else:
        print_rows([_line(one) for one in told], as_json=False, empty="")
    return int(any(one["refused"] for one in told))


@contextmanager
def _civic(settings: Settings) -> Iterator[CivicStore]:
    with ExitStack() as opened:
        try:
            lab = bootstrap.open_lab(settings)
            opened.callback(lab.close)
            civic = lab.civic
        except LabBusyError:  # the one that runs takes what another process commits
            civic = opened.enter_context(closing(bootstrap.open_civic(settings)))
        yield civic


@contextmanager
def _opened(name: str) -> Iterator[io.TextIOBase]:
    try:
        if name == "-":
            yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
            return
        with Path(name).open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise UnreadableInputError(name, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UnreadableInputError(name, "is not UTF-8") from error


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], None]]:
    if not _screen.is_terminal:
        _screen.print(name, highlight=False)
        yield lambda _: None
        return
    with _screen.status(name) as status:
        yield lambda rows: status.update(f"{name}: {rows:,} rows")


def _described(name: str, found: Collected, seconds: float) -> dict[str, Any]:
    return {
        "file": name if name == "-" else Path(name).name,
        "rows": found.rows,
        "stored": found.stored,
        "duplicate": found.duplicate,
        "refused": dict(found.refused),
        "lines": found.lines,
        "seconds": round(seconds, 2),
    }


def _line(told: dict[str, Any]) -> dict[str, Any]:
    refused = ", ".join(
        f"{reason} {n} (line {', '.join(str(line) for line in told['lines'][reason][:3])})"
        for reason, n in sorted(told["refused"].items())
    )
    return {**{key: told[key] for key in told if key != "lines"}, "refused": refused}
