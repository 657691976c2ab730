"""Effects: one function per estimator, each from a panel or a tidy frame to an Estimate."""

from livinglab.impact.effects.difference import before_after, did, event_study
from livinglab.impact.effects.interrupted import interrupted
from livinglab.impact.effects.pooling import pool
from livinglab.impact.effects.staggered import callaway_santanna
from livinglab.impact.effects.structural import structural, structural_step
from livinglab.impact.effects.synthetic import synthetic_control, synthetic_did

__all__ = [
    "before_after",
    "callaway_santanna",
    "did",
    "event_study",
    "interrupted",
    "pool",
    "structural",
    "structural_step",
    "synthetic_control",
    "synthetic_did",
]
