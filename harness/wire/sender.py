"""The host's end of the tensor stream: what to send next, and what an acknowledgement says is lost.

No input or output here, and no clock. Each frame of the stream carries a running number; the device tells the
highest it has seen and what it holds. A line keeps order, so a frame at or below that number which the device
does not show is lost, and is sent again at once under a new number.
"""

from __future__ import annotations

import heapq
import zlib
from collections import deque
from dataclasses import dataclass, field

from harness.wire import messages as m
from harness.wire.framing import encoded_size

MASK_BITS = 64


class TransferRefused(Exception):
    """The device will not take a transfer; `status` says why."""

    def __init__(self, status: m.TransferStatus) -> None:
        super().__init__(status.name)
        self.status = status


@dataclass
class _Transfer:
    id: int
    input: int
    start: int
    data: memoryview
    block: int
    replace: bool
    key: int
    before: int = 0  # bytes of the same tensor that earlier transfers brought over
    opened: bool = False  # Open is on its way or has arrived
    replaced: bool = False
    harmed: bool = False  # something of it was lost
    base: int = 0
    mask: int = 0
    cursor: int = 0
    resend: list[int] = field(default_factory=list)
    crc: int = 0

    def __post_init__(self) -> None:
        self.crc = zlib.crc32(self.data)

    @property
    def blocks(self) -> int:
        return -(-len(self.data) // self.block)

    @property
    def sent_whole(self) -> bool:
        return self.opened and not self.resend and self.cursor == self.blocks

    def holds(self, block: int) -> bool:
        """Say whether the device has shown this block as arrived."""
        ahead = block - self.base - 1
        return block < self.base or (ahead >= 0 and bool(self.mask >> ahead & 1))


@dataclass(frozen=True)
class _InFlight:
    number: int
    transfer: _Transfer | None
    block: int  # -1: Open or Probe
    cost: int


class Sender:
    """Queues tensors and turns them into stream messages within the device's window (line bytes)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._queue: deque[_Transfer] = deque()
        self._in_flight: deque[_InFlight] = deque()
        self._bytes_in_flight = 0
        self._number = 0
        self._acked = 0
        self._transfer_id = 0
        self._replace_next = False
        self.lost = 0
        """Blocks that had to be sent again."""
        self.finished: list[int] = []
        """Keys of tensors that have arrived whole, in order; the caller empties it."""
        self.outcomes: list[tuple[int, bool]] = []
        """(Block size, whether it arrived) of each block judged; the caller empties it."""
        self.limit = window
        """Most line bytes that the caller wants under way at a time, within the window."""

    @property
    def idle(self) -> bool:
        """Whether all that was queued has arrived."""
        return not self._queue

    @property
    def waiting(self) -> bool:
        """Whether frames are out that the device has not answered for."""
        return bool(self._in_flight)

    @property
    def block(self) -> int:
        """Block size of the transfer at the head of the queue."""
        return self._queue[0].block

    @property
    def acknowledged(self) -> int:
        """Number of the last frame that the device has seen, as far as is known."""
        return self._acked

    def arrived(self) -> tuple[int, int]:
        """Return (key of the tensor at the head of the queue, bytes of it that have arrived)."""
        head = self._queue[0]
        return head.key, head.before + min(head.base * head.block, len(head.data))

    def abandon(self) -> None:
        """Give up what is queued; the next transfer replaces it on the device as well."""
        for transfer in self._queue:
            transfer.replaced = True
        self._queue.clear()
        self.finished.clear()
        self.outcomes.clear()
        self._replace_next = True

    def add(self, key: int, input_index: int, start: int, data: bytes, block: int) -> None:
        """Queue `data` for `start` of an input, to go in blocks of `block` bytes."""
        view = memoryview(data).cast("B")
        replace, self._replace_next = self._replace_next, False
        self._queue.append(_Transfer(self._next_id(), input_index, start, view, block, replace, key))

    def restart(self, block: int) -> None:
        """Send what is left of the head of the queue in blocks of another size."""
        waiting, self._queue = self._queue, deque()
        for at, old in enumerate(waiting):
            old.replaced = True
            done = min(old.base * old.block, len(old.data)) if at == 0 else 0
            fresh = _Transfer(
                self._next_id(),
                old.input,
                old.start + done,
                old.data[done:],
                block,
                at == 0,
                old.key,
                old.before + done,
            )
            self._queue.append(fresh)

    def next(self) -> tuple[int, m.Message] | None:
        """Return the next (number, message) to send, or None while there is nothing or no window for it."""
        for transfer in list(self._queue)[:2]:
            if self._queue[0].harmed and transfer is not self._queue[0]:
                return None  # the device would refuse it until the gaps before it are filled
            message: m.Message
            if not transfer.opened:
                block = -1
                message = m.Open(
                    transfer.id,
                    m.REPLACE if transfer.replace else 0,
                    transfer.input,
                    0,
                    transfer.start,
                    len(transfer.data),
                    transfer.block,
                    transfer.crc,
                )
                cost = encoded_size(m.HEADER.size + m.Open.FIXED.size)
            else:
                if transfer.resend:
                    block = transfer.resend[0]
                elif transfer.cursor < min(transfer.blocks, transfer.base + MASK_BITS + 1):
                    block = transfer.cursor
                elif transfer.sent_whole:
                    continue
                else:
                    return None
                at = block * transfer.block
                data = bytes(transfer.data[at : at + transfer.block])
                message = m.Data(transfer.id, 0, at, data)
                cost = encoded_size(m.DATA_OVERHEAD + len(data))
            if self._in_flight and self._bytes_in_flight + cost > min(self._window, self.limit):
                return None
            if block < 0:
                transfer.opened = True
            elif transfer.resend:
                heapq.heappop(transfer.resend)
            else:
                transfer.cursor += 1
            return self._out(transfer, block, cost), message
        return None

    def probe(self) -> tuple[int, m.Message]:
        """Return a message that makes the device answer for everything before it; it needs no window."""
        return self._out(None, -1, 0), m.Probe()

    def on_ack(self, number: int, ack: m.Ack) -> None:
        """Take an acknowledgement; raises TransferRefused if the device will not have the transfer."""
        if m.newer(number, self._number) or m.newer(self._acked, number):
            return
        self._acked = number
        at = next((i for i, t in enumerate(self._queue) if t.id == ack.transfer), None)
        if at is not None:
            for _ in range(at):
                self._finish()
            head = self._queue[0]
            head.opened = True
            if ack.status == m.TransferStatus.RECEIVING:
                self._advance(head, ack)
            elif ack.status == m.TransferStatus.COMPLETE:
                self._finish()
            else:
                raise TransferRefused(m.TransferStatus(ack.status))
        self._judge(number, ack.transfer)

    def _advance(self, head: _Transfer, ack: m.Ack) -> None:
        base, beyond = divmod(ack.base, head.block)
        if beyond or base < head.base or base >= head.blocks:
            return  # not an answer to what was sent: wait for the right one
        head.base, head.mask = base, ack.mask

    def _judge(self, number: int, current: int) -> None:
        live = {t.id for t in self._queue}
        while self._in_flight and not m.newer(self._in_flight[0].number, number):
            entry = self._in_flight.popleft()
            self._bytes_in_flight -= entry.cost
            transfer = entry.transfer
            if transfer is None or entry.block < 0:
                if transfer is not None and transfer.id in live and transfer.id != current:
                    transfer.opened = False
                continue
            if transfer.replaced:
                continue
            taken = transfer.id not in live or (transfer.id == current and transfer.holds(entry.block))
            if taken or transfer.id == current:  # else it may have been refused, not lost
                self.outcomes.append((transfer.block, taken))
            if not taken:
                self.lost += 1
                transfer.harmed |= transfer.id == current
                heapq.heappush(transfer.resend, entry.block)

    def _finish(self) -> None:
        self.finished.append(self._queue.popleft().key)

    def _out(self, transfer: _Transfer | None, block: int, cost: int) -> int:
        self._number = (self._number + 1) & 0xFFFF
        self._in_flight.append(_InFlight(self._number, transfer, block, cost))
        self._bytes_in_flight += cost
        return self._number

    def _next_id(self) -> int:
        self._transfer_id = self._transfer_id % 0xFFFF + 1
        return self._transfer_id
