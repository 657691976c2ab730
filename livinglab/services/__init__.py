"""Use cases: one verb per module, ports as arguments."""
