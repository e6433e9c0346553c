"""A virtual board from power-on: flash memory, boot ROM, the firmware that was flashed, and its line."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from harness.boards import Profile
from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.boot import App, Rom
from harness.emulator.controls import BoardReset, Boot, Controls
from harness.emulator.engine import DeviceInfo, Engine, Line
from harness.emulator.firmware import Firmware
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.mlperf_firmware import MlperfText
from harness.emulator.sscma_firmware import SscmaFirmware
from harness.emulator.tflm_engine import TflmEngine
from harness.errors import HarnessError, nearest
from harness.firmware import virtual
from harness.models import ethosu
from harness.models.resolve import resolve

_SLICE_S = 0.05
"""How long a reset can go unnoticed by what waits for the line."""


class BoardLine:
    """The chip's end of the line: raises BoardReset as soon as the controls reset the board."""

    def __init__(self, line: Line, controls: Controls) -> None:
        self._line = line
        self._controls = controls

    def read(self, timeout: float | None) -> bytes:
        """See Line.read; raises BoardReset."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE_S if deadline is None else deadline - time.monotonic()
            data = b"" if self._controls.resetting else self._line.read(max(0.0, min(left, _SLICE_S)))
            if self._controls.resetting:
                raise BoardReset
            if data or (deadline is not None and time.monotonic() >= deadline):
                return data

    def write(self, data: bytes) -> None:
        """See Line.write."""
        self._line.write(data)

    def out_of_reset(self) -> Boot:
        """Wait until the board is let out of reset, and return what it boots into."""
        while (boot := self._controls.take()) is None:
            self._line.read(_SLICE_S)
        return boot


class VirtualBoard:
    """A board with its flash memory; what is in RAM goes with each reset."""

    def __init__(self, profile: Profile, flash: BoardFlash, rom: Rom) -> None:
        self.profile = profile
        self.flash = flash
        self._rom = rom
        self._boots = 0

    def power_on(self, line: BoardLine, boot: Boot = Boot.APPLICATION) -> None:
        """Boot, again after every reset, and answer on `line` without end; raises LineClosed."""
        while True:
            self._boots += 1
            try:
                app = self._rom.boot(line, boot)
                engine = TflmEngine(self.profile, self.flash, app.regions)
                self._report_models(line, engine)
                self._firmware(app, engine).serve(line)
                boot = Boot.APPLICATION
            except BoardReset:
                boot = line.out_of_reset()

    def _firmware(self, app: App, engine: Engine) -> Firmware:
        return FIRMWARES[app.protocol](self._info(app), engine, self._boots)

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
        )

    def _report_models(self, line: BoardLine, engine: TflmEngine) -> None:
        """Print what the firmware would stumble over: no model, or one for another NPU."""
        found = engine.found()
        if not found:
            line.write(f"no model in flash at {self.profile.flash.model_region.offset:#x}\r\n".encode())
        for address, model in found.items():
            built_for = ethosu.accelerator(model)
            npu = self.profile.vela.accelerator if self.profile.vela else None
            if built_for and built_for != npu:
                line.write(f"model at {address:#x}: {_mismatch(built_for, npu)}\r\n".encode())


def _mismatch(built_for: str, npu: str | None) -> str:
    if npu is None:
        return f"compiled for {built_for}, and there is no NPU"
    # Arm's driver prints the logarithm (ethos-u-core-driver, handle_optimizer_config).
    macs = [int(name.rsplit("-", 1)[1]).bit_length() - 1 for name in (npu, built_for)]
    return f"NPU config mismatch: npu.macs_per_cc={macs[0]} optimizer.macs_per_cc={macs[1]}"


def _bench(info: DeviceInfo, engine: Engine, boots: int) -> Firmware:
    text = MlperfText(info, engine, "vww01")
    return BenchFirmware(info, engine, boot=secrets.randbits(32), text=text)


def _sscma(info: DeviceInfo, engine: Engine, boots: int) -> Firmware:
    return SscmaFirmware(info, engine, boot=boots)


FIRMWARES: dict[str, Callable[[DeviceInfo, Engine, int], Firmware]] = {
    "bench": _bench,
    # The bench firmware answers MLPerf Tiny's text on the same port.
    "mlperf-tiny": _bench,
    "sscma": _sscma,
}
"""Protocol of an image -> what makes the firmware that runs for it, given how often the board has booted."""


def load_firmware(profile: Profile, flash: BoardFlash, protocol: str) -> None:
    """Put the virtual firmware of a protocol into flash, as if it had come with the board.

    Raises HarnessError for a protocol that the board's firmware does not speak.
    """
    if protocol not in profile.protocols.supported:
        known = nearest(protocol, profile.protocols.supported)
        raise HarnessError(f"{profile.id}: no firmware speaks '{protocol}'{known}")
    for _, offset, data in virtual.build(profile, protocol):
        flash.program(offset, data)


def load_models(profile: Profile, flash: BoardFlash, names: Sequence[str]) -> None:
    """Put models into the board's flash, one behind the other.

    Raises:
        HarnessError: a name is no model, or there is no room left.
    """
    behind = None
    for name in names:
        model = resolve(name)
        address = profile.flash.place_for_model(len(model.data), behind)
        if address is None:
            raise HarnessError(f"{name}: no room left for it in {profile.id}'s model region")
        flash.program_for_core(address, model.data)
        behind = address + len(model.data)
