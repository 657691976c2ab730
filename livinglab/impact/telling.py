"""Telling: an Evaluation as one JSON document, with everything it rests on."""

import hashlib
import math
from importlib.metadata import version
from typing import Any

from livinglab import __version__
from livinglab.impact.evaluation import Evaluation
from livinglab.impact.findings import THRESHOLDS
from livinglab.impact.panel import Panel
from livinglab.impact.results import UNBOUNDED, Estimate, Guard, number, period, plain

Json = dict[str, Any]
LIBRARIES = ("numpy", "pandas", "scipy", "statsmodels", "scikit-learn")


def document(found: Evaluation, sentence: str, **facts: Any) -> Json:
    """Write an Evaluation as JSON: an undefined number is null, with the reason beside it.

    Args:
        found: What was found.
        sentence: What may be said about it.
        facts: More that belongs to it, by name; they come after the sentence.
    """
    return {
        "panel": _panel(found.panel),
        "estimates": [estimate(one) for one in found.estimates],
        "not_run": [{"estimator": one.estimator, "reason": one.reason} for one in found.not_run],
        "headline": found.headline.estimator if found.headline else None,
        "check": found.check.estimator if found.check else None,
        "mde": number(found.power.mde) if found.power else None,
        "power": _power(found),
        "finding": found.finding,
        "grade": found.grade.letter if found.grade else None,
        "grade_why": list(found.grade.why) if found.grade else [],
        "guards": [_guard(one) for one in found.guards],
        "passed_over": [
            {"estimator": name, **_guard(one)} for name, one in found.passed_over.items()
        ],
        "spillover": estimate(found.spillover) if found.spillover else None,
        "sentence": sentence,
        **facts,
        "provenance": provenance(found),
    }


def _panel(panel: Panel) -> Json:
    starts = panel.starts[panel.is_treated]
    first = int(starts.min()) if len(starts) else len(panel.periods)
    seen = panel.observed
    return {
        "units": len(panel.units),
        "treated": int(panel.is_treated.sum()),
        "periods": len(panel.periods),
        "pre": first,
        "cells": int(seen.sum()),
        "missing": int((~seen).sum()),
        "transform": panel.transform,
        "first_period": period(panel.periods[0]) if len(panel.periods) else None,
        "start": period(panel.periods[first]) if first < len(panel.periods) else None,
        "last_period": period(panel.periods[-1]) if len(panel.periods) else None,
        "dropped": [{"unit": one.unit, "reason": one.reason} for one in panel.dropped],
    }


def estimate(one: Estimate) -> Json:
    """Write one estimate."""
    why = dict(one.why)
    for side in ("low", "high"):
        if math.isinf(getattr(one, side)):
            why.setdefault(side, UNBOUNDED)
    told: Json = {
        "estimator": one.estimator,
        "tier": one.tier,
        "effect": number(one.effect),
        "low": number(one.low),
        "high": number(one.high),
        "level": one.level,
        "relative": number(one.relative),
        "se": number(one.se),
        "p": number(one.p),
        "p_min": number(one.p_min),
        "p_method": one.p_method,
        "n": one.n,
        "detail": plain(one.detail),
    }
    if why:
        told["why"] = why
    return told


def _guard(one: Guard) -> Json:
    return {
        "id": one.id,
        "status": one.status,
        "value": number(one.value),
        "threshold": number(one.threshold),
        "note": one.note,
    }


def _power(found: Evaluation) -> Json | None:
    if found.power is None:
        return None
    return {
        "mde": number(found.power.mde),
        "alpha": found.power.alpha,
        "plantings": found.power.plantings,
        "formula": number(found.power.formula),
        "note": found.power.note,
    }


def provenance(found: Evaluation) -> Json:
    """Say which data, which code and which seed gave these numbers."""
    return {
        "data_sha256": data_sha256(found.panel),
        "code_version": __version__,
        "library_versions": {name: version(name) for name in LIBRARIES},
        "thresholds_version": THRESHOLDS.version,
        "seed": found.seed,
    }


def data_sha256(panel: Panel) -> str:
    """Hash what was analysed: unit, period, treated and value, sorted, 17 significant digits."""
    hashed = hashlib.sha256()
    labels = [str(period(one)) for one in panel.periods]
    for unit, start, values in zip(panel.units, panel.starts, panel.values, strict=True):
        for column, value in enumerate(values):
            told = "" if math.isnan(value) else f"{value:.17g}"
            hashed.update(f"{unit},{labels[column]},{int(column >= start)},{told}\n".encode())
    return hashed.hexdigest()
