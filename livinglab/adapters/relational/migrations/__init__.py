"""Migrations: how a civic database becomes what `tables` says, step by step and in order."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from livinglab.adapters.relational.engine import writing
from livinglab.errors import StoreUnavailableError


def upgrade(engine: Engine, part: str) -> None:
    """Bring a database to the newest schema, or leave it as it was; twice is harmless.

    Raises:
        StoreUnavailableError: It cannot be reached, or a newer lab has upgraded it.
    """
    config = _config()
    with writing(engine).begin() as connection:
        _refuse_newer(_revision(connection), part)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_newest(engine: Engine, part: str) -> None:
    """Make sure that the schema is the one this lab was written for.

    Raises:
        StoreUnavailableError: It is not, or the database cannot be reached.
    """
    with engine.connect() as connection:
        revision = _revision(connection)
    _refuse_newer(revision, part)
    if revision != _scripts().get_current_head():
        problem = "its schema is older than this lab" if revision else "it has no tables yet"
        raise StoreUnavailableError(part, problem, "run `livinglab db upgrade`")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(revision: str | None, part: str) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreUnavailableError(
            part,
            f"its schema (revision {revision}) is unknown here: a newer lab has upgraded it",
            "install that version of livinglab, or restore an older backup",
        )
