"""Run a town: ``python -m simulators TOWN`` is ``livinglab simulate TOWN``."""

import sys

from livinglab.cli import main

main(["simulate", *sys.argv[1:]])
