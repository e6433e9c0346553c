"""A firmware's engine at work: the loaded model, its inputs, one piece of work at a time."""

from __future__ import annotations

from collections.abc import Callable

from harness.emulator.engine import Engine, EngineError, Invoked, Loaded

Then = Callable[[Loaded | Invoked | EngineError], None]
"""Called with the outcome of a piece of work. It may begin the next."""


class Work:
    """The engine as a firmware sees it. `poll` carries on with what has been done meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._then: Then | None = None
        self._refused: EngineError | None = None
        self._began = 0
        self.model: Loaded | None = None
        """The model that is loaded."""
        self.address: int | None = None
        """Its address in flash; while another model is being loaded, that one's."""
        self.inputs: list[bytearray] = []
        self.outputs: tuple[bytes, ...] = ()
        self.layers: tuple[tuple[str, int], ...] = ()
        """(operator, ticks) of the last profiled invoke."""

    @property
    def going(self) -> bool:
        """Whether a piece of work is under way."""
        return self._then is not None

    @property
    def ready(self) -> bool:
        """Whether `poll` has something to carry on with, as far as can be said without asking."""
        return self.going and (self._refused is not None or not self._engine.alive)

    @property
    def ticks(self) -> int:
        """Ticks since the piece of work that is under way began, at least 1; 0: none is."""
        return max(self._engine.ticks() - self._began, 1) if self.going else 0

    def load(self, address: int, then: Then) -> None:
        """Begin to load the model at a flash address; until then no model is loaded."""
        self.cancel()
        self.model, self.address, self.inputs, self.outputs, self.layers = None, address, [], (), ()
        self._begin(lambda: self._engine.begin_load(address), then)

    def invoke(self, profile: bool, then: Then) -> None:
        """Begin to run the model."""
        inputs = [bytes(data) for data in self.inputs]
        self._begin(lambda: self._engine.begin_invoke(inputs, profile), then)

    def _begin(self, begin: Callable[[], None], then: Then) -> None:
        self._then, self._began, self._refused = then, self._engine.ticks(), None
        try:
            begin()
        except EngineError as error:
            self._refused = error

    def poll(self) -> None:
        """Carry on with what is done."""
        if self._then is None:
            return
        outcome: Loaded | Invoked | EngineError | None
        try:
            outcome = self._refused or self._engine.poll()
        except EngineError as error:
            outcome = error
        if outcome is None:
            return
        then, self._then = self._then, None
        if isinstance(outcome, Loaded):
            self.model = outcome
            self.inputs = [bytearray(spec.bytes) for spec in outcome.inputs]
            self.outputs = tuple(bytes(spec.bytes) for spec in outcome.outputs)
        elif isinstance(outcome, Invoked):
            self.outputs, self.layers = outcome.outputs, outcome.layers or self.layers
        then(outcome)

    def cancel(self) -> None:
        """Break off what is under way."""
        if self._then is not None:
            self._then = None
            self._engine.cancel()
