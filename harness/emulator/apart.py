"""Runs work whose native code may crash in a process of its own."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

from harness.errors import HarnessError

T = TypeVar("T")


def apart(work: Callable[[], T], what: str) -> T:
    """Return `work()`, which can be pickled, from a child process that is a copy of this one.

    If processes cannot be copied, as on Windows, it is done here. Raises what `work` raises, and
    HarnessError, which calls the work `what`, if a signal ended the child.
    """
    if not hasattr(os, "fork"):
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(work, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        raise HarnessError(f"{what} ended by a crash of native code (signal {-status})")
    result, error = pickle.loads(answer)
    if error is not None:
        raise error
    found: T = result
    return found


def _answer(work: Callable[[], T], writer: int) -> None:
    """Do the work, write (result, error) to the pipe, and end this process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent reports an interrupt
    try:
        try:
            answer = pickle.dumps((work(), None))
        except Exception as error:
            answer = pickle.dumps((None, error))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)
