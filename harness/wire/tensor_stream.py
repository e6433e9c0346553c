"""Sending tensors to the device: keeps the line full, and waits until they are acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

from harness.wire import messages as m
from harness.wire.bench_link import BenchLink
from harness.wire.pace import AnswerTime, BlockSize
from harness.wire.patience import Countdown
from harness.wire.port import PortLost
from harness.wire.sender import Sender, TransferRefused
from harness.wire.session import DeviceRefused, LoadProgress, NoAnswer

LEAST_IN_FLIGHT = 8192
"""At least this many line bytes may be under way, however small the blocks are."""
FIRST_WAIT_S = 0.5
QUEUED = 2
"""Tensors that are on their way at a time: the next begins before the one before it is known to be whole."""

_REFUSALS = {
    m.TransferStatus.DIGEST: "the tensor arrived with another checksum than it was sent with",
    m.TransferStatus.BAD_INPUT: "the selected model has no such input",
    m.TransferStatus.BAD_RANGE: "the data does not fit the input, or the block the device's buffer",
    m.TransferStatus.BUSY: "a run is under way",
}


class TensorStream:
    """The tensor stream of one link. What is sent is tuples of (input index, bytes)."""

    def __init__(self, link: BenchLink) -> None:
        self._link = link
        self._sender = Sender(link.device.window)
        self._wait = AnswerTime(FIRST_WAIT_S)
        self._block = BlockSize(link.device.max_block)
        self._timed: tuple[int, float] | None = None
        self._key = 0

    @property
    def block(self) -> int:
        """Block size in bytes that suits what the line has lost so far."""
        return self._block.size

    def on_ack(self, number: int, ack: m.Ack) -> None:
        """Take an acknowledgement from the link."""
        self._sender.on_ack(number, ack)

    def forget(self) -> None:
        """Begin anew with a device that has lost its session."""
        self._sender = Sender(self._link.device.window)

    def abandon(self) -> None:
        """Give up what has not arrived."""
        self._sender.abandon()

    def send(
        self,
        feed: Iterator[tuple[int, bytes]],
        unfinished: dict[int, tuple[int, bytes]],
        loaded: dict[int, bytes],
        progress: LoadProgress | None,
    ) -> None:
        """Send `unfinished` and then what `feed` yields; what has arrived moves from there to `loaded`.

        Raises DeviceRefused, NoAnswer, DeviceReset; then `unfinished` holds what is still to be sent.
        """
        link, sender = self._link, self._sender
        lost_before = sender.lost
        for key, (index, data) in unfinished.items():
            sender.add(key, index, 0, data, self._block.size)
        self._timed = None
        arrivals = _Arrivals(unfinished, loaded, progress, link.port.now())
        stuck = Countdown(link.port, link.patience.request_s)
        probe_at = link.port.now() + self._wait.wait
        while True:
            self._queue(feed, unfinished)
            if sender.idle:
                link.retransmissions += sender.lost - lost_before
                return
            try:
                self._fill_line()
                heard = link.receive(stuck.wait(max(0.0, probe_at - link.port.now())))
            except PortLost as error:
                link.reconnect(error)
                heard, self._timed = False, None
                stuck.renew()
                probe_at = link.port.now()
            except TransferRefused as refused:
                raise _refusal(refused.status, *next(iter(unfinished.values()))) from refused
            now = link.port.now()
            if heard:
                self._learn(now)
                probe_at = now + self._wait.wait
                if arrivals.take(sender, self._block, now):
                    stuck.renew()
                if not sender.idle and self._block.size * 2 < sender.block:
                    sender.restart(self._block.size)
            if stuck.over and not sender.idle:
                raise NoAnswer(
                    f"the board at {link.port.url} took no more tensor data for {stuck.seconds:g} s"
                )
            if now >= probe_at:
                number, message = sender.probe()
                link.write(message, number)
                self._timed = None
                self._wait.silent()
                probe_at = now + self._wait.wait

    def _queue(self, feed: Iterator[tuple[int, bytes]], unfinished: dict[int, tuple[int, bytes]]) -> None:
        """Queue tensors until `QUEUED` are on their way or none is left."""
        while len(unfinished) < QUEUED and (item := next(feed, None)) is not None:
            if item[1]:
                self._key += 1
                unfinished[self._key] = item
                self._sender.add(self._key, item[0], 0, item[1], self._block.size)

    def _fill_line(self) -> None:
        self._sender.limit = max(4 * self._block.size, LEAST_IN_FLIGHT)
        while (out := self._sender.next()) is not None:
            number, message = out
            self._link.write(message, number)
            if self._timed is None:
                self._timed = number, self._link.port.now()

    def _learn(self, now: float) -> None:
        """Learn from acknowledgements how long they take and what size of blocks gets through."""
        if self._timed is not None and not m.newer(self._timed[0], self._sender.acknowledged):
            self._wait.answered(now - self._timed[1])
            self._timed = None
        self._wait.heard()
        for block, there in self._sender.outcomes:
            self._block.seen(block, there)
        self._sender.outcomes.clear()


class _Arrivals:
    """What has arrived of the tensors that are being sent, and whom to tell."""

    def __init__(
        self,
        unfinished: dict[int, tuple[int, bytes]],
        loaded: dict[int, bytes],
        progress: LoadProgress | None,
        now: float,
    ) -> None:
        self._unfinished = unfinished
        self._loaded = loaded
        self._progress = progress
        self._started = now
        self._bytes = 0
        self._last = (0, 0)

    def take(self, sender: Sender, block: BlockSize, now: float) -> bool:
        """Take note of what has arrived by `now`; return whether anything has since the last time."""
        news = bool(sender.finished)
        for key in sender.finished:
            index, data = self._unfinished.pop(key)
            self._loaded[index] = data
            self._bytes += len(data)
            if now > self._started:
                block.fit(self._bytes / (now - self._started))
            self._tell(len(data), len(data))
        sender.finished.clear()
        if not sender.idle and (latest := sender.arrived()) != self._last:
            self._last, news = latest, True
            if latest[1]:
                self._tell(latest[1], len(self._unfinished[latest[0]][1]))
        return news

    def _tell(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)


def _refusal(status: m.TransferStatus, index: int, data: bytes) -> DeviceRefused:
    return DeviceRefused(
        f"the board refused {len(data)} bytes for input {index}: {_REFUSALS[status]} ({status.name})",
        status.name,
    )
