"""The answer to "will it run?": yes or no, why not, and what else there is to know before one flashes.

`judge` is the one judgement: `harness check` prints it, and a bench plans by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import extras
from harness.boards import Profile
from harness.check import firmware as firmwares
from harness.check import reasons as checking
from harness.check.firmware import FirmwareLimits
from harness.check.forecast import deployed, time
from harness.check.memory import MemoryNeed, ram
from harness.check.reasons import Reason
from harness.models import ethosu, vela
from harness.models.graph import Model
from harness.models.ops import ETHOS_U
from harness.models.vela import Compiled


@dataclass(frozen=True, slots=True)
class Verdict:
    """What speaks against `model` on `board` with `firmware`.

    `deployed` is the file that the board gets and that was judged; `compiled` is Vela's account of it if
    there is one. If Vela refuses the model, that is the one reason, and `deployed` is the model itself.
    """

    model: Model
    board: Profile
    firmware: FirmwareLimits
    deployed: Model
    compiled: Compiled | None
    reasons: tuple[Reason, ...]

    @property
    def runs(self) -> bool:
        return not self.reasons

    @property
    def why_not(self) -> str | None:
        """Everything that speaks against it in a line; None if it runs."""
        return "; ".join(str(reason) for reason in self.reasons) or None

    @property
    def is_compiled_first(self) -> bool:
        """Whether the board gets what Vela makes of the model rather than the model."""
        return self.deployed is not self.model

    @property
    def ram(self) -> MemoryNeed:
        return ram(self.deployed, self.board)


def judge(model: Model, board: Profile, firmware: FirmwareLimits, *, address: int | None = None) -> Verdict:
    """Say whether `model` will run on `board` with `firmware`, as a bench would run it.

    A model for a board with an NPU is compiled first, if it is not yet, and what goes on the board is
    judged: what Vela made of it, or the model itself if Vela finds nothing for the NPU. `address` is where
    in flash it is to be written, None for the board's usual place.

    Raises ModelError for a damaged model; what Vela has against a model, or that there is no Vela to compile
    it, is a reason.
    """
    try:
        file, compiled = deployed(model, board)
    except vela.VelaError as error:
        against = Reason("not compiled", str(error), "change what Vela names, or take another model")
    except extras.MissingPackage as error:
        against = Reason("not compiled", error.needs, error.remedy)
    else:
        found = checking.reasons(file, board, firmware, address=address)
        return Verdict(model, board, firmware, file, compiled, tuple(found))
    return Verdict(model, board, firmware, model, None, (against,))


def notes(verdict: Verdict) -> Iterator[str]:
    """Yield what else there is to know: what runs where, other firmwares, and what flashing asks for."""
    board, firmware = verdict.board, verdict.firmware
    if verdict.is_compiled_first and verdict.compiled:
        made = verdict.compiled
        yield f"a bench compiles it for {made.accelerator} with Vela {made.version}, and that is judged"
    yield from _left_over(verdict)
    already = {reason.what for reason in verdict.reasons}
    for other in firmwares.others(board, firmware):
        against = checking.reasons(verdict.deployed, board, other)
        against = [r for r in against if r.what not in already]
        if against:
            named = f"the firmware '{other.name}'"
            yield f"{named} would refuse it: {against[0].what.replace(named, 'that firmware')}"
    yield from (f"flashing: {advice}" for advice in board.flash.advice)


def _left_over(verdict: Verdict) -> Iterator[str]:
    """Say what runs on the NPU and what on the CPU, and what that costs."""
    file, board = verdict.deployed, verdict.board
    if board.vela is None or any(reason.kind == "not compiled" for reason in verdict.reasons):
        return
    if not ethosu.is_compiled(file):
        yield f"Vela finds nothing in it for the NPU: it runs on the {board.chip.core} alone"
        return
    left = [o.label for g in file.subgraphs for o in g.operators if o.label != ETHOS_U]
    if not left:
        yield "all of it runs on the NPU"
        return
    spent = time(file, board, verdict.compiled)
    cost = sum(layer.seconds or 0 for layer in spent.layers if layer.target == "CPU")
    known = (
        f"about {cost * 1e3:.3g} ms" if cost else "what that costs is not known: nothing is published for it"
    )
    names = ", ".join(dict.fromkeys(left))
    yield f"Vela left {len(left)} operator(s) on the {board.chip.core}: {names} ({known})"
