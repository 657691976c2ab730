"""Air quality: indices and limit values, as versioned tables and the little that reads them.

A table is a file of `domain/tables`: it says where it comes from, since when it holds, and which of
its rows somebody compared with the source. It is never changed once results were told by it; a
correction is another version. Nothing is averaged here: `services.assessing` brings the means.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from functools import lru_cache
from importlib.resources import files
from typing import Any

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.units import MOLAR_MASS, molar_volume
from livinglab.errors import NotFoundError

EUROPEAN = "european-aqi-2024"
"""The index that is told unless another is asked for."""
DECIMALS = 6
"""What a mean is rounded to before it is judged: less is noise of adding up."""


class StationKind(Enum):
    """What a Place is measured for: it decides which pollutants an index needs."""

    TRAFFIC = "traffic"
    OTHER = "other"


class Period(Enum):
    """What a limit value averages over."""

    TEN_MINUTES = "ten_minutes"
    FIFTEEN_MINUTES = "fifteen_minutes"
    HOUR = "hour"
    EIGHT_HOURS = "eight_hours"
    """The greatest running mean of eight hours that ends within a day."""
    DAY = "day"
    YEAR = "year"
    PEAK_SEASON = "peak_season"
    """The six consecutive months with the greatest mean of the daily maxima of eight hours."""

    @property
    def shorter_than_an_hour(self) -> bool:
        """Whether hourly means cannot tell it."""
        return self in {Period.TEN_MINUTES, Period.FIFTEEN_MINUTES}


class Statistic(Enum):
    """What of a year is compared with a limit value."""

    MEAN = "mean"
    EXCEEDANCES = "exceedances"
    """How often it was exceeded: so often is allowed."""
    PERCENTILE = "percentile"
    """Such a share of the days must not exceed it: the days left over are allowed."""
    MAXIMUM = "maximum"
    """No exceedance is allowed."""


class Verdict(Enum):
    """What a year of measurements says about a limit value."""

    EXCEEDED = "exceeded"
    KEPT = "kept"
    NOT_ENOUGH_DATA = "not_enough_data"
    """Too much is missing, or the year is not over, and what is there proves nothing yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where numbers come from; every result names it."""

    key: str
    version: str
    title: str
    source: str
    in_force: str
    """A date, or a year where only that is known."""
    verified: bool
    """Whether every row was compared with the source or confirmed by several others."""
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Key and version."""
        return f"{self.key}-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A step of an index, from good to bad."""

    label: str
    colour: str
    colour_verified: bool
    low: int | None
    """The numbers that the index takes here; None: it has words only."""
    high: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Which concentrations make a level."""

    rank: int
    """Of the level: 1 is best."""
    low: Decimal
    high: Decimal | None
    """It belongs to the band; None: no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRow:
    """The bands of a pollutant, averaged over so many hours."""

    pollutant: str
    hours: int
    unit: str
    step: Decimal | None
    """A concentration is truncated to a multiple of this; None: it is taken as it is."""
    verified: bool
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Table):
    """An index of air quality."""

    celsius: float
    """Temperature at which the table reckons gases, at 101.325 kPa. [Cel]"""
    levels: tuple[Level, ...]
    rows: tuple[ScaleRow, ...]
    complete: Mapping[StationKind, tuple[frozenset[str], ...]]
    """Of each set of pollutants, one must be measured."""
    complete_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit value, target, guideline or threshold."""

    key: str
    pollutant: str
    kind: str
    """limit | target | guideline | interim_target | indicative | alert_threshold | …"""
    period: Period
    statistic: Statistic
    value: float
    """What must not be exceeded; it may be reached. [unit]"""
    unit: str
    allowed: int | None
    """Exceedances that a year may have, for the statistic EXCEEDANCES."""
    percentile: float | None
    """For the statistic PERCENTILE. [%]"""
    years: int
    """Over how many years, the judged one last, exceedances are averaged."""
    verified: bool
    note: str

    def allowance(self, possible: int) -> int:
        """Tell how often it may be exceeded in a year of so many hours or days."""
        if self.percentile is not None:
            return int(possible * (100 - self.percentile) / 100)
        return self.allowed or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTable(Table):
    """The limit values of one authority."""

    rows: tuple[Limit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a period must be measured."""

    share: float
    """[0 to 1]"""
    verified: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRules(Table):
    """When a mean stands for its period."""

    rows: Mapping[str, Share]

    def enough(self, period: str, coverage: float) -> bool:
        """Tell whether a period is covered well enough. [coverage: 0 to 1]"""
        return round(coverage, DECIMALS) >= self.rows[period].share


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """The mean of a pollutant over some hours, and how much of them was measured."""

    pollutant: str
    hours: int
    mean: float
    """[the ObservedProperty's unit]"""
    coverage: float
    """[0 to 1]"""

    def __post_init__(self) -> None:
        """Refuse what was not measured."""
        if self.pollutant not in OBSERVED_PROPERTIES:
            raise ValueError(f"{self.pollutant!r} is no ObservedProperty")
        if not math.isfinite(self.mean):
            raise ValueError(f"a mean of {self.pollutant} must be a number, not {self.mean}")
        if not 0 < self.coverage <= 1:
            raise ValueError(f"coverage is above 0 and at most 1, not {self.coverage}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubIndex:
    """What a table says about one pollutant; it cannot be had without what it rests on."""

    table: str
    """Name and version."""
    concentration: Concentration
    judged: float
    """The concentration as the table takes it: converted and truncated. [unit]"""
    unit: str
    rank: int
    """1 is best."""
    level: Level
    number: int | None
    """The index as a number; None where it has words only."""
    beyond: bool
    """The concentration lies above the row: the index is *at least* this."""
    verified: bool
    """Whether the row is."""

    @property
    def severity(self) -> tuple[int, int, bool]:
        """Sort from good to bad."""
        return self.rank, self.number or 0, self.beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The pollutants of one place and time, judged by one table: the worst decides.

    It holds no level of its own. Where pollutants lack that its table asks for, there is none.
    """

    scale: Scale
    kind: StationKind
    pollutants: tuple[SubIndex, ...]

    def __post_init__(self) -> None:
        """Refuse pollutants that another table judged."""
        for one in self.pollutants:
            if one.table != self.scale.name:
                raise ValueError(f"{one.table} judged {one.concentration.pollutant}, not this")

    @property
    def lacking(self) -> tuple[tuple[str, ...], ...]:
        """The sets of pollutants of which none is measured, though one must be."""
        measured = {one.concentration.pollutant for one in self.pollutants}
        wanted = self.scale.complete[self.kind]
        return tuple(tuple(sorted(several)) for several in wanted if not several & measured)

    @property
    def worst(self) -> SubIndex | None:
        """The pollutant that decides; None: there is no index."""
        if self.lacking:
            return None
        return max(self.pollutants, key=lambda one: one.severity, default=None)

    @property
    def verified(self) -> bool:
        """Whether every rule that it rests on was checked; colours tell of themselves."""
        rows = all(one.verified for one in self.pollutants)
        return self.scale.verified and self.scale.complete_verified and rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """What was measured in a calendar year, as a limit value wants it."""

    values: Sequence[float]
    """Valid means, or daily maxima. [the limit's unit]"""
    possible: int
    """How many the whole year has: hours, or days."""
    over: bool
    """Whether it has ended."""

    @property
    def coverage(self) -> float:
        """[0 to 1]"""
        return len(self.values) / self.possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a year says about a limit value, how much of it was measured, and by which table."""

    table: str
    """Name and version."""
    limit: Limit
    coverage: float
    """Of the period; the least of the years, where several count. [0 to 1]"""
    required: float
    """The coverage without which only what is certain is told. [0 to 1]"""
    value: float | None
    """The mean; or the greatest value that is not excused by what is allowed; None: none."""
    exceedances: tuple[int, ...]
    """Hours or days above the limit, a count per year, oldest first; () for a mean."""
    allowed: int
    verdict: Verdict


def table_names(kind: str) -> tuple[str, ...]:
    """Name the tables of a kind: scale, limits or coverage."""
    return tuple(name for name, told in _tables().items() if told["kind"] == kind)


@lru_cache
def scale(name: str) -> Scale:
    """Return an index by name and version.

    Raises:
        NotFoundError: There is none.
    """
    told = _table(name, "scale")
    return Scale(
        **_facts(told),
        celsius=float(told["celsius"]),
        levels=tuple(Level(**one) for one in told["levels"]),
        rows=tuple(_scale_row(one) for one in told["rows"]),
        complete={
            StationKind(kind): tuple(frozenset(several) for several in wanted)
            for kind, wanted in told["complete"].items()
        },
        complete_verified=told["complete_verified"],
    )


@lru_cache
def limits(name: str) -> LimitTable:
    """Return the limit values of an authority, by name and version.

    Raises:
        NotFoundError: There are none.
    """
    told = _table(name, "limits")
    return LimitTable(**_facts(told), rows=tuple(_limit(one) for one in told["rows"]))


@lru_cache
def coverage_rules(name: str = "coverage-2024-2881") -> CoverageRules:
    """Return the rules of coverage, by name and version.

    Raises:
        NotFoundError: There are none.
    """
    told = _table(name, "coverage")
    rows = {
        one["key"]: Share(share=float(one["share"]), verified=one["verified"], note=one["note"])
        for one in told["rows"]
    }
    return CoverageRules(**_facts(told), rows=rows)


@lru_cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    """Read every table that ships; numbers stay as they are written, so 35.4 is 35.4."""
    found = {}
    for one in sorted(files("livinglab.domain.tables").iterdir(), key=lambda file: file.name):
        if one.name.endswith(".json"):
            text = one.read_text(encoding="utf-8")
            found[one.name.removesuffix(".json")] = json.loads(text, parse_float=Decimal)
    return found


def _table(name: str, kind: str) -> Mapping[str, Any]:
    told = _tables().get(name)
    if told is None or told["kind"] != kind:
        raise NotFoundError("table of air quality", name)
    return told


def _facts(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ("key", "version", "title", "source", "in_force", "verified")
    return {name: told[name] for name in names} | {"notes": tuple(told["notes"])}


def _scale_row(told: Mapping[str, Any]) -> ScaleRow:
    return ScaleRow(
        pollutant=told["pollutant"],
        hours=told["hours"],
        unit=told["unit"],
        step=None if told["step"] is None else Decimal(told["step"]),
        verified=told["verified"],
        bands=tuple(
            Band(rank=rank, low=Decimal(low), high=None if high is None else Decimal(high))
            for rank, low, high in told["bands"]
        ),
    )


def _limit(told: Mapping[str, Any]) -> Limit:
    percentile = told["percentile"]
    return Limit(
        **{name: told[name] for name in ("key", "pollutant", "kind", "unit", "allowed", "years")},
        period=Period(told["period"]),
        statistic=Statistic(told["statistic"]),
        value=float(told["value"]),
        percentile=None if percentile is None else float(percentile),
        verified=told["verified"],
        note=told["note"],
    )


def in_unit(pollutant: str, value: float, unit: str, celsius: float) -> float:
    """Bring a concentration from its property's unit to a table's.

    Args:
        pollutant: An ObservedProperty in ug/m3 or mg/m3.
        value: The concentration. [the property's unit]
        unit: The property's own, or ppb or ppm.
        celsius: Temperature at which the table reckons gases, at 101.325 kPa. [Cel]

    Returns:
        The concentration; a mixing ratio is ``ug/m3 · V / M``. [unit]
    """
    own = OBSERVED_PROPERTIES[pollutant].unit
    if unit == own:
        return value
    micrograms = value * {"ug/m3": 1.0, "mg/m3": 1e3}[own]
    ppb = micrograms * molar_volume(celsius) / MOLAR_MASS[pollutant]
    return ppb / {"ppb": 1.0, "ppm": 1e3}[unit]


def sub_indices(table: Scale, measured: Concentration) -> tuple[SubIndex, ...]:
    """Judge one concentration by the rows of its pollutant and averaging time: one, or none.

    European index: the bands of the table are whole numbers (0-5, 6-15). Here nothing is rounded
    and every upper bound is inclusive, so that 5.0 is Good and 5.3 Fair; the report's own rule for
    what lies between is unverified. US AQI: the concentration is truncated to the row's step, then
    the number is interpolated and rounded, half upwards. Less than nothing counts as nothing:
    analysers near zero read slightly negative.

    Returns:
        Nothing, too, for a concentration below a row that begins higher: ozone of one hour says
        nothing about clean air in the United States.
    """
    found = (_judged(table, row, measured) for row in table.rows if _is_of(row, measured))
    return tuple(one for one in found if one is not None)


def _is_of(row: ScaleRow, measured: Concentration) -> bool:
    return (row.pollutant, row.hours) == (measured.pollutant, measured.hours)


def _judged(table: Scale, row: ScaleRow, measured: Concentration) -> SubIndex | None:
    value = in_unit(row.pollutant, measured.mean, row.unit, table.celsius)
    exact = _truncated(_exact(max(0.0, value)), row.step)
    if exact < row.bands[0].low:
        return None
    inside = (one for one in row.bands if one.high is None or exact <= one.high)
    band = next(inside, None)
    level = table.levels[(band or row.bands[-1]).rank - 1]
    return SubIndex(
        table=table.name,
        concentration=measured,
        judged=float(exact),
        unit=row.unit,
        rank=(band or row.bands[-1]).rank,
        level=level,
        number=_number(exact, band, level) if band else level.high,
        beyond=band is None,
        verified=row.verified,
    )


def _exact(value: float) -> Decimal:
    """Read a number as it is written: the float 35.4 is a little less, and must stay 35.4."""
    return Decimal(repr(round(value, DECIMALS)))


def _truncated(value: Decimal, step: Decimal | None) -> Decimal:
    return value if step is None else int(value / step) * step


def _number(value: Decimal, band: Band, level: Level) -> int | None:
    """Interpolate within a band: ``(I_hi − I_lo) / (C_hi − C_lo) · (C − C_lo) + I_lo``."""
    if level.low is None or level.high is None or band.high is None:
        return None
    slope = (level.high - level.low) / (band.high - band.low)
    exact = slope * (value - band.low) + level.low
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def index_of(table: Scale, measured: Iterable[Concentration], kind: StationKind) -> Index:
    """Judge what was measured at one place and time."""
    pollutants = tuple(one for single in measured for one in sub_indices(table, single))
    return Index(scale=table, kind=kind, pollutants=pollutants)


def exceeds(value: float, limit: Limit) -> bool:
    """Tell whether a value lies above a limit; reaching it is allowed."""
    return round(value, DECIMALS) > limit.value


def judge_mean(table: LimitTable, limit: Limit, year: Year, rules: CoverageRules) -> Assessment:
    """Compare the mean of a period with a limit.

    Although data are missing, the mean is above the limit for certain where it would be so if the
    air had been free of the pollutant in all that was not measured.
    """
    covered = rules.enough(limit.period.value, year.coverage)
    mean = math.fsum(year.values) / len(year.values) if year.values else None
    if mean is not None and exceeds(mean * (1 if covered and year.over else year.coverage), limit):
        verdict = Verdict.EXCEEDED
    else:
        verdict = Verdict.KEPT if covered and year.over else Verdict.NOT_ENOUGH_DATA
    return Assessment(
        table=table.name,
        limit=limit,
        coverage=year.coverage,
        required=rules.rows[limit.period.value].share,
        value=mean,
        exceedances=(),
        allowed=0,
        verdict=verdict,
    )


def judge_exceedances(
    table: LimitTable, limit: Limit, years: Sequence[Year], rules: CoverageRules
) -> Assessment:
    """Count how often a limit was exceeded; over several years, on average.

    More than what is allowed is conclusive however much is missing: data that are missing cannot
    make it fewer. So is a year that is not over.

    Args:
        table: The limit's.
        limit: With the statistic EXCEEDANCES, PERCENTILE or MAXIMUM.
        years: As many as the limit averages over, the judged one last.
        rules: How much of each must be measured.
    """
    last = years[-1]
    counts = tuple(sum(exceeds(one, limit) for one in year.values) for year in years)
    allowed = limit.allowance(last.possible)
    whole = all(year.over and rules.enough("year", year.coverage) for year in years)
    if sum(counts) > allowed * len(years):
        verdict = Verdict.EXCEEDED
    else:
        verdict = Verdict.KEPT if whole else Verdict.NOT_ENOUGH_DATA
    highest = sorted(last.values, reverse=True)
    return Assessment(
        table=table.name,
        limit=limit,
        coverage=min(year.coverage for year in years),
        required=rules.rows["year"].share,
        value=highest[allowed] if len(highest) > allowed else None,
        exceedances=counts,
        allowed=allowed,
        verdict=verdict,
    )
