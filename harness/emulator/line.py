"""A virtual line: paces bytes at a baud rate, delays them, and does them the harm that was asked for.

`VirtualLine` is the line itself, in any clock. `attach` puts it between a firmware and an open endpoint in
real time; `harness.emulator.simulation` runs it in virtual time for tests.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType

from harness.emulator.controls import BoardReset
from harness.emulator.engine import Line, LineClosed
from harness.emulator.faults import Damage, Event, Faults

BITS_A_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""
PIECE_BYTES = 256
"""Bytes that arrive together; serial hardware hands over whole buffers too."""


class LineVanished(LineClosed):
    """The line's faults take the port away for `away_s` seconds; the board keeps running."""

    def __init__(self, away_s: float) -> None:
        super().__init__()
        self.away_s = away_s


class Channel:
    """One direction of a line. Times are in seconds of whatever clock the caller goes by."""

    def __init__(self, baud: int | None, latency_s: float, damage: Damage) -> None:
        self._byte_s = BITS_A_BYTE / baud if baud else 0.0
        self._latency = latency_s
        self._free_at = 0.0
        self._pieces: deque[tuple[float, bytes]] = deque()
        self.damage = damage
        self.sent = 0
        """Bytes that have been put on the line."""

    def send(self, now: float, data: bytes) -> None:
        """Put bytes on the line at time `now`."""
        self.sent += len(data)
        for part, rest_s in self.damage.apply(data):
            for at in range(0, len(part), PIECE_BYTES):
                piece = part[at : at + PIECE_BYTES]
                self._free_at = max(self._free_at, now) + len(piece) * self._byte_s
                self._pieces.append((self._free_at + self._latency, piece))
            if rest_s:
                self._free_at = max(self._free_at, now) + rest_s

    def due(self) -> float | None:
        """Return when the next bytes arrive, or None where none are under way."""
        return self._pieces[0][0] if self._pieces else None

    def take(self, now: float) -> bytes:
        """Return the bytes that have arrived by `now`."""
        arrived = []
        while self._pieces and self._pieces[0][0] <= now:
            arrived.append(self._pieces.popleft()[1])
        return b"".join(arrived)

    def clear(self) -> None:
        """Lose what is under way."""
        self._pieces.clear()
        self._free_at = 0.0


class VirtualLine:
    """Both directions of a line and the events that befall it. It outlives the connections made over it."""

    def __init__(self, baud: int | None = None, latency_s: float = 0.0, faults: Faults | None = None) -> None:
        """`baud` None: as fast as bytes can be handed over; `latency_s` is one way."""
        faults = faults or Faults()
        self.to_device = Channel(baud, latency_s, Damage(faults, "to device"))
        self.to_host = Channel(baud, latency_s, Damage(faults, "to host"))
        self._events = list(faults.events)
        self.started = 0.0
        """When the line was first attached, by the monotonic clock."""

    def event(self, elapsed_s: float) -> Event | None:
        """Return an event that is due `elapsed_s` after the line's start, once."""
        passed = self.to_device.sent + self.to_host.sent
        for event in self._events:
            by_bytes = event.bytes is not None and passed >= event.bytes
            by_time = event.seconds is not None and elapsed_s >= event.seconds
            if by_bytes or by_time:
                self._events.remove(event)
                return event
        return None

    def next_event_s(self) -> float | None:
        """Return the time after the line's start of the next event that goes by time."""
        return min((event.seconds for event in self._events if event.seconds is not None), default=None)

    def clear(self) -> None:
        """Lose what is under way in both directions."""
        self.to_device.clear()
        self.to_host.clear()

    def attach(self, endpoint: Line) -> AttachedLine:
        """Put the line in front of an open endpoint; use the result as a context manager and as a Line."""
        return AttachedLine(self, endpoint)


class AttachedLine:
    """A virtual line in real time; a thread for each direction keeps bytes moving during an invoke.

    `read` and `write` are the firmware's; besides LineClosed they raise BoardReset and LineVanished.
    """

    POLL_S = 0.05

    def __init__(self, line: VirtualLine, endpoint: Line) -> None:
        self._line = line
        self._endpoint = endpoint
        self._change = threading.Condition()
        self._closed: Exception | None = None
        self._stopping = False
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._pump_in, self._pump_out)
        ]

    def __enter__(self) -> AttachedLine:
        if not self._line.started:
            self._line.started = time.monotonic()
        self._line.clear()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def read(self, timeout: float | None) -> bytes:
        """See Line.read."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while True:
                self._raise_events()
                now = time.monotonic()
                data = self._line.to_device.take(now)
                if data:
                    return data
                if self._closed is not None:
                    raise LineClosed from self._closed
                if deadline is not None and now >= deadline:
                    return b""
                due = self._line.to_device.due()
                event = self._line.next_event_s()
                until = [
                    moment
                    for moment in (deadline, due, None if event is None else self._line.started + event)
                    if moment is not None
                ]
                self._change.wait(max(0.0, min(until) - now) if until else None)

    def write(self, data: bytes) -> None:
        """See Line.write."""
        with self._change:
            if self._closed is not None:
                raise LineClosed from self._closed
            self._line.to_host.send(time.monotonic(), data)
            self._change.notify_all()

    def _raise_events(self) -> None:
        event = self._line.event(time.monotonic() - self._line.started)
        if event is None:
            return
        self._line.clear()
        if event.kind == "reset":
            raise BoardReset
        raise LineVanished(event.away_s)

    def _pump_in(self) -> None:
        while not self._stopping:
            try:
                data = self._endpoint.read(self.POLL_S)
            except LineClosed as error:
                with self._change:
                    self._closed = error
                    self._change.notify_all()
                return
            if data:
                with self._change:
                    self._line.to_device.send(time.monotonic(), data)
                    self._change.notify_all()

    def _pump_out(self) -> None:
        while True:
            with self._change:
                now = time.monotonic()
                data = self._line.to_host.take(now)
                if not data:
                    due = self._line.to_host.due()
                    if self._stopping and due is None:
                        return
                    if self._closed is not None:
                        return
                    self._change.wait(None if due is None else max(0.0, due - now))
                    continue
            try:
                self._endpoint.write(data)
            except LineClosed as error:
                with self._change:
                    self._closed = error
                    self._change.notify_all()
                return
