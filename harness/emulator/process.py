"""Virtual boards as child processes that never outlive whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from harness.errors import BoardError

START_PATIENCE_S = 300.0
"""For a board to print its port; how long it takes depends on this computer's speed."""
STOP_PATIENCE_S = 1.0


class BoardProcess:
    """A running virtual board."""

    def __init__(
        self, board: str, options: Sequence[str] = (), *, listen: str | None = None, wait: bool = True
    ) -> None:
        """Start the board and wait until its port is there.

        Args:
            board: a board id or the path of a profile.
            options: further options of `harness emulate`.
            listen: where it listens; by default a pty, or a loopback socket if there are no ptys.
            wait: False returns at once; whoever asks for `url` first waits then, and gets the error.

        Raises:
            BoardError: the process ended, or printed no URL within `START_PATIENCE_S`; with what it said.
        """
        if listen is None:
            listen = "socket://127.0.0.1:0" if sys.platform == "win32" else "pty"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        # The lifeline: the board ends when its standard input closes, however this process ends.
        # A session of its own keeps the terminal's Ctrl-C from reaching it before the run is recorded.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness", "emulate", "-b", board),
                *("--listen", listen, "--lifeline", *options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # On a busy computer, several BLAS threads that wait for each other are far slower than one.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self._board = board
        if wait:
            _ = self.url

    @cached_property
    def url(self) -> str:
        """The port that the board answers on; raises BoardError if it does not start."""
        try:
            url = self._first_line()
        except BaseException:
            self.stop()
            raise
        if not url:
            self.stop()
            raise BoardError(f"the virtual {Path(self._board).stem} did not start: {self.last_words()}")
        return url

    def _first_line(self) -> str:
        import threading

        assert self._process.stdout is not None
        # A watchdog closes the pipe of a board that hangs before it listens; readline() has no time-out.
        watchdog = threading.Timer(START_PATIENCE_S, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._process.stdout.readline().decode().strip()
        finally:
            watchdog.cancel()

    def next_line(self) -> str:
        """Return the next line that the board prints, behind that of its port."""
        assert self._process.stdout is not None
        _ = self.url
        return self._process.stdout.readline().decode().strip()

    def press(self, button: str) -> None:
        """Press a button of the board: "reset", or "boot" for reset with the boot button held."""
        assert self._process.stdin is not None
        # It has ended: whoever reads its port will find out.
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{button}\n".encode())
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """The process id of the board."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended (negative: by that signal), or None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """Return how a process ended: its last line, or the signal."""
        code = self.exit_code
        if code is not None and code < 0:
            return f"ended by a signal ({signal.strsignal(-code) or -code})"
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        if lines:
            return lines[-1].removeprefix("harness: error: ")
        return f"without a word (status {code})"

    def stop(self) -> None:
        """End the process; killed if it does not go by itself."""
        if "url" not in self.__dict__:
            self._process.kill()  # it does not react to its standard input or to signals yet
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        deadline = time.monotonic() + STOP_PATIENCE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> BoardProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()
