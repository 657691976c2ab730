"""A civic store of each kind, for every suite that holds all of them to the same promises."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.ports import CivicStore


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request, tmp_path: Path) -> Iterator[CivicStore]:
    """Every adapter."""
    opened: CivicStore
    if request.param == "memory":
        opened = MemoryCivicStore()
    elif request.param == "postgresql":
        opened = SqlCivicStore.open(request.getfixturevalue("postgres").migrated())
    else:
        opened = SqlCivicStore.open(f"sqlite:///{tmp_path / 'civic.sqlite'}", migrate=True)
    with closing(opened):
        yield opened
