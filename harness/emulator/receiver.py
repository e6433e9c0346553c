"""The device's end of the tensor stream: puts blocks in place, and says what to acknowledge."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from harness.wire import messages as m

MASK_BITS = 64


class Receiver:
    """Takes Open, Data and Probe; `ack()` is the answer due after each.

    Its state is a few numbers: nothing of a tensor is held back, as every block goes straight to its place.
    """

    def __init__(
        self,
        max_block: int,
        size_of: Callable[[int], int | None],
        write: Callable[[int, int, bytes], None],
        read: Callable[[int, int, int], bytes | memoryview],
    ) -> None:
        """`size_of(input)` in bytes or None; `write(input, offset, data)`; `read(input, offset, n)`."""
        self._max_block = max_block
        self._size_of = size_of
        self._write = write
        self._read = read
        self.highest = 0
        self.status = m.TransferStatus.NONE
        self._open: m.Open | None = None
        self._base = 0
        self._mask = 0

    def on_open(self, number: int, opening: m.Open, busy: bool) -> None:
        """Begin a transfer, unless the one before is unfinished and not to be replaced."""
        self._saw(number)
        if self._open is not None and not m.newer(opening.transfer, self._open.transfer):
            return
        settled = self.status in (m.TransferStatus.NONE, m.TransferStatus.COMPLETE)
        if not settled and not opening.flags & m.REPLACE:
            return
        self._open, self._base, self._mask = opening, 0, 0
        size = self._size_of(opening.input)
        if busy:
            self.status = m.TransferStatus.BUSY
        elif size is None:
            self.status = m.TransferStatus.BAD_INPUT
        elif (
            not 0 < opening.block <= self._max_block
            or opening.length == 0
            or opening.start + opening.length > size
        ):
            self.status = m.TransferStatus.BAD_RANGE
        else:
            self.status = m.TransferStatus.RECEIVING

    def on_data(self, number: int, data: m.Data) -> None:
        """Put a block in its place; one that does not belong to the open transfer is dropped."""
        self._saw(number)
        opening = self._open
        if (
            opening is None
            or self.status != m.TransferStatus.RECEIVING
            or data.transfer != opening.transfer
            or data.offset % opening.block
            or data.offset >= opening.length
            or len(data.data) != min(opening.block, opening.length - data.offset)
        ):
            return
        block = data.offset // opening.block
        ahead = block - self._base - 1
        if ahead >= MASK_BITS or ahead < -1 or (ahead >= 0 and self._mask >> ahead & 1):
            return
        self._write(opening.input, opening.start + data.offset, data.data)
        if ahead >= 0:
            self._mask |= 1 << ahead
            return
        self._base += 1
        while self._mask & 1:
            self._base += 1
            self._mask >>= 1
        self._mask >>= 1
        if self._base * opening.block >= opening.length:
            whole = zlib.crc32(self._read(opening.input, opening.start, opening.length))
            self.status = m.TransferStatus.COMPLETE if whole == opening.crc else m.TransferStatus.DIGEST

    def lose_input(self) -> None:
        """Give up an unfinished transfer, because its input is about to be lost."""
        if self.status == m.TransferStatus.RECEIVING:
            self.status = m.TransferStatus.BAD_INPUT

    def on_probe(self, number: int) -> None:
        """Take note of the number."""
        self._saw(number)

    def ack(self) -> tuple[int, m.Ack]:
        """Return (number, message) of the acknowledgement that is due."""
        if self._open is None:
            return self.highest, m.Ack(0, m.TransferStatus.NONE, 0, 0, 0)
        base = min(self._base * self._open.block, self._open.length)
        return self.highest, m.Ack(self._open.transfer, self.status, 0, base, self._mask)

    def _saw(self, number: int) -> None:
        if m.newer(number, self.highest):
            self.highest = number
