"""The host's end of a `bench` line: greeting, requests with their replies, and coming back after a loss."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable
from typing import TypeVar

from harness.errors import BoardError
from harness.wire import messages as m
from harness.wire.framing import Decoder, encode, encoded_size
from harness.wire.greeting import greet
from harness.wire.pace import SMALLEST_BLOCK, AnswerTime
from harness.wire.patience import DEFAULT, Countdown, Patience
from harness.wire.port import Port, PortLost
from harness.wire.reconnect import reconnect, stayed_away
from harness.wire.session import DeviceRefused, DeviceReset, Incidents, NoAnswer

READ_BYTES = 65536
HOST_MAX_FRAME = 65536
"""Line bytes of the longest frame that this client takes."""
LARGEST_BLOCK = 32768
SLOWEST_LINE = 11520
"""Bytes per second of the slowest line on which a long reply is not asked for again: 115200 baud."""
LONGEST_WAIT_S = AnswerTime.LONGEST_S
"""Between two tries of a request."""
LONGEST_SLOW_WAIT_S = 2.0
"""The same if a device may be busy: its buffer must hold all the tries meanwhile."""
GREET_AGAIN_S = 1.0

_R = TypeVar("_R", bound=m.Message)


class BenchLink:
    """A greeted device; `device` is its Welcome.

    `on_stream(number, message)` gets all but replies to `ask`.
    """

    def __init__(self, port: Port, patience: Patience, on_stream: Callable[[int, m.Message], None]) -> None:
        self.port = port
        self.patience = patience
        self._on_stream = on_stream
        self._token = secrets.randbits(32) | 1
        self._decoder = Decoder(HOST_MAX_FRAME)
        self._number = 0
        self._awaited: int | None = None
        self._reply: m.Message | None = None
        self._posted: tuple[m.Message, int] | None = None
        self._welcome: m.Welcome | None = None
        self.answer_time = AnswerTime()
        self.incidents = Incidents(port)
        self.retransmissions = 0
        """Blocks and requests that were sent more than once."""
        self.device = self._greet()

    @property
    def alive(self) -> bool:
        """Whether the device replies while it invokes, too."""
        return bool(self.device.capabilities & m.Capability.ALIVE)

    # ---- requests

    def ask(
        self, request: m.Message, reply: type[_R], seconds: float | None = None, reply_bytes: int = 0
    ) -> _R:
        """Send a request until its reply arrives; the device carries it out once, however often it gets it.

        Args:
            seconds: the patience for a reply that may take long; None: that for any other.
            reply_bytes: bytes of the reply, if they are many.

        Raises:
            DeviceRefused, NoAnswer, DeviceReset.
        """
        self._awaited, self._reply = self._next_number(), None
        patience = Countdown(self.port, self.patience.request_s if seconds is None else seconds)
        longest = LONGEST_WAIT_S if seconds is None else LONGEST_SLOW_WAIT_S
        first, sent, wait = self.port.now(), 0, self.answer_time.wait
        while self._reply is None:
            try:
                self._write_request(request, self._awaited)
                sent += 1
                self._await_reply(patience, wait + reply_bytes / SLOWEST_LINE)
            except PortLost as error:
                self.reconnect(error)
                patience.renew()
                continue
            if self._reply is None and patience.over:
                raise NoAnswer(
                    f"the board at {self.port.url} did not answer {type(request).__name__} "
                    f"within {patience.seconds:g} s"
                )
            wait = min(wait * 2, longest)
        self._awaited = None
        self.retransmissions += sent - 1
        if sent == 1 and not reply_bytes and seconds is None:
            self.answer_time.answered(self.port.now() - first)
        return self._checked_reply(request, self._reply, reply)

    def _await_reply(self, patience: Countdown, seconds: float) -> None:
        again = Countdown(self.port, seconds, within=patience)
        while self._reply is None and not again.over:
            self.receive(again.wait())

    def _checked_reply(self, request: m.Message, got: m.Message, reply: type[_R]) -> _R:
        if isinstance(got, m.Refusal):
            code = m.ErrorCode(got.code).name if got.code in set(m.ErrorCode) else f"error {got.code}"
            text = got.text or "no reason given"
            raise DeviceRefused(
                f"the board refused {type(request).__name__}: {text} ({code})", code, got.detail
            )
        if not isinstance(got, reply):
            raise self.protocol_error(f"{type(got).__name__} in reply to {type(request).__name__}")
        return got

    def post(self, request: m.Message) -> None:
        """Send a request, or once more the one that is unanswered; its reply goes to `on_stream`."""
        if self._posted is None:
            self._posted = request, self._next_number()
        self.write(*self._posted)

    def tell(self, request: m.Message) -> None:
        """Send a request once, and do not wait for its reply."""
        self._write_request(request, self._next_number())

    def _write_request(self, request: m.Message, number: int) -> None:
        if self._posted is not None:
            self.write(*self._posted)  # a device takes requests in order only
        self.write(request, number)

    def receive(self, timeout: float) -> bool:
        """Read for up to `timeout` seconds; return whether the device sent anything in this session."""
        data = self.port.read(READ_BYTES, timeout)
        heard = False
        for body in self._decoder.feed(data) if data else ():
            assert isinstance(body, bytes)
            if m.session_of(body) != self._token:
                continue
            try:
                envelope = m.unpack(body)
            except m.Malformed as error:
                raise self.protocol_error(
                    f"a message that does not fit version {m.VERSION} ({error})"
                ) from error
            heard = True
            self._dispatch(envelope.number, envelope.message)
        return heard

    def _dispatch(self, number: int, message: m.Message) -> None:
        posted = self._posted is not None and number == self._posted[1]
        if isinstance(message, m.Ack | m.Samples):
            self._on_stream(number, message)
        elif isinstance(message, m.Welcome):
            self._welcome = message
        elif isinstance(message, m.Refusal) and message.code == m.ErrorCode.NO_SESSION:
            if self._welcome is not None:
                raise DeviceReset(
                    f"the board at {self.port.url} was reset, or another program has greeted it"
                )
        elif posted:
            self._posted = None
            self._on_stream(number, message)
        elif number == self._awaited:
            self._reply = message

    def write(self, message: m.Message, number: int = 0) -> None:
        """Send a message; requests go through `ask`, `post` or `tell`."""
        self.port.write(encode(m.pack(number, self._token, message)))

    def _next_number(self) -> int:
        self._number = (self._number + 1) & 0xFFFF
        return self._number

    # ---- greeting, and coming back

    def _greet(self) -> m.Welcome:
        return self._checked(
            greet(
                self.port,
                Countdown(self.port, self.patience.first_sign_s),
                "bench",
                "the bench protocol",
                self._hello,
                self._overhear,
                lambda: self._decoder.outside,
                self.patience.trouble,
            )
        )

    def _hello(self) -> None:
        self.write(m.Hello(m.OLDEST_VERSION, m.VERSION, 0, HOST_MAX_FRAME))

    def _overhear(self, seconds: float) -> m.Welcome | None:
        """Return the answer to a greeting if it has arrived; wait up to `seconds` for more bytes."""
        self.receive(seconds)
        return self._welcome

    def _checked(self, welcome: m.Welcome) -> m.Welcome:
        if not m.OLDEST_VERSION <= welcome.version <= m.VERSION:
            which = "firmware" if welcome.newest < m.OLDEST_VERSION else "harness"
            raise NoAnswer(
                f"the board at {self.port.url} speaks bench protocol {welcome.oldest} to {welcome.newest}, "
                f"this harness {m.OLDEST_VERSION} to {m.VERSION}: update the {which}"
            )
        least = encoded_size(m.DATA_OVERHEAD + min(welcome.max_block, SMALLEST_BLOCK))
        if welcome.max_block == 0 or welcome.window < least:
            raise self.protocol_error(f"a window of {welcome.window} bytes for blocks of {welcome.max_block}")
        if welcome.sample_buffer == 0:
            raise self.protocol_error("room for 0 samples")
        room = welcome.window - encoded_size(m.DATA_OVERHEAD)
        return dataclasses.replace(
            welcome, max_block=min(welcome.max_block, room - room // 128, LARGEST_BLOCK)
        )

    def reconnect(self, error: PortLost) -> None:
        """Wait for a port that went away; raises if it stays away, DeviceReset after a reboot."""
        self.incidents.note("port-lost", str(error))
        boot = self.device.boot
        self.device = self._checked(reconnect(self.port, self.patience.slow_request_s, True, self._take_up))
        if self.device.boot != boot:
            self._begin_anew()
            raise DeviceReset(f"the board at {self.port.url} went away and came back reset")
        self.incidents.note("reconnected", f"port {self.port.url} came back; the board had kept its state")

    def regreet(self) -> None:
        """Greet a device that has lost its session; raises if it does not come back."""
        self.device = self._checked(reconnect(self.port, self.patience.slow_request_s, False, self._take_up))
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._number = 0
        self._posted = None

    def _take_up(self, patience: Countdown) -> m.Welcome:
        self._decoder.drop_partial()
        self._welcome = None
        wait = self.answer_time.wait
        while not patience.over:
            self._hello()
            again = Countdown(self.port, wait, within=patience)
            while not again.over:
                if (welcome := self._overhear(again.wait())) is not None:
                    return welcome
            wait = min(wait * 2, GREET_AGAIN_S)
        raise stayed_away(self.port, self.patience.slow_request_s)

    def plausible(self, count: int, most: int, what: str) -> int:
        """Return `count`; raises BoardError if it is above `most`."""
        if count > most:
            raise self.protocol_error(f"{count} {what} (at most {most} make sense)")
        return count

    def protocol_error(self, what: str) -> BoardError:
        """Return the error to raise if a device's message breaks the protocol."""
        return BoardError(
            f"the board at {self.port.url} reports {what}: its firmware does not keep the protocol"
        )


def ask_for_reset(port: Port, patience: Patience = DEFAULT) -> bool:
    """Have the bench firmware on an open port reset its board; False if none answers in time."""
    try:
        link = BenchLink(port, patience, lambda number, message: None)
        with contextlib.suppress(DeviceReset):  # raised if it resets before its reply is out
            link.ask(m.Reset(), m.Resetting)
    except (NoAnswer, DeviceRefused):
        return False
    return True
