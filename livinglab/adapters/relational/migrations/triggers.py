"""Triggers: promises that hold even for somebody with a database client.

Revisions that ran depend on these texts: add functions, never change one.
"""

from collections.abc import Iterator

from alembic import op

_ROW_CHANGES = ("INSERT", "UPDATE", "DELETE")

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
"""
_MOVE = """
CREATE OR REPLACE FUNCTION move_registry_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registry_version SET version = version + 1;
    RETURN NULL;
END $$
"""


def append_only(table: str) -> Iterator[str]:
    """Yield statements that make the database refuse to change or delete rows of a table."""
    if op.get_bind().dialect.name == "postgresql":
        yield _REFUSE
        yield (
            f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        yield (
            f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def moves_registry_version(table: str) -> Iterator[str]:
    """Yield statements that make every change of a table's rows move the registry's version.

    SQLite moves it with each row, PostgreSQL with each statement.
    """
    if op.get_bind().dialect.name == "postgresql":
        yield _MOVE
        yield (
            f"CREATE TRIGGER {table}_moves_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION move_registry_version()"
        )
        return
    for change in _ROW_CHANGES:
        yield (
            f"CREATE TRIGGER {table}_{change.lower()}_moves_version AFTER {change} ON {table} "  # noqa: S608 - our own names
            "BEGIN UPDATE registry_version SET version = version + 1; END"
        )
