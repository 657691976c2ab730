"""Suppression: a table of people that may be published, from which no small cell can be worked out.

Cells that few stand behind, or that one person dominates, are withheld first. Then come others,
until whoever subtracts the published cells from the published totals must still hold it possible
that ten people or more stand behind each of the first. The table is seen as a network: a cell flows
from its row to its column, totals close the circle, and a withheld cell is safe where enough can
flow around through other withheld ones.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra, maximum_flow

from livinglab.errors import PanelError
from livinglab.impact.measures import LEAST, whole

TOTAL = "all"
"""Name of the row and the column of totals."""
DOMINATED = 0.5
"""One person makes no more of a cell than this. [1]"""
ALMOST_NOTHING = 1e-9
"""What it costs to go through a cell that is withheld anyway."""

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


def publishable(counts: pd.DataFrame, largest: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a table with its totals, without what small cells could be worked out from.

    Args:
        counts: How many in each cell: distinct people, or what they did together with *largest*.
        largest: How many of them are one person's, at the most; None where people are counted.

    Returns:
        Rows and columns as given, and a row and a column ``all`` of totals; ``<NA>`` is withheld.

    Example:
        >>> people = pd.DataFrame({"web": [40, 90], "paper": [3, 25]}, index=["old", "young"])
        >>> publishable(people)
                web  paper  all
        old    <NA>   <NA>   43
        young  <NA>   <NA>  115
        all     130     28  158

    References:
        J. P. Kelly, B. L. Golden, A. A. Assad, Networks 22 (4), 397-417, 1992.
    """
    if TOTAL in counts.index or TOTAL in counts.columns:
        raise PanelError(f"the table has totals already: leave out {TOTAL!r}")
    if not counts.size:
        raise PanelError("the table has no cells")
    cells = _whole(counts)
    by_one = np.zeros_like(cells) if largest is None else _whole(largest.reindex_like(counts))
    wide = _with_totals(cells)
    small = wide < LEAST
    small[:-1, :-1] |= by_one > DOMINATED * cells
    table = pd.DataFrame(
        wide, index=[*counts.index, TOTAL], columns=[*counts.columns, TOTAL], dtype="Int64"
    )
    return table.mask(_protected(wide, small))


def withheld(counts: Mapping[str, int]) -> frozenset[str]:
    """Return the groups whose count must not be told where that of all of them is.

    Example:
        >>> sorted(withheld({"old": 3, "young": 30, "others": 90}))
        ['old', 'young']
    """
    table = publishable(pd.DataFrame({"people": list(counts.values())}, index=list(counts)))
    hidden = table["people"].isna()
    return frozenset(counts) if hidden[TOTAL] else frozenset(hidden.index[hidden])


def _whole(table: pd.DataFrame) -> Counts:
    cells = [whole(f"a cell of column {name}", one) for name in table for one in table[name]]
    return np.array(cells, np.int64).reshape(table.shape[::-1]).T


def _with_totals(cells: Counts) -> Counts:
    wide = np.append(cells, cells.sum(axis=1, keepdims=True), axis=1)
    return np.append(wide, wide.sum(axis=0, keepdims=True), axis=0)


def _protected(counts: Counts, small: Mask) -> Mask:
    """Withhold more than the small cells, until each of these could be larger by what it lacks."""
    hidden = small.copy()
    needs = np.where(counts < LEAST, LEAST - counts, LEAST)
    for row, column in np.argwhere(small):
        need = int(needs[row, column])
        if _slack(counts, hidden, (row, column), need) < need:
            hidden |= _way_round(counts, hidden, (row, column), need)
    return hidden


def _ends(shape: tuple[int, ...], cell: tuple[int, int]) -> tuple[int, int]:
    """Return the nodes that a cell joins: rows are numbered first, then columns."""
    row, column = cell[0], shape[0] + cell[1]
    return (row, column) if _outward(shape)[cell] else (column, row)


def _outward(shape: tuple[int, ...]) -> Mask:
    """Tell which cells flow from row to column: all but the totals of rows and of columns."""
    outward = np.ones(shape, dtype=bool)
    outward[-1, :-1] = outward[:-1, -1] = False
    return outward


def _graph(up: Counts, down: Counts, cell: tuple[int, int]) -> csr_array:
    """Join rows and columns by what may be added to a cell and taken from it; one cell may not."""
    rows, columns = up.shape
    outward = _outward(up.shape)
    up, down = up.copy(), down.copy()
    up[cell] = down[cell] = 0
    graph = np.zeros((rows + columns, rows + columns), up.dtype)
    graph[:rows, rows:] = np.where(outward, up, down)
    graph[rows:, :rows] = np.where(outward, down, up).T
    return csr_array(graph)


def _slack(counts: Counts, hidden: Mask, cell: tuple[int, int], need: int) -> int:
    """Tell how much larger a cell could be for all that is published; no more than *need*."""
    up = np.where(hidden, need, 0).astype(np.int32)
    down = np.where(hidden, np.minimum(counts, need), 0).astype(np.int32)
    tail, head = _ends(counts.shape, cell)
    return int(maximum_flow(_graph(up, down, cell), head, tail).flow_value)


def _way_round(counts: Counts, hidden: Mask, cell: tuple[int, int], need: int) -> Mask:
    """Find the cells with the fewest behind them that make room for one, if withheld too."""
    cost = np.where(hidden, ALMOST_NOTHING, counts + 1.0)
    tail, head = _ends(counts.shape, cell)
    graph = _graph(cost, np.where(counts >= need, cost, 0.0), cell)
    _, before = dijkstra(graph, indices=head, return_predecessors=True)
    found, rows = np.zeros_like(hidden), len(counts)
    node = tail
    while node != head:
        row, column = sorted((node, int(before[node])))
        found[row, column - rows] = True
        node = int(before[node])
    return found
