"""Printing: a terminal gets tables and colours, a pipe plain lines, ``--json`` JSON."""

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table


def print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """Print rows of equal keys in the form that standard output wants."""
    if as_json:
        print(json.dumps(rows, default=str, ensure_ascii=False))  # noqa: T201 - data go to stdout
    elif not sys.stdout.isatty():
        for row in rows:
            print("\t".join(_plain(value) for value in row.values()))  # noqa: T201 - likewise
    elif not rows:
        Console().print(empty, style="dim")
    else:
        table = Table(header_style="bold")
        for name in rows[0]:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(_plain(value) for value in row.values()))
        Console().print(table)


def _plain(value: object) -> str:
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else " " for char in text)
