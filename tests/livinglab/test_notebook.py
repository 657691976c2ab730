"""The page for notebooks says what happens."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "notebook.md"


def test_every_example_of_the_page_runs():
    """As it stands, with the answer that stands there."""
    done = doctest.testfile(str(PAGE), module_relative=False)

    assert 0 == done.failed
    assert 10 <= done.attempted
