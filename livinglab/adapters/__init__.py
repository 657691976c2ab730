"""Ports made real: one module per technology."""
