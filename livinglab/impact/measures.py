"""Measures: a number that may be published, with its interval, or the reason why it may not.

A number that too few people stand behind is None, never 0; so is one that cannot be worked out.
"""

import math
from dataclasses import dataclass

from scipy.stats import chi2, norm

from livinglab.errors import PanelError

LEAST = 10
"""Distinct people that a published number needs behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that may be published, or why it may not.

    Attributes:
        value: None where it is suppressed or undefined.
        low: Lower bound of its interval; None likewise, or where it has none.
        high: Upper bound.
        n: People, settings or periods behind it.
        minimum: So many are needed.
        reason: Why it is not told; empty where it is.
        level: Coverage of the interval. [1]
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    minimum: int = 0
    reason: str = ""
    level: float = 0.95

    @property
    def suppressed(self) -> bool:
        """Whether it is not told."""
        return self.value is None


def untold(n: int, minimum: int, reason: str) -> Measure:
    """Withhold a number, and say why."""
    return Measure(value=None, n=n, minimum=minimum, reason=reason)


def too_few(n: int, minimum: int, what: str) -> Measure:
    """Withhold a number that needs so many of *what* behind it."""
    return untold(n, minimum, f"{minimum} {what} are needed")


def share(hits: int, of: int, *, n: int, minimum: int = LEAST, level: float = 0.95) -> Measure:
    """Tell a share with Wilson's interval; *n* is the number that *minimum* was asked of."""
    low, high = wilson(hits, of, level)
    return Measure(value=hits / of, low=low, high=high, n=n, minimum=minimum, level=level)


def whole(name: str, value: float) -> int:
    """Return a count as an integer.

    Raises:
        PanelError: It is negative, broken or no number.
    """
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise PanelError(f"{name} is {value!r}: a count is a whole number from 0 on")
    return int(value)


def quantile(level: float) -> float:
    """Return the normal quantile of a coverage: 1.96 for 0.95.

    Raises:
        PanelError: The coverage is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise PanelError(f"a level lies between 0 and 1, and {level!r} does not")
    return float(norm.ppf((1 + level) / 2))


def wilson(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share by Wilson's score. [1]

    It stays inside 0 and 1 for small groups, and assumes that people decide independently.

    Args:
        hits: Of n; a weighted number may be broken.
        n: Above 0.
        level: Coverage. [1]

    Example:
        >>> low, high = wilson(50, 200)
        >>> print(f"{low:.3f} to {high:.3f}")
        0.195 to 0.314

    References:
        E. B. Wilson, J. Am. Stat. Assoc. 22 (158), 209-212, 1927.
    """
    z = quantile(level)
    part, wide = hits / n, 1 + z**2 / n
    middle = (part + z**2 / (2 * n)) / wide
    half = z / wide * math.sqrt(part * (1 - part) / n + z**2 / (4 * n**2))
    # Rounding may put a bound of none or all a hair inside: Wilson's are 0 and 1 there.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == n else min(1.0, middle + half)


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a Poisson mean, from one count.

    Example:
        >>> low, high = poisson_interval(0)
        >>> print(f"{low:.1f} to {high:.2f}")
        0.0 to 3.69

    References:
        F. Garwood, Biometrika 28 (3/4), 437-442, 1936.
    """
    quantile(level)
    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2
