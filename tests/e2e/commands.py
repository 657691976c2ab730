"""Commands run in this process: what they print and how they end, without waiting for a start."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from livinglab.cli import main


def run_here(*arguments: str, sent: str = "") -> subprocess.CompletedProcess[str]:
    """Run `livinglab …` with text on standard input; nothing is a terminal."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(sent.encode()), encoding="utf-8")
    code = 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "stdin", given):
        try:
            main(list(arguments))
        except SystemExit as ended:
            code = int(ended.code or 0)
        out.flush()
        err.flush()
    texts = [one.buffer.getvalue().decode() for one in (out, err)]
    return subprocess.CompletedProcess(arguments, code, *texts)
