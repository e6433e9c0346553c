"""A virtual board from power-on: flash memory, a firmware, and the line it answers on."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from harness import __version__, boards
from harness.boards import Profile
from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.engine import DeviceInfo
from harness.emulator.firmware import Exit
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.mlperf_firmware import MlperfText
from harness.emulator.tflm import require_runtime
from harness.emulator.tflm_engine import TflmEngine
from harness.emulator.transport import Endpoint, listen
from harness.errors import HarnessError
from harness.models.resolve import resolve

READ_BYTES = 1 << 16
# How often a firmware that waits for the line looks up: the delay of a stop asked for meanwhile.
_IDLE_S = 0.5


class EndpointLine:
    """An endpoint as a firmware's line."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def read(self, timeout: float | None) -> bytes:
        """Return what has arrived; wait up to `timeout` seconds (None: without end) for the first byte."""
        if timeout is not None:
            return self._endpoint.read(READ_BYTES, timeout)
        while not (data := self._endpoint.read(READ_BYTES, _IDLE_S)):
            pass
        return data

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        self._endpoint.write(data)


class VirtualBoard:
    """A board with its flash memory; what is in RAM goes with each reset."""

    def __init__(self, profile: Profile, flash: BoardFlash) -> None:
        self.profile = profile
        self.flash = flash

    def power_on(self, line: EndpointLine) -> None:
        """Boot, again after every reset, and answer on `line` without end."""
        while True:
            engine = TflmEngine(self.profile, self.flash)
            firmware = BenchFirmware(
                self._info(),
                engine,
                boot=secrets.randbits(32),
                text=MlperfText(self._info(), engine, "vww01"),
            )
            if firmware.serve(line) is not Exit.RESET:
                return

    def _info(self) -> DeviceInfo:
        profile = self.profile
        return DeviceInfo(
            board=profile.id,
            firmware_name="harness virtual firmware",
            firmware_version=__version__,
            build_hash="",
            kernels="reference",
            engine="virtual: TFLite-Micro on the host",
            clock_hz=profile.clock_hz,
            tick_hz=profile.clock_hz,
        )


def load_models(profile: Profile, flash: BoardFlash, names: Sequence[str]) -> None:
    """Put models into the board's model region one behind the other, each at the start of a block.

    Raises:
        HarnessError: a name is no model, or there is no room left.
    """
    region, block = profile.flash.model_region, profile.flash.block_bytes
    address = region.offset
    for name in names:
        model = resolve(name)
        if address + len(model.data) > region.end:
            raise HarnessError(f"{name}: no room left for it in {profile.id}'s model region")
        flash.program(address, model.data)
        address += -(-len(model.data) // block) * block


def run(
    board: str,
    *,
    listen_on: str,
    models: Sequence[str] = (),
    flash_directory: Path | None = None,
    lifeline: bool = False,
) -> None:
    """Run a virtual board until the process is told to end; prints the URL of its port first.

    Args:
        board: a board id or the path of a profile.
        listen_on: where it answers (see `harness.emulator.transport.listen`).
        models: models to put into its flash.
        flash_directory: where its flash memory is kept; None = in memory, blank.
        lifeline: end when standard input closes, that is, with whoever started this.

    Raises:
        HarnessError: the board, a model or the place to listen on is not there.
    """
    require_runtime()
    profile = boards.load(board)
    flash = BoardFlash(profile, flash_directory)
    load_models(profile, flash, models)
    endpoint = listen(listen_on)
    signal.signal(signal.SIGTERM, _end)
    if lifeline:
        threading.Thread(target=_hold, daemon=True).start()
    print(endpoint.url, flush=True)
    try:
        VirtualBoard(profile, flash).power_on(EndpointLine(endpoint))
    except KeyboardInterrupt:
        pass
    finally:
        endpoint.close()


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _hold() -> None:
    # By descriptor: a thread that holds the lock of sys.stdin would abort the interpreter at its end.
    while os.read(0, 4096):
        pass
    # Flash files are memory maps, which the system writes back: there is nothing to tidy up.
    os._exit(0)
