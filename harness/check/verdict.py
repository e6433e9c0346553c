"""The answer to "will it run?": yes or no, why not, and what else there is to know before one flashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.boards import Profile
from harness.check import firmware as firmwares
from harness.check import reasons as checking
from harness.check.firmware import Firmware
from harness.check.forecast import deployed, time
from harness.check.memory import Ram, ram
from harness.check.reasons import Reason
from harness.models import ethosu, vela
from harness.models.graph import Model
from harness.models.ops import ETHOS_U


@dataclass(frozen=True, slots=True)
class Verdict:
    """`file` is the model that was judged: what Vela made of it where it was compiled for that."""

    model: str
    board: str
    firmware: Firmware
    compiled: bool
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]
    ram: Ram

    @property
    def runs(self) -> bool:
        return not self.reasons


def judge(
    model: Model,
    board: Profile,
    firmware: Firmware,
    *,
    address: int | None = None,
    compile_first: bool = False,
) -> Verdict:
    """Say whether `model` will run on `board` with `firmware`.

    With `compile_first` an int8 model for a board with an NPU is compiled, and what goes on the board judged:
    what Vela made of it, or the model itself where Vela finds nothing for the NPU.
    Raises ModelError for a damaged model; what Vela has against a model is a reason.
    """
    file, found, compiled = model, [], False
    compile_first = compile_first and board.model_format == "vela" and not ethosu.is_compiled(model)
    if compile_first:
        found = checking.reasons(model, board, firmware, will_compile=True)
        if not found:
            try:
                file, _ = deployed(model, board)
                compiled = True
            except vela.VelaError as error:
                found = [Reason("not compiled", str(error), "change what Vela names, or take another model")]
    if not found:
        found = checking.reasons(file, board, firmware, address=address, after_vela=compiled)
    return Verdict(
        model=model.name,
        board=board.id,
        firmware=firmware,
        compiled=file is not model,
        reasons=tuple(found),
        notes=tuple(_notes(file, board, firmware, found, after_vela=compile_first)),
        ram=ram(file, board),
    )


def _notes(
    file: Model, board: Profile, firmware: Firmware, found: list[Reason], *, after_vela: bool
) -> Iterator[str]:
    yield from _left_over(file, board, after_vela=after_vela and not found)
    already = {reason.what for reason in found}
    for other in firmwares.others(board, firmware):
        against = checking.reasons(file, board, other, after_vela=after_vela)
        against = [r for r in against if r.what not in already]
        if against:
            named = f"the firmware '{other.name}'"
            yield f"{named} would refuse it: {against[0].what.replace(named, 'that firmware')}"
    yield from _flashing(board)


def _left_over(file: Model, board: Profile, *, after_vela: bool) -> Iterator[str]:
    """Say what Vela left on the CPU, and what that costs."""
    if board.vela is None:
        return
    if not ethosu.is_compiled(file):
        if after_vela or ethosu.is_left_to_cpu(file):
            yield f"Vela finds nothing in it for the NPU: it runs on the {board.chip.core} alone"
        return
    left = [o.label for g in file.subgraphs for o in g.operators if o.label != ETHOS_U]
    if not left:
        return
    spent = time(file, board, deployed(file, board)[1])
    cost = sum(layer.seconds or 0 for layer in spent.layers if layer.target == "CPU")
    known = (
        f"about {cost * 1e3:.3g} ms" if cost else "what that costs is not known: nothing is published for it"
    )
    names = ", ".join(dict.fromkeys(left))
    yield f"Vela left {len(left)} operator(s) on the {board.chip.core}: {names} ({known})"


def _flashing(board: Profile) -> Iterator[str]:
    """Say what people trip over when they flash this board."""
    if board.flash.xmodem is not None:
        window = board.flash.xmodem.window_s * 1e3
        yield (
            f"flashing: the boot loader listens for {window:g} ms after a reset, so start the tool first and "
            "press reset then"
        )
    if board.flash.uf2 is not None:
        yield (
            f"flashing: the drive {board.flash.uf2.drive_labels[0]} disappears by itself once it has taken a "
            "file; firmware and model each need the boot loader anew"
        )
