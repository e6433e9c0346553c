"""Single messages to a device, for what a well-behaved host would never send."""

from __future__ import annotations

from typing import TypeVar

from harness.wire import messages as m
from harness.wire.framing import Decoder, encode
from harness.wire.port import Port

PATIENCE_S = 20.0
QUIET_S = 0.1

_M = TypeVar("_M", bound=m.Message)


class RawHost:
    """A host that says what it is told to, and keeps what it hears."""

    def __init__(self, port: Port, session: int = 0x1A2B3C4D) -> None:
        self.port = port
        self.session = session
        self.number = 0
        self._decoder = Decoder(1 << 16)
        self._heard: list[m.Envelope] = []

    def say(self, message: m.Message, number: int = 0, session: int | None = None) -> None:
        """Send a message."""
        self.say_body(m.pack(number, self.session if session is None else session, message))

    def say_body(self, body: bytes) -> None:
        """Send a frame with this body."""
        self.port.write(encode(body))

    def hear(self, kind: type[_M], patience_s: float = PATIENCE_S) -> tuple[int, _M]:
        """Return number and content of the next message, which must be of this kind."""
        until = self.port.now() + patience_s
        while not self._heard and self.port.now() < until:
            self._listen(until - self.port.now())
        assert self._heard, f"no {kind.__name__} came"
        envelope = self._heard.pop(0)
        assert envelope.session == self.session
        assert isinstance(envelope.message, kind), envelope.message
        return envelope.number, envelope.message

    def hear_nothing(self) -> None:
        """Wait for a little, in which nothing must come."""
        until = self.port.now() + QUIET_S
        while self.port.now() < until:
            self._listen(until - self.port.now())
        assert not self._heard, self._heard

    def _listen(self, timeout_s: float) -> None:
        for body in self._decoder.feed(self.port.read(65536, timeout_s)):
            assert isinstance(body, bytes)
            self._heard.append(m.unpack(body))

    def ask(self, request: m.Message, reply: type[_M]) -> _M:
        """Send the next request and return its reply."""
        self.number = (self.number + 1) & 0xFFFF
        self.say(request, self.number)
        number, message = self.hear(reply)
        assert number == self.number
        return message

    def refused(self, request: m.Message) -> m.ErrorCode:
        """Send the next request, which must be refused, and return with what."""
        return m.ErrorCode(self.ask(request, m.Refusal).code)

    def greet(self, session: int | None = None) -> m.Welcome:
        """Begin a session, of another number where one is given."""
        if session is not None:
            self.session = session
        self.number = 0
        self.say(m.Hello(2, 2, 0, 65536))
        return self.hear(m.Welcome)[1]
