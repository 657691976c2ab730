"""The simulators: a town whose truth is known."""
