"""The device's end of the sample stream: a run, and the samples that the host has not acknowledged."""

from __future__ import annotations

import struct

from harness.wire import messages as m

SAMPLES_PER_FRAME = 16


class RunProgress:
    """A run and its samples; those that the host has acknowledged are forgotten."""

    def __init__(
        self,
        id: int = 0,
        state: m.RunState = m.RunState.IDLE,
        warmup: int = 0,
        n: int = 0,
        profile: bool = False,
        outputs: int = 0,
    ) -> None:
        self.id = id
        self.state = state
        self.warmup = warmup
        self.n = n
        self.profile = profile
        self.outputs = outputs
        self.error = 0
        self.text = ""
        self.ticks: list[int] = []
        self.acked = 0
        self.sent = 0
        self.last_sent = 0
        self.end_untold = False
        """Whether the run has been aborted and no frame has said so yet."""

    @property
    def going(self) -> bool:
        """Whether the run has invokes to do."""
        return self.state in (m.RunState.WARMING, m.RunState.MEASURING)

    @property
    def kept(self) -> int:
        """Samples that are kept for the host."""
        return len(self.ticks)

    @property
    def done(self) -> int:
        """Samples that have been taken."""
        return self.acked + len(self.ticks)

    @property
    def unsent(self) -> int:
        """Samples that have not been sent, or are to be sent again."""
        return self.done - self.sent

    def acknowledge(self, ack: m.SamplesAck) -> bool:
        """Forget what has arrived; return whether the host wants the rest at once."""
        if ack.run != self.id or self.id == 0:
            return False
        if self.acked < ack.next <= self.done:
            del self.ticks[: ack.next - self.acked]
            self.acked = ack.next
            self.sent = max(self.sent, ack.next)
        if ack.flags & m.RESEND:
            self.sent = self.acked
            return True
        return False

    def frames(self) -> list[m.Samples]:
        """Return frames of what is unsent; if there is nothing, one empty frame with the state."""
        found = []
        while True:
            at = self.sent - self.acked
            part = self.ticks[at : at + SAMPLES_PER_FRAME]
            last = self.sent + len(part) == self.done
            state = self.state if last else m.RunState.MEASURING
            raw = struct.pack(f"<{len(part)}Q", *part)
            found.append(m.Samples(self.id, state, self.error, self.sent, raw))
            self.sent += len(part)
            if last:
                return found
