"""Weights on the simplex: not negative, one in sum, and as near to a target as such weights can be.

Two solvers for one problem. Non-negative least squares finds the optimum to machine precision in
under a millisecond; Frank-Wolfe is the published reference of synthetic difference-in-differences,
whose early stop is part of its definition.
"""

import math
from typing import Literal

import numpy as np
from scipy.linalg.blas import daxpy
from scipy.optimize import nnls

from livinglab.errors import NotEstimableError
from livinglab.impact.results import Floats

Solver = Literal["frank-wolfe", "nnls"]
FEW_STEPS, MANY_STEPS = 100, 10_000
STOP = 1e-5
"""Frank-Wolfe ends when its value falls by less than this share of the noise, squared."""
NO_RIDGE = 1e-4
"""A penalty below this share of the largest row entry changes nothing that could be measured."""
MANY_COLUMNS = 1_000
"""Beyond as many columns, and fewer rows, least squares take longer than the reference."""
LEAST_SCALE = 1e-9
"""Of what Frank-Wolfe adds to; below it, all is multiplied and the scale begins anew."""
OPTIMAL = 1e-9
"""How far from optimal weights may be. [share of the largest row entry, squared]"""


def simplex_least_squares(a: Floats, b: Floats, *, ridge: float = 0.0) -> Floats:
    """Minimise |a·w - b|² + ridge²·|w|² over the simplex.

    On the simplex a·w - b is (a - b)·w. Non-negative least squares on these rows, with one more
    that asks for a sum of one, are least at the wanted weights but for their sum, so dividing by it
    leaves no error, and a constant added to all changes nothing.

    Args:
        a: Rows to fit by columns to weigh. [R, K]
        b: The target. [R]
        ridge: Strength of the penalty. [as a]

    Returns:
        Weights. [K]

    Raises:
        NotEstimableError: The solver did not reach the optimum.

    References:
        C. L. Lawson, R. J. Hanson, Solving Least Squares Problems, 1974, chapter 23.
    """
    rows = a - b[:, None]
    count = rows.shape[1]
    scale = max(float(np.abs(rows).max()), ridge)
    if not scale:
        return np.full(count, 1 / count)
    penalised = count if ridge > NO_RIDGE * scale else 0
    system = np.zeros((len(rows) + penalised + 1, count))
    system[: len(rows)] = rows / scale
    if penalised:
        np.fill_diagonal(system[len(rows) :], ridge / scale)
    rows = system[:-1]
    system[-1] = 1
    target = np.zeros(len(system))
    target[-1] = 1
    if len(system) > 2 * (count + 1):  # many rows say no more than their triangle
        triangle = np.asarray(np.linalg.qr(np.column_stack([system, target]), mode="r"))
        system, target = triangle[:, :-1], triangle[:, -1]
    try:
        found, _ = nnls(system, target, maxiter=50 * count)
    except RuntimeError as error:
        raise NotEstimableError("no weights were found: the solver did not end") from error
    weights = np.asarray(found / found.sum())
    if kkt_gap(rows, weights) > OPTIMAL * len(rows):
        raise NotEstimableError("no weights were found: the solver ended before the optimum")
    return weights


def kkt_gap(rows: Floats, weights: Floats) -> float:
    """Tell how far weights are from making |rows·w|² least on the simplex.

    At the optimum the gradient is equal on all columns with weight, and no smaller elsewhere (the
    conditions of Karush, Kuhn and Tucker); the gap w·g - min g bounds what moving weight could
    still gain.

    Args:
        rows: Differences of each column from the target. [R, K]
        weights: Weights of the columns. [K]

    Returns:
        The gap, 0 at the optimum. [rows²]
    """
    gradient = 2 * rows.T @ (rows @ weights)
    return float(weights @ gradient - gradient.min())


def sc_weights(pre_donors: Floats, pre_treated: Floats) -> Floats:
    """Weigh donors so that they follow the treated series before the start.

    Args:
        pre_donors: Donors' values before the start. [T0, J]
        pre_treated: The treated series before the start. [T0]

    Returns:
        Weights of the donors. [J]

    References:
        A. Abadie, A. Diamond, J. Hainmueller, J. Am. Stat. Assoc. 105, 493-505, 2010; with the
        outcomes before the start as the only predictors.
    """
    return simplex_least_squares(pre_donors, pre_treated)


def sdid_weights(
    controls: Floats, treated: Floats, start: int, n_treated: int, solver: Solver
) -> tuple[Floats, Floats]:
    """Weigh controls and periods for synthetic difference-in-differences.

    Args:
        controls: Control units. [J, T]
        treated: Mean of the treated units. [T]
        start: First treated column.
        n_treated: Number of treated units.
        solver: ``frank-wolfe``, the reference; or ``nnls``, the optimum itself, which gives way to
            the reference where more than a thousand weights are asked of fewer rows.

    Returns:
        Weights of the controls [J] and of the periods before the start [start].

    References:
        D. Arkhangelsky et al., Am. Econ. Rev. 111 (12), 4088-4118, 2021, algorithm 1.
    """
    before = controls[:, :start]
    steps = np.diff(before, axis=1)
    noise = float(steps.std(ddof=1)) if steps.size > 1 else 0.0
    after = controls.shape[1] - start
    zeta_omega = (n_treated * after) ** 0.25 * noise
    zeta_lambda = 1e-6 * noise
    solve = _frank_wolfe if solver == "frank-wolfe" else _ridge_nnls
    lambda_ = solve(before, controls[:, start:].mean(axis=1), zeta_lambda, noise)
    omega = solve(before.T, treated[:start], zeta_omega, noise)
    return omega, lambda_


def _centred(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Take the intercept out."""
    return a - a.mean(axis=0), b - b.mean()


def _ridge_nnls(a: Floats, b: Floats, zeta: float, noise: float) -> Floats:
    if a.shape[1] > max(MANY_COLUMNS, len(a)):
        return _frank_wolfe(a, b, zeta, noise)
    a, b = _centred(a, b)
    return simplex_least_squares(a, b, ridge=math.sqrt(len(b)) * zeta)


def _frank_wolfe(a: Floats, b: Floats, zeta: float, noise: float) -> Floats:
    """Go from equal weights to the best vertex, step by step; twice, dropping small weights."""
    a, b = _centred(a, b)
    walk = _Walk(a - b[:, None], zeta, noise)
    weights = walk.on(np.full(a.shape[1], 1 / a.shape[1]), FEW_STEPS)
    weights = np.where(weights <= weights.max() / 4, 0.0, weights)
    return walk.on(weights / weights.sum(), MANY_STEPS)


class _Walk:
    """Steps towards a vertex of the simplex, each as long as lowers the value most.

    With H = rows'rows + ridge the value is x'Hx, half its gradient Hx. A step mixes x with one
    vertex, so Hx mixes with one column of H, which is kept: few vertices are ever visited. Both
    are held over one common scale, so that a step adds to them and need not multiply them.
    """

    def __init__(self, rows: Floats, zeta: float, noise: float) -> None:
        self._rows = rows
        self._ridge = len(rows) * zeta**2
        self._stop = len(rows) * (STOP * noise) ** 2
        self._columns: dict[int, Floats] = {}

    def _column(self, vertex: int) -> Floats:
        """Return one column of H. [K]"""
        if (known := self._columns.get(vertex)) is not None:
            return known
        column = np.asarray(self._rows.T @ self._rows[:, vertex])
        column[vertex] += self._ridge
        self._columns[vertex] = column
        return column

    def on(self, start: Floats, steps: int) -> Floats:
        """Return where so many steps lead, or fewer if they stop gaining."""
        slope = self._rows.T @ (self._rows @ start) + self._ridge * start
        value, x, scale = float(start @ slope), start.tolist(), 1.0
        for n in range(steps):
            vertex = int(slope.argmin())
            column, least = self._column(vertex), scale * slope.item(vertex)
            better = value - least
            curve = better - least + column.item(vertex)
            if better <= 0 or curve <= 0:
                break
            step = min(1.0, better / curve)
            scale *= 1 - step
            if scale < LEAST_SCALE:
                slope, x, scale = slope * scale, [scale * one for one in x], 1.0
            slope = daxpy(column, slope, len(x), step / scale)
            x[vertex] += step / scale
            gain = step * (2 * better - step * curve)
            value -= gain
            if n and gain <= self._stop:
                break
        return scale * np.array(x)
