"""A line in virtual time to a made-up chip that works through one queue; it imports nothing of the harness.

A piece of work is a generator: what it yields is time that it spends, in seconds. Lines from the host are
heard at once, whatever the chip is at, as its listener is a task of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

Work = Iterator[float]
LOGS = (
    b"\x1b[0;32mI (81204) cam_hal: Allocating 12288 Byte frame buffer\x1b[0m\r\n",
    b'W (81310) wifi: {"type": 0, "na\n',
    b"E (81377) task_wdt: {low heap}\n",
)


class Chip:
    """What both generations do alike: their queue, their line, and the record of what was asked of them."""

    effects = ("MODEL", "SENSOR", "INVOKE")

    def __init__(self, *, noisy: bool, portion: int, resets_before: int | None, loses: int | None) -> None:
        """It reboots once before the frame `resets_before` (from 1, over all runs); `loses` one's event."""
        self.url = "fake"
        self.portion = portion
        self.noisy = noisy
        self.resets_before = resets_before
        self.loses = loses
        self.boots = 0
        self.frames = 0
        self.heard: list[str] = []
        self.too_early: list[str] = []
        """Commands with an effect that came while the one before of the same name was still at work."""
        self._at_work: list[str] = []
        self._host = self._time = 0.0
        self._out: deque[tuple[float, bytes]] = deque()
        self._said = 0
        self._line = b""
        self.restart()

    # ---- the chip

    def restart(self) -> None:
        """Boot: everything that was to be done is forgotten."""
        self.boots += 1
        self.queue: deque[tuple[str, Callable[[], Work]]] = deque()
        self._doing: Work | None = None
        self._name = ""
        self._at_work.clear()
        self._line = b""
        self.boot()

    def boot(self) -> None:
        """Do what a boot does."""
        raise NotImplementedError

    def command(self, line: str) -> None:
        """Take a line from the host."""
        raise NotImplementedError

    def put(self, work: Callable[[], Work], effect: str = "") -> None:
        """Add to the queue; `effect` is the name of a command with an effect."""
        if effect in self.effects:
            if effect in self._at_work:
                self.too_early.append(effect)
            self._at_work.append(effect)
        self.queue.append((effect, work))

    def done(self, effect: str) -> None:
        """A command with an effect has been answered."""
        if effect in self._at_work:
            self._at_work.remove(effect)

    def send(self, data: bytes) -> None:
        """Write on the line, now."""
        if self.noisy:
            self._said += 1
            data = LOGS[self._said % len(LOGS)] + data + LOGS[(self._said + 1) % len(LOGS)]
        self._out.append((self._time, data))

    def next_frame(self) -> bool:
        """Count a frame; False if the chip has rebooted instead."""
        self.frames += 1
        if self.frames == self.resets_before:
            self.resets_before = None
            self.restart()
            return False
        return True

    def _step(self) -> bool:
        if self._doing is None:
            if not self.queue:
                return False
            self._name, work = self.queue.popleft()
            self._doing = work()
        doing = self._doing
        try:
            self._time += next(doing)
        except StopIteration:
            if self._doing is doing:
                self._doing = None
                self.done(self._name)
        return True

    # ---- the host's end, as a port

    def read(self, max_bytes: int, timeout: float) -> bytes:
        until = self._host + timeout
        while not self._out and self._time <= until and self._step():
            pass
        if not self._out or self._out[0][0] > until:
            self._host = until
            self._time = max(self._time, until)
            return b""
        at, data = self._out.popleft()
        self._host = max(self._host, at)
        taken = min(max_bytes, self.portion)
        if data[taken:]:
            self._out.appendleft((at, data[taken:]))
        return data[:taken]

    def write(self, data: bytes) -> None:
        self._time = max(self._time, self._host)
        *lines, self._line = (self._line + data.replace(b"\n", b"\r")).split(b"\r")
        for line in lines:
            if line:
                text = line.decode("latin-1")
                self.heard.append(text)
                self.command(text)

    def close(self) -> None:
        pass

    def reset_buffers(self) -> None:
        self._out.clear()

    def reopen(self) -> None:
        pass

    def now(self) -> float:
        return self._host

    def pause(self, seconds: float) -> None:
        self._host += seconds
        while self._time <= self._host and self._step():
            pass


def parts(line: str) -> tuple[str, str, list[str]]:
    """Return (name with its tag, command, arguments) of a line that begins with AT+, else empty ones."""
    head, _, tail = line.partition("=")
    if not head.upper().startswith("AT+"):
        return "", "", []
    name = head[3:].upper()
    return name, name.split("@")[-1], tail.split(",") if tail else []
