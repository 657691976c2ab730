"""Privacy: what may be public, and how precisely. The one policy, read by every serializer."""

from dataclasses import dataclass
from enum import Enum

from livinglab.domain.geometry import Point, grid_centre

K_PERSONAL = 10
"""Distinct Contributors a cell needs before a personal theme is published."""
K_OTHER = 5
"""The same for every other theme."""
ROUND_TO = 5
"""Published counts of small cells are rounded to this."""


class Precision(Enum):
    """How precisely the public may see where an Observation of a category is."""

    EXACT = "exact"
    """Street furniture."""
    CELL = "cell"
    """The centre of a fixed grid cell."""
    ZONE = "zone"
    """Only the Zone: noise at home, health, safety."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyRule:
    """What the public sees of a category."""

    precision: Precision = Precision.CELL
    cell_m: float = 250.0
    """Edge of a grid cell. [m]"""
    personal: bool = False
    """Personal themes are never itemised in public, only aggregated."""

    @property
    def k(self) -> int:
        """Distinct Contributors below which a cell stays hidden."""
        return K_PERSONAL if self.personal else K_OTHER


def public_point(point: Point, rule: PrivacyRule) -> Point | None:
    """Return what the public may know of a position: generalised, never jittered.

    The same position always gives the same answer, so asking twice reveals no more than once.
    """
    if rule.personal or rule.precision is Precision.ZONE:
        return None
    if rule.precision is Precision.EXACT:
        return Point(round(point.lon, 5), round(point.lat, 5))
    return grid_centre(point, rule.cell_m)


@dataclass(frozen=True, slots=True)
class PublicCount:
    """A count that may be published: None where fewer than k people stand behind it."""

    n: int | None
    contributors: int | None

    @property
    def suppressed(self) -> bool:
        """Whether the k-rule hides it."""
        return self.n is None


def public_count(n: int, contributors: int, *, k: int) -> PublicCount:
    """Apply the k-rule to one cell: hidden below k Contributors, else rounded to 5."""
    if contributors < k:
        return PublicCount(None, None)
    return PublicCount(rounded(n), rounded(contributors))


def rounded(n: int) -> int:
    """Round a count that is published."""
    return ROUND_TO * round(n / ROUND_TO)
