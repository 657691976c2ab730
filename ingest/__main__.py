"""Run the ingest service: ``python -m ingest`` is ``livinglab ingest``."""

from livinglab.cli import main

main(["ingest"])
