"""A virtual board from power-on: flash memory, boot ROM, the firmware that was flashed, and its line."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence

from harness.boards import Profile
from harness.chips.family import family_of
from harness.emulator.boot import App, Rom, hang
from harness.emulator.controls import BoardReset, Boot, Controls
from harness.emulator.engine import DeviceInfo, Engine, Line, Runtime
from harness.emulator.engine_process import EngineTemplate, ProcessEngine
from harness.emulator.firmware import Firmware
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.model_flash import ModelFlash
from harness.emulator.pin import PinnedEngine
from harness.emulator.troubles import BETWEEN_BOOTS_S, PANIC, FailingEngine, Troubles
from harness.errors import HarnessError, nearest
from harness.wire.protocol import PROTOCOLS

_SLICE_S = 0.05
"""Longest time until whatever waits for the line notices a reset."""


class BoardLine:
    """The chip's end of the line: raises BoardReset as soon as the controls reset the board."""

    def __init__(self, line: Line, controls: Controls) -> None:
        self._line = line
        self._controls = controls
        self._woken = False

    def read(self, timeout: float | None) -> bytes:
        """As in Line; raises BoardReset."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE_S if deadline is None else deadline - time.monotonic()
            data = b"" if self._controls.resetting else self._line.read(max(0.0, min(left, _SLICE_S)))
            if self._controls.resetting:
                raise BoardReset
            woken, self._woken = self._woken, False
            if data or woken or (deadline is not None and time.monotonic() >= deadline):
                return data

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def wake(self) -> None:
        self._woken = True
        self._line.wake()

    def out_of_reset(self) -> Boot:
        """Wait until the board is let out of reset, and return what it boots into."""
        while (boot := self._controls.take()) is None:
            self._line.read(_SLICE_S)
        return boot


class VirtualBoard:
    """A board with its flash memory; its RAM is lost with each reset."""

    def __init__(
        self,
        profile: Profile,
        flash: BoardFlash,
        rom: Rom,
        engines: EngineTemplate,
        stock: str = "1.0",
        pin: Callable[[float], None] | None = None,
    ) -> None:
        """Put a board together; it has no power yet.

        Args:
            stock: which generation of the stock firmware `sscma` is, "1.0" or "2.0".
            pin: see `PinnedEngine`; None = nothing is wired to the pin.
        """
        self._pin = pin
        self.profile = profile
        self.flash = flash
        self.troubles = Troubles()
        self._rom = rom
        self._engines = engines
        self._stock = stock
        self._boots = 0

    def power_on(self, line: BoardLine, boot: Boot = Boot.APPLICATION) -> None:
        """Boot, again after every reset, and answer on `line` without end; raises LineClosed."""
        while True:
            self._boots += 1
            try:
                self._run(line, self._rom.boot(line, boot))
                boot = Boot.APPLICATION
            except BoardReset:
                boot = line.out_of_reset()

    def _run(self, line: BoardLine, app: App) -> None:
        """Run the firmware that was found in flash until the board is reset."""
        if self.troubles.silent:
            hang(line)
        if self.troubles.boot_loop:
            line.write(PANIC)
            line.read(BETWEEN_BOOTS_S)
            return
        models = ModelFlash(self.profile, self.flash, app.regions)
        if models.models():
            self._engines.prepare()
        else:
            # Without a model the firmware has nothing to run: say so.
            line.write(f"no model in flash at {self.profile.flash.model_region.offset:#x}\r\n".encode())
        made = FailingEngine if self.troubles.invoke else ProcessEngine
        engine: Engine = made(models, self._engines, self._ticks, line.wake)
        if self._pin is not None:
            engine = PinnedEngine(engine, self.profile.clock_hz, self._pin)
        try:
            _firmware(app.protocol)(self.troubles.told(self._info(app)), engine, self._boots).serve(line)
        finally:
            engine.cancel()

    def _ticks(self) -> int:
        """Return the counter of the board's clock, which is this computer's here."""
        ticks = time.monotonic_ns() * self.profile.clock_hz // 1_000_000_000
        return ticks if self.troubles.clock == 1.0 else int(ticks * self.troubles.clock)

    def _info(self, app: App) -> DeviceInfo:
        profile = self.profile
        return DeviceInfo(
            board=profile.id,
            firmware_name="harness virtual firmware",
            firmware_version=app.version,
            build_hash=app.build_hash,
            kernels="reference",
            engine="virtual: TFLite-Micro on the host",
            clock_hz=profile.clock_hz,
            tick_hz=profile.clock_hz,
            stock_generation=self._stock,
        )


def _firmware(protocol: str) -> Callable[[DeviceInfo, Engine, int], Firmware]:
    """Return the function that makes a protocol's firmware; raises HarnessError if there is none."""
    place = PROTOCOLS.get(protocol).firmware
    if place is None:
        raise HarnessError(f"no virtual board speaks '{protocol}'")
    module, _, function = place.partition(":")
    made: Callable[[DeviceInfo, Engine, int], Firmware] = getattr(importlib.import_module(module), function)
    return made


def engines_of(profile: Profile, flash: BoardFlash) -> EngineTemplate:
    """Return what starts a board's engines; call it before there are threads."""

    def prepare() -> Callable[[], Runtime]:
        from harness.emulator.tflm import import_runtime
        from harness.emulator.tflm_engine import TflmRuntime

        import_runtime()
        return lambda: TflmRuntime(profile, flash)

    return EngineTemplate(prepare)


def load_firmware(profile: Profile, flash: BoardFlash, protocol: str) -> None:
    """Put the virtual firmware of a protocol into flash, as if it had come with the board.

    Raises HarnessError for a protocol that the board's firmware does not speak.
    """
    if protocol not in profile.protocols.supported:
        known = nearest(protocol, profile.protocols.supported)
        raise HarnessError(f"{profile.id}: no firmware speaks '{protocol}'{known}")
    for _, offset, data in family_of(profile).virtual_parts(profile, protocol):
        flash.program(offset, data)


def load_models(profile: Profile, flash: BoardFlash, names: Sequence[str]) -> None:
    """Put models into the board's flash, one behind the other.

    Raises:
        HarnessError: a name is no model, or there is no room left.
    """
    from harness.models.resolve import resolve

    behind = None
    for name in names:
        model = resolve(name)
        address = profile.flash.place_for_model(len(model.data), behind)
        if address is None:
            raise HarnessError(f"{name}: no room left for it in {profile.id}'s model region")
        flash.program_for_core(address, model.data)
        behind = address + len(model.data)
