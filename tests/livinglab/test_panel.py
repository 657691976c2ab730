"""A panel is read as it stands, or refused with one sentence that says where."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.panel import Panel


def frame(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text.replace(" ", "")))


SMALL = """unit,period,value,treated
a,1,10,0
a,2,12,1
b,1,5,0
b,2,6,0
"""


def test_a_tidy_frame_becomes_a_rectangle():
    """Units and periods are sorted, whatever the order of rows; the start is a column number."""
    found = Panel.of(frame(SMALL).iloc[::-1])

    assert ("a", "b") == found.units
    assert [1.0, 2.0] == list(found.periods)
    assert [10, 12] == found.mean_treated().tolist()
    assert [5, 6] == found.mean_control().tolist()
    assert [1, 2] == found.starts.tolist()
    assert 1 == found.start


def test_dates_and_times_are_instants_in_utc():
    """A zone is honoured: 01:00+01:00 is midnight UTC."""
    rows = frame(SMALL).assign(
        period=["2024-01-01T01:00:00+01:00", "2024-01-01T03:00:00+02:00"] * 2
    )

    found = Panel.of(rows)

    assert ["2024-01-01T00:00:00", "2024-01-01T01:00:00"] == list(found.periods.astype(str))


def test_a_start_between_periods_begins_with_the_next():
    """A measure of the 15th first shows in the period that begins after it."""
    rows = frame(
        "unit,period,value,start\na,2024-01-01,1,2024-01-15\na,2024-02-01,2,2024-01-15\n"
        "b,2024-01-01,1,\nb,2024-02-01,2,\n"
    )

    assert [1, 2] == Panel.of(rows).starts.tolist()


def test_what_is_missing_stays_missing():
    """An absent row and an empty value are the same: nothing is known."""
    rows = frame("unit,period,value,treated\na,1,1,0\na,2,,1\na,3,4,1\nb,1,2,0\nb,3,3,0\n")

    found = Panel.of(rows)

    assert [[True, False, True], [True, False, True]] == found.observed.tolist()


def test_units_that_can_say_nothing_are_dropped_with_the_reason():
    """A unit without values, and one treated from its first value on."""
    rows = frame(
        "unit,period,value,start\na,1,1,2\na,2,1,2\nb,1,2,\nb,2,2,\n"
        "empty,1,,\nempty,2,,\nlate,2,4,2\n"
    )

    found = Panel.of(rows)

    assert ("a", "b") == found.units
    assert {"empty": "has no value", "late": "has no value before its start"} == {
        gone.unit: gone.reason for gone in found.dropped
    }


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("unit,value,treated\na,1,0", "lacks the column period"),
        ("unit,period,value\na,1,1", "none does"),
        ("unit,period,value,treated,start\na,1,1,0,", "more than one does"),
        ("unit,period,value,treated\n", "no rows"),
        ("unit,period,value,treated\na,1,1,0\na,1,2,0", r"unit a has more than one row .*line 3"),
        ("unit,period,value,treated\na,1,inf,0\na,2,2,1", r"value is infinite \(line 2\)"),
        ("unit,period,value,treated\na,1,n.a.,0\na,2,2,1", r"value is 'n\.a\.'.*line 2"),
        ("unit,period,value,treated\na,1,1,0\na,2,2,1\na,3,2,0", "treatment must last"),
        ("unit,period,value,treated\na,1,1,0\na,2,2,2", "treated is neither 0 nor 1"),
        ("unit,period,value,treated\na,1,,0\na,2,,1", "no row has a value"),
        ("unit,period,value,treated\na,1,1,1\na,2,2,1", "no treated unit has a value before"),
        ("unit,period,value,treated\na,1,1,0\na,2024-01-01,2,1", "some periods are numbers"),
        ("unit,period,value,treated\na,01/02/2024,1,0\na,2024-01-01,2,1", "neither a number nor"),
        (
            "unit,period,value,treated\na,2024-01-01,1,0\na,2024-01-02T00:00:00Z,2,1",
            "have a time zone",
        ),
        ("unit,period,value,treated\n,1,1,0\na,2,2,1", r"no unit \(line 2\)"),
        ("unit,period,value,treated\na,,1,0\na,2,2,1", r"no period \(line 2\)"),
        ("unit,period,value,start\na,1,1,2\na,2,2,3", "unit a has different starts"),
        ("unit,period,value,start\na,1,1,2\na,2,2,", "unit a has different starts"),
        ("unit,period,value,start\na,1,1,2024-01-01", "periods are numbers"),
        ("unit,period,value,treated,cluster\na,1,1,0,x\na,2,2,1,y", "more than one cluster"),
        ("unit,period,value,treated,weight\na,1,1,0,0\na,2,2,1,0", "weight is not positive"),
        ("unit,period,value,treated,t\na,1,1,0,warm\na,2,2,1,1", "t is 'warm'"),
    ],
)
def test_a_table_that_nobody_may_guess_about_is_refused(table, says):
    """One sentence says what is wrong, and where."""
    with pytest.raises(PanelError, match=says):
        Panel.of(pd.read_csv(io.StringIO(table)))


def test_a_named_unit_that_is_not_there_is_refused():
    """`--treated` with a name nobody has would silently make a panel of controls."""
    with pytest.raises(PanelError, match="treated unit c is not in the panel"):
        Panel.of(frame(SMALL).drop(columns="treated"), treated=["c"], start=2)


def test_logs_need_positive_values():
    """Zeros have no logarithm, and nothing is added to them."""
    with pytest.raises(PanelError, match="use poisson where values can be 0"):
        Panel.of(frame(SMALL.replace("b,2,6", "b,2,0"))).transformed("log")


def test_a_block_drops_the_emptiest_line_first():
    """A control with two holes goes; the hole that all share costs one period."""
    hole = float("nan")
    panel = Panel(
        units=("a", "b", "c"),
        periods=np.arange(6.0),
        values=np.array(
            [[1, 2, hole, 4, 5, 6], [1, 2, hole, 4, 5, 6], [hole, 2, hole, hole, hole, 6]]
        ),
        starts=np.array([4, 6, 6]),
    )

    found = panel.block()

    assert ("a", "b") == found.units
    assert [0, 1, 3, 4, 5] == found.periods.tolist()
    assert 3 == found.start
    assert ["c"] == [gone.unit for gone in found.dropped]


def test_a_block_without_controls_is_refused():
    """A control that was seen in no common period is no control."""
    hole = float("nan")
    panel = Panel(
        units=("a", "b"),
        periods=np.arange(4.0),
        values=np.array([[1, 2, hole, hole], [hole, hole, 3, 4]]),
        starts=np.array([2, 4]),
    )

    with pytest.raises(NotEstimableError):
        panel.block()


def test_means_are_over_a_constant_set():
    """A control that joins halfway fakes a step, so it stays out of the mean."""
    hole = float("nan")
    panel = Panel(
        units=("a", "b", "c"),
        periods=np.arange(3.0),
        values=np.array([[1.0, 1, 1], [5, 5, 5], [hole, 9, 9]]),
        starts=np.array([2, 3, 3]),
    )

    assert [5, 5, 5] == panel.mean_control().tolist()


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_says_nothing(random):
    """Any shuffle of the same rows is the same panel."""
    rows = frame(SMALL)
    order = list(range(len(rows)))
    random.shuffle(order)

    shuffled = Panel.of(rows.iloc[order].reset_index(drop=True))

    straight = Panel.of(rows)
    assert straight.mean_treated().tolist() == shuffled.mean_treated().tolist()
    assert straight.mean_control().tolist() == shuffled.mean_control().tolist()
    assert straight.starts.tolist() == shuffled.starts.tolist()
