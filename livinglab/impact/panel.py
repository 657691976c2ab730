"""A panel: what units showed period by period, and from when each was treated."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.results import Floats

Transform = Literal["level", "log", "poisson"]
RESERVED = ("unit", "period", "value", "treated", "start", "cluster", "weight", "stratum")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A unit that takes no part, and why."""

    unit: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """Units by periods; what is missing is NaN, and nothing is imputed.

    Attributes:
        units: Names of the N units, sorted.
        periods: The T periods, ascending: numbers (float64) or instants (datetime64[s], UTC).
        values: Results by unit and period. [N, T; the Indicator's unit]
        starts: Column of each unit's first treated period; T for the never treated. [N]
        clusters: Code of the cluster within which errors may correlate. [N]
        weights: Positive weights of the units, 1 unless given. [N]
        strata: Code of the stratum within which treatment might have been assigned. [N]
        covariates: More columns by name. [N, T each]
        transform: The scale the values stand on: ``log`` means logs were already taken;
            ``poisson`` that a log link is to be used on the values as they are.
        dropped: Units left out when the panel was made.
    """

    units: tuple[str, ...]
    periods: NDArray[Any]
    values: Floats
    starts: NDArray[np.int64]
    clusters: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    weights: Floats = field(default_factory=lambda: np.empty(0))
    strata: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    transform: Transform = "level"
    dropped: tuple[Dropped, ...] = ()

    def __post_init__(self) -> None:
        """Fill in what was not given: a cluster of its own, weight 1 and one stratum for all."""
        n, t = self.values.shape
        if (n, t) != (len(self.units), len(self.periods)) or self.starts.shape != (n,):
            raise ValueError(f"a panel of {len(self.units)} units has values of {n} by {t}")
        if not self.clusters.size:
            object.__setattr__(self, "clusters", np.arange(n))
        if not self.weights.size:
            object.__setattr__(self, "weights", np.ones(n))
        if not self.strata.size:
            object.__setattr__(self, "strata", np.zeros(n, np.int64))

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Which units are treated at some period of the panel. [N]"""
        return self.starts < len(self.periods)

    @property
    def treatment(self) -> NDArray[np.bool_]:
        """Which cells are treated. [N, T]"""
        return np.asarray(np.arange(len(self.periods))[None, :] >= self.starts[:, None])

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Which cells hold a value. [N, T]"""
        return ~np.isnan(self.values)

    @property
    def start(self) -> int:
        """The one column from which all treated units are treated.

        Raises:
            NotEstimableError: No unit is treated, or their starts differ.
        """
        starts = np.unique(self.starts[self.is_treated])
        if not starts.size:
            raise NotEstimableError("no unit is treated")
        if starts.size > 1:
            raise NotEstimableError(f"treated units start at {starts.size} different periods")
        return int(starts[0])

    def only(self, units: NDArray[Any], periods: NDArray[Any] | None = None) -> Self:
        """These units, and these periods, by mask or position; starts are counted anew."""
        rows = np.arange(len(self.units))[units]
        columns = np.arange(len(self.periods))
        columns = columns if periods is None else columns[periods]
        starts = np.searchsorted(columns, self.starts[rows])
        cells = np.ix_(rows, columns)
        return replace(
            self,
            units=tuple(self.units[row] for row in rows),
            periods=self.periods[columns],
            values=self.values[cells],
            starts=starts.astype(np.int64),
            clusters=self.clusters[rows],
            weights=self.weights[rows],
            strata=self.strata[rows],
            covariates={name: column[cells] for name, column in self.covariates.items()},
        )

    def with_values(self, values: Floats) -> Self:
        """The same panel with other values. [N, T]"""
        return replace(self, values=values)

    def transformed(self, transform: Transform) -> Self:
        """The panel on another scale.

        Raises:
            PanelError: Logs of values that are not positive, or a log link on negative ones.
        """
        least = np.nanmin(self.values)
        if transform == "log" and least <= 0:
            raise PanelError(
                f"transform log needs positive values, the least is {least:g}; "
                "use poisson where values can be 0, or level"
            )
        if transform == "poisson" and least < 0:
            raise PanelError(f"transform poisson needs values of 0 or more, one is {least:g}")
        values = np.log(self.values) if transform == "log" else self.values
        return replace(self, values=values, transform=transform)

    def block(self) -> Self:
        """The largest complete rectangle that dropping one line at a time leads to.

        Drops whichever unit or period has the greatest share of missing cells, treated units
        never, until none is missing; units that go are listed in ``dropped``. Nothing is imputed.

        Raises:
            NotEstimableError: Nothing remains on one side of the start, or no control unit.
        """
        missing = np.isnan(self.values)
        rows, columns = np.ones(len(self.units), bool), np.ones(len(self.periods), bool)
        by_row, by_column = missing.sum(1), missing.sum(0)
        while by_row[rows].any():
            share_row = np.where(rows & ~self.is_treated, by_row / max(columns.sum(), 1), -1.0)
            share_column = np.where(columns, by_column / max(rows.sum(), 1), -1.0)
            row, column = int(share_row.argmax()), int(share_column.argmax())
            if share_column[column] >= share_row[row]:
                columns[column] = False
                by_row -= missing[:, column]
                by_column[column] = 0
            else:
                rows[row] = False
                by_column -= missing[row]
                by_row[row] = 0
        gone = tuple(
            Dropped(unit, "not observed in every period of the block")
            for unit, kept in zip(self.units, rows, strict=True)
            if not kept
        )
        if not (rows & ~self.is_treated).any():
            raise NotEstimableError("no control unit is observed in every period of a block")
        found = replace(self.only(rows, columns), dropped=self.dropped + gone)
        start = found.start
        if not 0 < start < len(found.periods):
            raise NotEstimableError("no complete period remains before, or after, the start")
        return found

    def mean_treated(self) -> Floats:
        """Weighted mean of the treated units, NaN where one of them is missing. [T]"""
        rows = self.is_treated
        return np.asarray(np.average(self.values[rows], axis=0, weights=self.weights[rows]))

    def mean_control(self) -> Floats:
        """Weighted mean of the never treated over those always observed where any is. [T]

        Only a constant set is averaged: a control with holes would fake steps.

        Raises:
            NotEstimableError: No control is observed in every period in which any control is.
        """
        rows = ~self.is_treated
        any_seen = self.observed[rows].any(axis=0)
        constant = rows & self.observed[:, any_seen].all(axis=1)
        if not any_seen.any() or not constant.any():
            raise NotEstimableError("no control unit is observed throughout")
        return np.asarray(np.average(self.values[constant], axis=0, weights=self.weights[constant]))

    def relative(self, observed: Floats, expected: Floats) -> tuple[float, dict[str, str]]:
        """Return an effect as a share of the counterfactual, from sums on the original scale.

        Args:
            observed: On the panel's scale.
            expected: What would have been, on the same scale.

        Returns:
            The share, and if it is undefined NaN with the reason under ``relative``. [1]
        """
        with np.errstate(over="ignore"):  # told in words
            if self.transform == "log":
                observed, expected = np.exp(observed), np.exp(expected)
            total, base = float(observed.sum()), float(expected.sum())
        if not (math.isfinite(total) and math.isfinite(base)):
            return math.nan, {"relative": "the sums are too large"}
        if not base > 0:
            return math.nan, {"relative": "the counterfactual does not sum to more than 0"}
        return total / base - 1, {}

    @staticmethod
    def of(frame: pd.DataFrame, *, treated: Iterable[str] = (), start: object = None) -> "Panel":
        """Read a tidy frame: one row per unit and period.

        Args:
            frame: Columns ``unit``, ``period``, ``value`` and one of ``treated`` (0 or 1 by row)
                or ``start`` (first treated period of the unit, empty for never), unless the
                arguments say it; optionally ``cluster``, ``weight``, ``stratum``; any other
                column is a numeric covariate.
            treated: Units treated from *start* on, in place of a column.
            start: First treated period of those units.

        Raises:
            PanelError: What cannot be read, or what no statistic may guess.
        """
        return _read(frame, tuple(map(str, treated)), start)


def read_period(text: str, panel: Panel) -> Any:
    """Read one period as the panel writes its own.

    Raises:
        PanelError: It is a date where periods are numbers, or the other way round.
    """
    column, dated = _periods(pd.Series([text]), "period")
    _same_kind(dated, panel.periods.dtype.kind == "M")
    return column[0]


def as_panel(panel: Panel | pd.DataFrame) -> Panel:
    """A panel as it is; a tidy frame read as `Panel.of` does."""
    return panel if isinstance(panel, Panel) else Panel.of(panel)


def _read(frame: pd.DataFrame, treated: tuple[str, ...], start: object) -> Panel:
    _demand_columns(frame, treated, start)
    units = _units(frame)
    periods, read_start = _periods(frame["period"], "period")
    values = _numbers(frame, "value")
    unit_codes, unit_names = pd.factorize(units, sort=True)
    period_codes, labels = pd.factorize(periods, sort=True)
    shape = (len(unit_names), len(labels))
    cells = unit_codes.astype(np.int64) * shape[1] + period_codes
    _refuse_repeats(frame, cells)
    square = np.full(shape, np.nan)
    square.flat[cells] = values
    if not np.isfinite(square).any():
        raise PanelError("no row has a value: nothing can be estimated")
    instants = np.asarray(labels)
    starts = _starts(
        frame, unit_codes, list(unit_names), period_codes, instants, treated, start, read_start
    )
    panel = Panel(
        units=tuple(unit_names),
        periods=instants,
        values=square,
        starts=starts,
        clusters=_codes(frame, "cluster", unit_codes, shape[0]),
        weights=_weights(frame, unit_codes, shape[0]),
        strata=_codes(frame, "stratum", unit_codes, shape[0]),
        covariates=_covariates(frame, cells, shape),
    )
    return _without_useless(panel)


def _demand_columns(frame: pd.DataFrame, treated: tuple[str, ...], start: object) -> None:
    missing = [name for name in ("unit", "period", "value") if name not in frame.columns]
    if missing:
        raise PanelError(
            f"the panel lacks the column {missing[0]}: it needs unit, period, value, and one of "
            f"treated or start; its columns are {', '.join(map(str, frame.columns)) or 'none'}"
        )
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise PanelError(f"the panel has two columns named {twice}")
    if bool(treated) != (start is not None):
        raise PanelError("treated units and their start go together: give both or none")
    ways = ("treated" in frame.columns) + ("start" in frame.columns) + bool(treated)
    if ways != 1:
        raise PanelError(
            "one of the column treated, the column start, or treated units with a start must say "
            f"who was treated from when; {'none does' if not ways else 'more than one does'}"
        )
    if frame.empty:
        raise PanelError("the panel has no rows")


def _line(bad: NDArray[Any]) -> str:
    """Where the first bad row stands, counting the header as line 1."""
    position = int(np.flatnonzero(bad)[0])
    return f"line {position + 2}" + (f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else "")


def _units(frame: pd.DataFrame) -> pd.Series:
    units = frame["unit"]
    bad = units.isna().to_numpy()
    if bad.any():
        raise PanelError(f"a row has no unit ({_line(bad)})")
    return units.astype(str)


def _periods(column: pd.Series, name: str) -> tuple[NDArray[Any], bool]:
    """Numbers as they are, or instants in UTC; the second tells whether they are instants."""
    bad = column.isna().to_numpy()
    if bad.any() and name == "period":
        raise PanelError(f"a row has no period ({_line(bad)})")
    numbers = pd.to_numeric(column, errors="coerce")
    if pd.api.types.is_datetime64_any_dtype(column):
        numbers = pd.Series(np.nan, index=column.index)
    text = numbers.isna().to_numpy() & ~bad
    if not text.any():
        found = numbers.to_numpy(dtype=np.float64)
        if np.isinf(found).any():
            raise PanelError(f"a {name} is infinite ({_line(np.isinf(found))})")
        return found, False
    if not text[~bad].all():
        raise PanelError(
            f"some {name}s are numbers, others text such as {column[text].iloc[0]!r}: "
            "write all as numbers, or all as ISO dates (2024-03-01) or times"
        )
    return _instants(column, name), True


def _instants(column: pd.Series, name: str) -> NDArray[Any]:
    unique = pd.Series(column.dropna().unique())
    if not pd.api.types.is_datetime64_any_dtype(unique):
        zoned = unique.astype(str).str.contains(r":\d\d.*(?:Z|[+-]\d\d:?\d\d)$")
        if zoned.any() and not zoned.all():
            raise PanelError(f"some {name}s have a time zone, others none: write one or the other")
    try:
        times = pd.to_datetime(unique, format="ISO8601", utc=True).dt.tz_localize(None)
    except (ValueError, TypeError) as error:
        raise PanelError(
            f"a {name} is neither a number nor an ISO date (2024-03-01) or time: "
            f"{str(error).splitlines()[0][:120]}"
        ) from error
    table = dict(zip(unique, times.to_numpy().astype("datetime64[s]"), strict=True))
    mapped = column.map(table)
    return mapped.to_numpy().astype("datetime64[s]")


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    text = np.isnan(found) & frame[name].notna().to_numpy()
    if text.any():
        word = str(frame[name][text].iloc[0])[:40]
        raise PanelError(
            f"{name} is {word!r}, which is no number ({_line(text)}); "
            "leave it empty if it is missing"
        )
    if np.isinf(found).any():
        raise PanelError(f"{name} is infinite ({_line(np.isinf(found))})")
    return found


def _refuse_repeats(frame: pd.DataFrame, cells: NDArray[np.int64]) -> None:
    repeated = pd.Series(cells).duplicated().to_numpy()
    if repeated.any():
        first = frame.iloc[int(np.flatnonzero(repeated)[0])]
        raise PanelError(
            f"unit {first['unit']} has more than one row for period {first['period']} "
            f"({_line(repeated)}): a panel holds one value per unit and period"
        )


def _starts(
    frame: pd.DataFrame,
    unit_codes: NDArray[Any],
    names: list[str],
    period_codes: NDArray[Any],
    periods: NDArray[Any],
    treated: tuple[str, ...],
    start: object,
    instants: bool,  # noqa: FBT001 - told by the reader of periods, nobody's option
) -> NDArray[np.int64]:
    """The first treated column of each unit; the number of columns for the never treated."""
    never = len(periods)
    starts = np.full(len(names), never, np.int64)
    if treated:
        unknown = [unit for unit in treated if unit not in names]
        if unknown:
            raise PanelError(f"the treated unit {unknown[0]} is not in the panel")
        column, dated = _periods(pd.Series([start]), "start")
        _same_kind(dated, instants)
        starts[np.isin(names, treated)] = np.searchsorted(periods, column[0])
        return starts
    if "start" in frame.columns:
        column, dated = _periods(frame["start"], "start")
        given = frame["start"].notna().to_numpy()
        if given.any():
            _same_kind(dated, instants)
            return _starts_told(unit_codes, names, periods, column, given)
        return starts
    on = _numbers(frame, "treated")
    bad = ~np.isin(on, (0.0, 1.0))
    if bad.any():
        raise PanelError(f"treated is neither 0 nor 1 ({_line(bad)})")
    np.minimum.at(starts, unit_codes[on == 1], period_codes[on == 1])
    reversed_ = (on == 0) & (period_codes > starts[unit_codes])
    if reversed_.any():
        row = frame[reversed_].iloc[0]
        raise PanelError(
            f"unit {row['unit']} is treated earlier, but not in period {row['period']} "
            f"({_line(reversed_)}): treatment must last; drop what follows its end"
        )
    return starts


def _same_kind(dated: bool, instants: bool) -> None:  # noqa: FBT001 - two facts compared
    if dated != instants:
        raise PanelError(
            f"periods are {'dates' if instants else 'numbers'}, "
            f"but the start is {'a date' if dated else 'a number'}"
        )


def _starts_told(
    unit_codes: NDArray[Any],
    names: list[str],
    periods: NDArray[Any],
    column: NDArray[Any],
    given: NDArray[np.bool_],
) -> NDArray[np.int64]:
    told = pd.DataFrame({"unit": unit_codes, "start": column}).assign(given=given)
    kinds = told.groupby("unit").agg(
        least=("start", "min"), most=("start", "max"), all=("given", "mean")
    )
    contradictory = ((kinds["least"] != kinds["most"]) & (kinds["all"] > 0)) | (
        (kinds["all"] > 0) & (kinds["all"] < 1)
    )
    if contradictory.any():
        unit = names[int(kinds.index[contradictory][0])]
        raise PanelError(f"unit {unit} has different starts in different rows: it may have one")
    starts = np.full(len(names), len(periods), np.int64)
    has = kinds["all"].to_numpy() > 0
    starts[has] = np.searchsorted(periods, kinds["least"].to_numpy()[has].astype(periods.dtype))
    return starts


def _per_unit(frame: pd.DataFrame, name: str, unit_codes: NDArray[Any]) -> pd.Series:
    """The one value that a column has for each unit."""
    values = frame[name]
    if values.isna().any():
        raise PanelError(f"{name} is empty ({_line(values.isna().to_numpy())})")
    found = values.groupby(unit_codes).agg(["first", "nunique"])
    if (found["nunique"] > 1).any():
        code = int(np.flatnonzero(found["nunique"].to_numpy() > 1)[0])
        unit = frame["unit"].iloc[int((unit_codes == code).argmax())]
        raise PanelError(f"unit {unit} has more than one {name}")
    return found["first"]


def _codes(
    frame: pd.DataFrame, name: str, unit_codes: NDArray[Any], count: int
) -> NDArray[np.int64]:
    if name not in frame.columns:
        return np.arange(count) if name == "cluster" else np.zeros(count, np.int64)
    codes, _ = pd.factorize(_per_unit(frame, name, unit_codes).astype(str), sort=True)
    return codes.astype(np.int64)


def _weights(frame: pd.DataFrame, unit_codes: NDArray[Any], count: int) -> Floats:
    if "weight" not in frame.columns:
        return np.ones(count)
    _numbers(frame, "weight")
    weights = pd.to_numeric(_per_unit(frame, "weight", unit_codes)).to_numpy(dtype=np.float64)
    if (weights <= 0).any():
        raise PanelError("a weight is not positive")
    return weights


def _covariates(
    frame: pd.DataFrame, cells: NDArray[np.int64], shape: tuple[int, int]
) -> dict[str, Floats]:
    found = {}
    for name in frame.columns:
        if name in RESERVED:
            continue
        square = np.full(shape, np.nan)
        square.flat[cells] = _numbers(frame, str(name))
        found[str(name)] = square
    return found


def _without_useless(panel: Panel) -> Panel:
    """Drop units without any value, and treated units without any before their start."""
    empty = np.asarray(~panel.observed.any(axis=1))
    before = np.asarray((panel.observed & ~panel.treatment).any(axis=1))
    headless = panel.is_treated & ~before & ~empty
    if panel.is_treated.any() and not (panel.is_treated & before).any():
        raise PanelError("no treated unit has a value before its start: nothing to compare with")
    dropped = tuple(
        Dropped(panel.units[row], "has no value" if empty[row] else "has no value before its start")
        for row in np.flatnonzero(empty | headless)
    )
    kept = panel.only(~(empty | headless))
    return replace(kept, dropped=dropped)
