"""The pin that a firmware raises for each invoke, for a meter that is wired to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.emulator.engine import Engine, Invoked, Loaded, ModelEntry


class PinnedEngine:
    """An engine whose invokes are held up until the pin has been high for as long as they took."""

    def __init__(self, engine: Engine, tick_hz: int, pin: Callable[[float], None]) -> None:
        """`pin(seconds)` raises the pin for so long, and returns when it is low again."""
        self._engine = engine
        self._tick_hz = tick_hz
        self._pin = pin
        self.alive = engine.alive

    def models(self) -> Sequence[ModelEntry]:
        return self._engine.models()

    def read(self, address: int, length: int) -> bytes:
        return self._engine.read(address, length)

    def ticks(self) -> int:
        return self._engine.ticks()

    def begin_load(self, address: int) -> None:
        self._engine.begin_load(address)

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        self._engine.begin_invoke(inputs, profile)

    def poll(self) -> Loaded | Invoked | None:
        """As in Engine; what an invoke took is known only once it is done, so the pin follows it."""
        outcome = self._engine.poll()
        if isinstance(outcome, Invoked):
            self._pin(outcome.ticks / self._tick_hz)
        return outcome

    def cancel(self) -> None:
        self._engine.cancel()
