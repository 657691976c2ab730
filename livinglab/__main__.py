"""``python -m livinglab`` is the command ``livinglab``."""

from livinglab.cli import main

main()
