"""Run the API service: ``python -m api`` is ``livinglab api``."""

import sys

from livinglab.cli import main

main(["api", *sys.argv[1:]])
