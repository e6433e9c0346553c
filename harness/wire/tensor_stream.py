"""Tensors on their way to the device: keeps the line full, and waits for what is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

from harness.wire import messages as m
from harness.wire.bench_link import BenchLink
from harness.wire.pace import AnswerTime, BlockSize
from harness.wire.port import PortLost
from harness.wire.sender import Sender, TransferRefused
from harness.wire.session import DeviceRefused, NoAnswer, Progress

LEAST_IN_FLIGHT = 8192
"""Line bytes that may be under way at least, however small the blocks are."""
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
        progress: Progress | None,
    ) -> None:
        """Send `unfinished` and then what `feed` yields; what has arrived moves from there to `loaded`.

        Raises DeviceRefused, NoAnswer, DeviceReset; then `unfinished` holds what is still to be sent.
        """
        link, sender = self._link, self._sender
        lost_before = sender.lost
        for key, (index, data) in unfinished.items():
            sender.add(key, index, 0, data, self._block.size)
        key = max(unfinished, default=0)
        more = True
        arrived = (0, 0)
        self._timed = None
        started = now = link.port.now()
        sent = 0
        stuck_at, probe_at = now + link.timeout, now + self._wait.wait
        while True:
            while more and len(unfinished) < QUEUED:
                item = next(feed, None)
                if item is None:
                    more = False
                elif item[1]:
                    key += 1
                    unfinished[key] = item
                    sender.add(key, item[0], 0, item[1], self._block.size)
            if sender.idle:
                link.retransmissions += sender.lost - lost_before
                return
            try:
                self._fill_line()
                heard = link.receive(max(0.0, min(probe_at, stuck_at) - link.port.now()))
            except PortLost as error:
                link.survive(error)
                heard, self._timed = False, None
                probe_at = link.port.now()
                stuck_at = probe_at + link.timeout
            except TransferRefused as refused:
                index, data = next(iter(unfinished.values()))
                raise DeviceRefused(
                    f"the board refused {len(data)} bytes for input {index}: {_REFUSALS[refused.status]} "
                    f"({refused.status.name})",
                    refused.status.name,
                ) from refused
            now = link.port.now()
            if heard:
                self._learn(now)
                probe_at = now + self._wait.wait
                for done in sender.finished:
                    index, data = unfinished.pop(done)
                    loaded[index] = data
                    stuck_at = now + link.timeout
                    sent += len(data)
                    if now > started:
                        self._block.fit(sent / (now - started))
                    if progress is not None:
                        progress(len(data), len(data))
                sender.finished.clear()
                if sender.idle:
                    continue
                if (latest := sender.arrived()) != arrived:
                    arrived = latest
                    stuck_at = now + link.timeout
                    if progress is not None and arrived[1]:
                        progress(arrived[1], len(unfinished[arrived[0]][1]))
                if self._block.size * 2 < sender.block:
                    sender.restart(self._block.size)
            if now >= stuck_at:
                raise NoAnswer(
                    f"the board at {link.port.url} took no more tensor data for {link.timeout:g} s"
                )
            if now >= probe_at:
                number, message = sender.probe()
                link.write(message, number)
                self._timed = None
                self._wait.silent()
                probe_at = now + self._wait.wait

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
