"""The signals that end a run, and the exit code that they give it."""

from __future__ import annotations

import signal
from types import FrameType

_came: list[int] = []


def listen() -> None:
    """Let Ctrl-C, and what ends a job or closes a terminal, end a run with what was measured recorded."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        _came.append(number)
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # What ignores a signal, as `nohup` and a shell's background jobs do, keeps ignoring it.
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, interrupt)


def came() -> bool:
    """Say whether one of them has come."""
    return bool(_came)


def status() -> int:
    """Return the exit code of a run that was ended: 128 and the number of the first signal, as shells say."""
    return 128 + (_came[0] if _came else signal.SIGINT)
