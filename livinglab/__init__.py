"""Living lab: what Things measure and what citizens say at the same Places of a city."""

__version__ = "0.1.0"
