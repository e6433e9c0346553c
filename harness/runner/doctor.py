"""Doctor: the way from the box to a number, step by step, and what is wrong where it does not go on.

Nothing on an attached board is changed unless flashing is asked for. Looking into an ESP32's boot loader
resets the board, which changes nothing in its flash.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from harness import boards
from harness.boards import Profile
from harness.chips import console
from harness.errors import BoardError, HarnessError
from harness.firmware import manifest
from harness.flash.method import enter, no_progress
from harness.models import tensors
from harness.models.resolve import resolve
from harness.runner import fitting
from harness.runner.attached import DRIVE, EMULATED, Attached, everything
from harness.runner.deploy import Deployed, deploy
from harness.runner.flash import flash, model_file
from harness.runner.greet import Greeted, greet, greet_flashed
from harness.runner.missing import holds
from harness.runner.plan import DEFAULT_MODEL
from harness.runner.reach import Reach, Shelf
from harness.wire.clock import TELLING_PPM, ClockCheck
from harness.wire.holders import holders, named
from harness.wire.patience import Patience
from harness.wire.port import SerialPort
from harness.wire.protocol import PROTOCOLS, connect
from harness.wire.session import ModelInfo, NoAnswer, Session

Outcome = Literal["ok", "failed", "not possible"]

TENSORS = 100
SPOILT = 0.1
"""A line that has more than this part of the tensors sent again is not a sound one."""
CLOCK_S = 2.0
"""Between two looks at the clocks: a round trip of 1 ms then leaves 1 in 1000 uncertain."""
RECOGNISE_S = 2.0
_PATIENCE = Patience(first_sign_s=3.0, invoke_s=600.0, trouble=console.trouble)
_TTYS, _USB = Path("/sys/class/tty"), Path("/sys/bus/usb/devices")


class NotPossible(Exception):
    """A step that cannot be taken here, which is nobody's fault."""


@dataclass(frozen=True)
class StepResult:
    """What came of a step: `text` says what was found, or why not and what to do."""

    step: str
    outcome: Outcome
    text: str


@dataclass
class Walk:
    """What the steps so far have found, for those that follow."""

    board: Profile
    port: str
    attached: Attached | None
    reached: Reach
    flash: bool
    protocol: str | None
    stack: ExitStack
    greeted: Greeted | None = None
    address: int | None = None
    info: ModelInfo | None = None

    @property
    def device(self) -> str:
        """The port's device file; raises NotPossible if the port is none of this computer's."""
        if self.port == EMULATED:
            raise NotPossible("the board is an emulated one, a process on this computer")
        if self.port.startswith(DRIVE):
            raise NotPossible("there is no port, only the boot loader's drive")
        if "://" in self.port:
            raise NotPossible(f"the port is another computer's or program's: {self.port}")
        return self.port

    @property
    def session(self) -> Session:
        """The conversation with the firmware; raises NotPossible if none answers."""
        if self.greeted is None:
            raise NotPossible("no firmware answers")
        return self.greeted.session

    @cached_property
    def model(self) -> Deployed:
        """The bundled model, as the board takes it."""
        return deploy(resolve(DEFAULT_MODEL), self.board)


@dataclass(frozen=True)
class Step:
    """A step of the way: `take` returns what it found; raises HarnessError or NotPossible."""

    name: str
    take: Callable[[Walk], str]


def examine(
    board: str | None = None, port: str | None = None, protocol: str | None = None, *, flash: bool = False
) -> Iterator[StepResult]:
    """Walk from the cable to an invoke, and yield what comes of each step as soon as it is known.

    Args:
        board: a board id or the path of a profile; None = known by its USB id or by what it answers.
        port: a pyserial URL or "emulated"; None = the attached board's.
        protocol: what the firmware should speak; None = whichever of the board's protocols answers.
        flash: write firmware and the bundled model onto the board; an emulated one gets them in any case.

    Raises HarnessError if there is no such board or protocol.
    """
    profile = fitting.load(board) if board else None
    if protocol is not None:
        PROTOCOLS.get(protocol)
    with ExitStack() as stack:
        try:
            attached, port = _find(profile, port)
            profile = profile or _recognise(attached, port)
            reached = stack.enter_context(stack.enter_context(Shelf()).reach(profile, port))
        except HarnessError as error:
            yield StepResult("cable", "failed", str(error))
            return
        walk = Walk(profile, port, attached, reached, flash, protocol, stack)
        for step in STEPS:
            yield _taken(step, walk)


def _taken(step: Step, walk: Walk) -> StepResult:
    try:
        return StepResult(step.name, "ok", step.take(walk))
    except NotPossible as reason:
        return StepResult(step.name, "not possible", str(reason))
    except HarnessError as error:
        return StepResult(step.name, "failed", str(error))


def _find(board: Profile | None, port: str | None) -> tuple[Attached | None, str]:
    """Return what is attached at the port, if it is seen, and the port; raises HarnessError if none is."""
    if port == EMULATED:
        return None, port
    there = everything(board)
    if port is not None:
        real = os.path.realpath(port)
        return next((item for item in there if item.where in (port, real)), None), port
    fitting_ones = [item for item in there if (board.id in item.boards if board else item.boards)]
    ports = [item for item in fitting_ones if item.kind == "port"] or fitting_ones
    if len(ports) > 1:
        raise HarnessError(f"several boards: {', '.join(one.where for one in ports)}; choose with --port")
    if ports:
        found = ports[0]
        return found, found.where if found.kind == "port" else f"{DRIVE}{found.where}"
    known = [usb.id for profile in ([board] if board else boards.all_profiles()) for usb in profile.usb]
    if on_bus := sorted(usb_ids() & set(known)):
        raise HarnessError(
            f"{' and '.join(on_bus)} is plugged in, but has no serial port: its driver is not loaded (try "
            "`sudo modprobe cdc_acm`), or it is in its boot loader, as a drive that is not mounted"
        )
    which = f"{board.id} (USB id {', '.join(usb.id for usb in board.usb)})" if board else "known board"
    others = " or ".join(f"{item.where} ({item.usb_id})" for item in there if item.usb_id)
    raise HarnessError(
        f"no {which} is attached: plug it in with a cable that carries data, not one for charging alone"
        + (f"; if it is {others}, name that with --port" if others else "")
        + f"; without a board, --port {EMULATED} walks through an emulated one"
    )


def usb_ids() -> set[str]:
    """Return the ids of the USB devices that are plugged in, with a port or not, as Linux lists them."""
    found = set()
    for vendor in _USB.glob("*/idVendor"):
        with suppress(OSError):  # it is being unplugged
            product = vendor.with_name("idProduct").read_text().strip()
            found.add(f"{vendor.read_text().strip()}:{product}".upper())
    return found


def _recognise(attached: Attached | None, port: str) -> Profile:
    """Return the board, by its USB id or by what its firmware says; raises HarnessError if neither tells."""
    if port == EMULATED:
        return boards.load("xiao_esp32s3")
    candidates = attached.boards if attached else ()
    if len(candidates) == 1:
        return fitting.load(candidates[0])
    if not port.startswith(DRIVE):
        profiles = [boards.load(name) for name in candidates or boards.ids()]
        line = SerialPort(port, profiles[0].serial.baud)
        try:
            session = connect("bench", line, Patience(first_sign_s=RECOGNISE_S))
            said = session.identify().board
        except BoardError:
            said = ""
        finally:
            line.close()
        if found := next((one for one in profiles if said in (one.id, *one.aliases)), None):
            return found
    which = f" ({' or '.join(candidates)})" if candidates else ""
    raise HarnessError(f"which board is at {port}{which}? Its firmware does not say: name it with --board")


# ---- the steps


def _cable(walk: Walk) -> str:
    if walk.port.startswith(DRIVE):
        return f"only its boot loader's drive is there, at {walk.port.removeprefix(DRIVE)}"
    device, item = walk.device, walk.attached
    if item is None:
        if not os.path.exists(device):
            raise HarnessError(
                f"no port {device}: plug the board in with a cable that carries data, and look with "
                "`harness ports`"
            )
        raise NotPossible(f"{device} is no USB port")
    if item.boards and walk.board.id not in item.boards:
        raise HarnessError(f"{item.usb_id} at {device} is {' or '.join(item.boards)}, not {walk.board.id}")
    number = f", serial number {item.serial_number}" if item.serial_number else ""
    return f"{walk.board.name} at {device}, USB id {item.usb_id or 'unknown'}{number}"


def _driver(walk: Walk) -> str:
    device = os.path.realpath(walk.device)
    if sys.platform != "linux":
        raise NotPossible("which driver has a port is looked up on Linux alone")
    driver = driver_of(Path(device).name)
    if driver is None:
        raise NotPossible(f"no driver of a device has {device}: it is a pseudo-terminal, or not there")
    return f"the system's driver {driver}"


def driver_of(tty: str, ttys: Path = _TTYS) -> str | None:
    """Return the name of the driver behind a tty, as Linux gives it; None if there is none."""
    link = ttys / tty / "device" / "driver"
    return link.resolve().name if link.exists() else None


def _permission(walk: Walk) -> str:
    device = walk.device
    effective = os.access in os.supports_effective_ids
    if os.path.exists(device) and not os.access(device, os.R_OK | os.W_OK, effective_ids=effective):
        walk.reached.open().close()  # raises what to do about it
    return f"you may read and write {device}"


def _holder(walk: Walk) -> str:
    device = walk.device
    others = named(holder for holder in holders(device) if holder.pid != os.getpid())
    if others:
        raise HarnessError(f"{others} has {device} open: close that, and start again")
    walk.reached.open().close()
    return f"nobody else has {device} open, as far as you may see"


def _loader(walk: Walk) -> str:
    ways = {
        "button": "its boot loader is entered by a button, which has to be pressed by hand",
        "touch": "its boot loader is a drive, and only flashing it or its button gets the board out of that",
    }
    if (way := walk.board.flash.enter) in ways:
        raise NotPossible(ways[way])
    if walk.port.startswith("socket://"):
        raise NotPossible("a plain socket has no DTR and RTS, by which the boot loader is entered")
    with enter(walk.reached.target({"stub": False})) as loader:  # a look at the ROM's own loader is enough
        return f"{loader.description} (the board was reset; its flash was not touched)"


def _firmware(walk: Walk) -> str:
    protocol = walk.protocol or walk.board.protocols.default
    wrote = ""
    if walk.flash or walk.reached.emulated:
        written = flash(walk.reached, [model_file(walk.board, walk.model.file)], protocol, no_progress)
        files = ", ".join(outcome.file for outcome in written.outcomes if outcome.did == "written")
        wrote = f"; written now: {files}" if files else ""
        walk.greeted = greet_flashed(walk.reached, protocol, _PATIENCE)
    else:
        walk.greeted = _greeted(walk, [protocol] if walk.protocol else walk.board.protocols.supported)
    walk.stack.callback(walk.greeted.session.close)
    identity = walk.greeted.identity
    protocol = walk.greeted.session.protocol
    text = f"{identity.firmware_name} {identity.firmware_version}".strip()
    image = manifest.for_board(
        walk.board, protocol, "virtual" if identity.virtual or walk.reached.emulated else "hardware"
    )
    if image is None or image.build is None or identity.build_hash is None:
        return f"{text}, by its own account{wrote}"
    if image.build != identity.build_hash:
        raise HarnessError(
            f"{text} (build {identity.build_hash[:12]}) is not the firmware that belongs to {walk.board.id} "
            f"here (build {image.build[:12]}): write that with `harness flash --board {walk.board.id}`"
        )
    return f"{text}, build {image.build[:12]}, which is the one for {walk.board.id}{wrote}"


def _greeted(walk: Walk, protocols: list[str] | tuple[str, ...]) -> Greeted:
    """Return the firmware that answers in one of the protocols; raises the first one's NoAnswer if none."""
    default = walk.board.protocols.default
    said: NoAnswer | None = None
    for protocol in sorted(protocols, key=lambda name: name != default):
        answered = greet(walk.reached, protocol, _PATIENCE)
        if isinstance(answered, Greeted):
            return answered
        said = said or answered
    what = str(said) if said else "nobody is there"
    raise HarnessError(
        f"{what}; to write the firmware that belongs on it, say `harness doctor --board {walk.board.id} "
        "--flash`"
    )


def _protocol(walk: Walk) -> str:
    session = walk.session
    default = walk.board.protocols.default
    lacks = sorted({"tensors", "outputs", "memory", "layers", "clock"} - session.features)
    if not lacks:
        return f"{session.protocol}, which gives tensors, outputs, RAM and the time of each operator"
    other = f"; firmware that speaks {default} may" if session.protocol != default else ""
    return f"{session.protocol}, which does not give {', '.join(lacks)}{other}"


def _clock(walk: Walk) -> str:
    session = walk.session
    if "clock" not in session.features or walk.greeted is None:
        raise NotPossible(f"{session.protocol} has no clock that can be asked")
    check = ClockCheck()
    check.start(session.clock_readings())
    time.sleep(CLOCK_S)
    check.end(session.clock_readings())
    drift, uncertainty = check.drift_ppm(walk.greeted.identity.tick_hz), check.uncertainty_ppm()
    if drift is None or uncertainty is None:
        raise NotPossible("the line takes too long for the clocks to be compared")
    if abs(drift) > TELLING_PPM + uncertainty:
        raise HarnessError(
            f"the board's clock runs {abs(drift) / 1e4:.1f} % too {'fast' if drift > 0 else 'slow'}, and so "
            "is every time that it counts: its firmware gives the wrong tick rate; build it for this chip"
        )
    return f"{drift:+.0f} ppm off this computer's, give or take {uncertainty:.0f}"


def _tensors(walk: Walk) -> str:
    session = walk.session
    if "tensors" not in session.features:
        raise NotPossible(f"{session.protocol} takes no tensors that it confirms")
    info = _selected(walk)
    if not info.inputs:
        raise NotPossible("the model has no input")
    data = bytes(range(256)) * (info.inputs[0].bytes // 256 + 1)
    before = session.retransmissions
    for number in range(TENSORS):
        session.load(0, data[number : number + info.inputs[0].bytes])
    again = session.retransmissions - before
    sent = f"{TENSORS} tensors of {info.inputs[0].bytes:,} bytes arrived whole, by the board's own checksum"
    if again > SPOILT * TENSORS:
        raise HarnessError(
            f"{sent}, but only as {again} parts were sent again: the line loses or spoils bytes; take a "
            "shorter cable, no hub, and the board's own USB port"
        )
    return f"{sent}, {again} parts sent again"


def _selected(walk: Walk) -> ModelInfo:
    """Return the inputs of the bundled model, which is selected; raises NotPossible if it is not there."""
    if walk.info is None:
        session, model = walk.session, walk.model.file
        if "digests" in session.features:
            walk.address = holds(session, walk.board, model)
            if walk.address is None:
                raise NotPossible(
                    f"{DEFAULT_MODEL} is not in the board's flash; `harness doctor --board {walk.board.id} "
                    "--flash` writes it"
                )
        else:
            listed = session.models()
            if not listed:
                raise NotPossible("the firmware lists no model in flash")
            walk.address = listed[0].address
        walk.info = session.select(walk.address)
    return walk.info


def _invoke(walk: Walk) -> str:
    session = walk.session
    _selected(walk)
    proven = "digests" in session.features
    if proven and walk.model.source is not None:
        for index, array in enumerate(tensors.read(("random:0",), walk.model.source).arrays):
            session.load(index, array.tobytes())
    run = session.run(0, 1)
    if not run.samples:
        raise HarnessError("the invoke ended without a time: try `harness bench`")
    assert walk.greeted is not None
    origin = "estimated" if walk.greeted.identity.virtual or walk.reached.emulated else "measured"
    what = DEFAULT_MODEL if proven else "the first model in its flash, which was not proven to be one of ours"
    identity = walk.greeted.identity
    step_ms = identity.resolution_ticks / identity.tick_hz * 1e3
    decimals = min(3, max(0, -math.floor(math.log10(step_ms))))
    return f"{what}: {run.samples[0] / run.tick_hz * 1e3:.{decimals}f} ms ({origin})"


STEPS = (
    Step("cable", _cable),
    Step("driver", _driver),
    Step("permission", _permission),
    Step("port is free", _holder),
    Step("boot loader", _loader),
    Step("firmware", _firmware),
    Step("protocol", _protocol),
    Step("clock", _clock),
    Step("tensors", _tensors),
    Step("invoke", _invoke),
)
