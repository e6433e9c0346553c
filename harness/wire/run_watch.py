"""Following a run on a device: take its samples, ask for its progress, and give up if it does not end."""

from __future__ import annotations

import math

from harness.wire import messages as m
from harness.wire.bench_link import BenchLink
from harness.wire.patience import Countdown
from harness.wire.port import PortLost
from harness.wire.run_view import RunView
from harness.wire.session import InvokeOutlasts, NoAnswer

SHORTEST_POLL_S = 0.1
LONGEST_POLL_S = 8.0
POLLS = 4
"""A device that replies while it invokes is asked at least this often before it counts as dead."""


class RunWatch:
    """Watches one run until its last sample is there."""

    def __init__(self, link: BenchLink, view: RunView, tick_hz: int) -> None:
        self._link = link
        self._view = view
        self._tick_hz = tick_hz
        self._progress = (-1, -1)
        self._invoke = Countdown(link.port, link.patience.invoke_s)
        # If a device does not reply while it invokes, its silence means nothing.
        self._silence = Countdown(link.port, link.patience.request_s if link.alive else math.inf)
        self._poll_s = self._poll_at = 0.0

    def follow(self) -> None:
        """Follow the started run until it is over.

        Raises InvokeOutlasts, NoAnswer, DeviceReset.
        """
        self._invoke.renew()
        self._heard()
        while not self._view.over:
            try:
                self._listen()
                self._give_up_or_ask()
            except PortLost as error:
                self._link.reconnect(error)
                self._invoke.renew()
                self._heard()
                self._poll_at = 0.0

    def take(self, message: m.Message) -> None:
        """Take what the device says of the run."""
        if isinstance(message, m.Samples):
            before = self._view.next
            self._view.take(message)
            if self._view.next > before:
                self._invoke.renew()
                self._link.write(m.SamplesAck(self._view.id, 0, self._view.next))
        elif isinstance(message, m.RunStatus) and message.run == self._view.id:
            self._on_status(message)

    def _on_status(self, status: m.RunStatus) -> None:
        progress = (status.warmup, status.done)
        if status.busy:
            self._invoke.renew(self._invoke.seconds - status.busy / self._tick_hz)
        elif progress != self._progress:
            self._invoke.renew()
        self._progress = progress
        ended = status.state not in (m.RunState.WARMING, m.RunState.MEASURING)
        if status.done > self._view.next or (ended and not self._view.over):
            self._view.gap = True

    def _listen(self) -> None:
        wait = max(0.0, self._poll_at - self._link.port.now())
        if self._link.receive(min(self._invoke.wait(wait), self._silence.wait(wait))):
            self._heard()

    def _heard(self) -> None:
        """Take note that the device is alive: there is no need to ask for a while."""
        self._silence.renew()
        self._poll_s = max(self._link.answer_time.wait, SHORTEST_POLL_S)
        self._poll_at = self._link.port.now() + self._poll_s

    def _give_up_or_ask(self) -> None:
        view, link = self._view, self._link
        if view.over:
            return
        if self._invoke.over:
            raise InvokeOutlasts(self._invoke.seconds, link.port, view.next, view.n)
        if self._silence.over:
            raise NoAnswer(
                f"the board at {link.port.url} gave no sign of life for {self._silence.seconds:g} s "
                f"in a run, after {view.next} of {view.n} samples"
            )
        if view.gap:
            view.gap = False
            link.write(m.SamplesAck(view.id, m.RESEND, view.next))
        if link.port.now() >= self._poll_at:
            link.post(m.GetRun())
            self._poll_s = min(2 * self._poll_s, LONGEST_POLL_S, self._silence.seconds / POLLS)
            self._poll_at = link.port.now() + self._poll_s
