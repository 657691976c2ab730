"""Triggers: promises that hold even for somebody with a database client.

Revisions that ran depend on these texts: add functions, never change one.
"""

from collections.abc import Iterator

_ROW_CHANGES = ("INSERT", "UPDATE", "DELETE")


def append_only(table: str) -> Iterator[str]:
    """Yield statements that make SQLite refuse to change or delete rows of a table."""
    for change in ("UPDATE", "DELETE"):
        yield (
            f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def moves_registry_version(table: str) -> Iterator[str]:
    """Yield statements that make every change of a table's rows move the registry's version."""
    for change in _ROW_CHANGES:
        yield (
            f"CREATE TRIGGER {table}_{change.lower()}_moves_version AFTER {change} ON {table} "  # noqa: S608 - our own names
            "BEGIN UPDATE registry_version SET version = version + 1; END"
        )
