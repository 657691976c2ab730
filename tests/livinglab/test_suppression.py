"""Which Zones are published alone, together, or not at all: worked by hand."""

import pytest

from livinglab.domain.suppression import Block, blocks


def people(**counts):
    """Zone → so many people, each of whom posted once and lives in no other Zone."""
    return {zone: [f"{zone}{n}" for n in range(count)] for zone, count in counts.items()}


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"a": 12, "b": 23}, [("a",), ("b",)]),
        ({"a": 12, "b": 23, "c": 4, "d": 6}, [("a",), ("b",), ("c", "d")]),
        ({"a": 12, "b": 23, "c": 4, "d": 5}, [("b",), ("a", "c", "d")]),
        ({"a": 12, "b": 23, "c": 9}, [("b",), ("a", "c")]),
        ({"a": 12, "b": 23, "c": 0}, [("b",), ("a", "c")]),
        ({"a": 12, "c": 0}, [("a", "c")]),
        ({"a": 3, "b": 4, "c": 2}, []),
        ({"a": 3, "b": 4, "c": 3}, [("a", "b", "c")]),
        ({"a": 12}, [("a",)]),
        ({"a": 9}, []),
        ({}, []),
    ],
)
def test_few_are_told_with_others(counts, found):
    """At k = 10: small Zones together; if still too few, or one alone, with the next larger one."""
    assert found == [one.zones for one in blocks(people(**counts), 10)]


def test_people_count_once_and_counts_are_rounded():
    """Ten who posted in both Zones are ten; nine who posted often are nine."""
    both = [f"p{n}" for n in range(5)]
    busy = ["a"] * 30 + ["b", "c"]

    assert () == blocks({"x": both, "y": both, "z": busy}, 10)
    assert (Block(("x", "y", "z"), 40, 10),) == blocks({"x": both, "y": both, "z": busy}, 8)
    assert (Block(("w",), 15, 10),) == blocks({"w": [f"p{n % 12}" for n in range(13)]}, 10)
