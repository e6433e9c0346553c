"""A board whose firmware does not keep the protocol: its messages are changed on the way out."""

from __future__ import annotations

from collections.abc import Callable

from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.firmware import Firmware
from harness.wire import messages as m
from harness.wire.framing import Decoder, encode
from tests.wire.rig import BusyToy
from tests.wire.toy import INFO


class Tampering(Firmware):
    """A bench firmware with `change` between it and the line; None from `change` is silence."""

    def __init__(self, engine: BusyToy, boot: int, change: Callable[[m.Message], m.Message | None]) -> None:
        super().__init__()
        self._inner = BenchFirmware(INFO, engine, boot=boot)
        self._change = change
        self._decoder = Decoder(1 << 20)

    @property
    def busy(self) -> bool:
        return self._inner.busy

    @property
    def buffered(self) -> int:
        return self._inner.buffered

    def receive(self, data: bytes) -> None:
        self._inner.receive(data)
        self._pass_on()

    def step(self) -> None:
        self._inner.step()
        self._pass_on()

    def _pass_on(self) -> None:
        for body in self._decoder.feed(self._inner.take_output()):
            assert isinstance(body, bytes)
            envelope = m.unpack(body)
            changed = self._change(envelope.message)
            if changed is not None:
                self._out += encode(m.pack(envelope.number, envelope.session, changed))


class Talker(Firmware):
    """Says the same thing to whatever it hears, or nothing."""

    busy = False
    buffered = 0

    def __init__(self, words: bytes) -> None:
        super().__init__()
        self._words = words

    def receive(self, data: bytes) -> None:
        self._out += self._words

    def step(self) -> None:
        pass
