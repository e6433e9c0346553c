"""The command line, run in this process: a new one for each case would cost more than the case."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest import mock

from harness.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def harness(
    *words: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: IO[str] | None = None
) -> Done:
    """Run `harness WORDS` in `cwd`, with nothing to read on standard input unless that is given."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict("os.environ", env or {}),
        mock.patch.object(sys, "argv", ["harness", *map(str, words)]),
        mock.patch.object(sys, "stdin", stdin or io.StringIO()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
    return Done(code, out.getvalue(), err.getvalue())
