"""A virtual line: paces bytes at a baud rate, delays them, and does them the harm that was asked for.

`VirtualLine` is the line itself, in any clock. `attach` puts it between a board and its endpoint in real
time; tests run it in virtual time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from harness.emulator.faults import Damage, Event, Faults
from harness.emulator.transport import Endpoint

BITS_A_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""
PIECE_BYTES = 256
"""Bytes that arrive together; serial hardware hands over whole buffers too."""
READ_BYTES = 1 << 16
REACTION_S = 0.001
"""How late this computer may be at either end without the line seeming slower."""


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
        self.arrived_at = 0.0
        """When the last byte that was taken had arrived."""

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
        """Return when the next bytes arrive, or None if none are under way."""
        return self._pieces[0][0] if self._pieces else None

    def take(self, now: float) -> bytes:
        """Return the bytes that have arrived by `now`."""
        arrived = []
        while self._pieces and self._pieces[0][0] <= now:
            self.arrived_at, piece = self._pieces.popleft()
            arrived.append(piece)
        return b"".join(arrived)

    def clear(self) -> None:
        """Drop what is under way."""
        self._pieces.clear()
        self._free_at = 0.0


class VirtualLine:
    """Both directions of a line and its events. It outlives the connections made over it."""

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

    @property
    def vanishes(self) -> bool:
        """Whether the port is still to go away."""
        return any(event.kind == "vanish" for event in self._events)

    def next_event_s(self) -> float | None:
        """Return the time after the line's start of the next event that goes by time."""
        return min((event.seconds for event in self._events if event.seconds is not None), default=None)

    def clear(self) -> None:
        """Drop what is under way in both directions."""
        self.to_device.clear()
        self.to_host.clear()

    def attach(self, endpoint: Endpoint, on_reset: Callable[[], None]) -> AttachedLine:
        """Put the line behind an open endpoint; use the result as a context manager and as a Line.

        `on_reset` is called, from within `read`, when the faults call for a reset of the board.
        """
        return AttachedLine(self, endpoint, on_reset)


class AttachedLine:
    """A virtual line in real time; a thread for each direction keeps bytes moving during an invoke."""

    POLL_S = 0.05

    def __init__(self, line: VirtualLine, endpoint: Endpoint, on_reset: Callable[[], None]) -> None:
        self._line = line
        self._endpoint = endpoint
        self._on_reset = on_reset
        self._change = threading.Condition()
        self._stopping = False
        self._woken = False
        self._away_until: float | None = None
        self._late = 0.0
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._pump_in, self._pump_out)
        ]

    def __enter__(self) -> AttachedLine:
        if not self._line.started:
            self._line.started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._endpoint.wake()
        for thread in self._threads:
            thread.join()

    def read(self, timeout: float | None) -> bytes:
        """As in Line; returns b"" early when woken or when something happens to the board."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while True:
                now = time.monotonic()
                event = self._line.event(now - self._line.started)
                if event is not None:
                    break
                data = self._line.to_device.take(now)
                woken, self._woken = self._woken, False
                if data or woken or (deadline is not None and now >= deadline):
                    return data
                at = self._line.next_event_s()
                until = [
                    moment
                    for moment in (
                        deadline,
                        self._line.to_device.due(),
                        None if at is None else self._line.started + at,
                    )
                    if moment is not None
                ]
                self._change.wait(max(0.0, min(until) - now) if until else None)
            self._line.clear()
            if event.kind == "vanish":
                self._away_until = now + event.away_s
        self._endpoint.wake()
        if event.kind == "reset":
            self._on_reset()
        return b""

    def write(self, data: bytes) -> None:
        with self._change:
            # An answer leaves when its question has arrived, not when this computer got around to reading it.
            sent_at = max(self._line.to_device.arrived_at, time.monotonic() - REACTION_S)
            self._line.to_host.send(sent_at, data)
            self._change.notify_all()

    def wake(self) -> None:
        with self._change:
            self._woken = True
            self._change.notify_all()

    def _pump_in(self) -> None:
        while not self._stopping:
            data = self._endpoint.read(READ_BYTES, self.POLL_S)
            if self._away_until is not None:
                self._stay_away(self._away_until)
            elif data:
                with self._change:
                    # What was handed over late may have kept the host waiting: do not count that against it.
                    self._line.to_device.send(time.monotonic() - self._late, data)
                    self._change.notify_all()

    def _stay_away(self, until: float) -> None:
        self._endpoint.vanish()
        with self._change:
            self._change.wait_for(lambda: self._stopping, max(0.0, until - time.monotonic()))
        self._endpoint.reappear()
        self._away_until = None

    def _pump_out(self) -> None:
        while True:
            with self._change:
                now = time.monotonic()
                data = self._line.to_host.take(now)
                if not data:
                    due = self._line.to_host.due()
                    if self._stopping and due is None:
                        return
                    self._change.wait(None if due is None else max(0.0, due - now))
                    continue
            if self._away_until is None:
                self._endpoint.write(data)
                self._late = min(time.monotonic() - self._line.to_host.arrived_at, REACTION_S)
