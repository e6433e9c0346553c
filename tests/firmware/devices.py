"""Every implementation of the device's side of the bench protocol, behind one interface."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from harness import boards
from harness.emulator.bench_firmware import BenchFirmware
from harness.emulator.engine import DeviceInfo
from harness.emulator.faults import Damage, parse_faults
from harness.emulator.firmware import Firmware
from harness.emulator.line import VirtualLine
from harness.emulator.process import BoardProcess
from harness.models import reference, tflite
from harness.models.resolve import resolve
from harness.wire import messages as m
from harness.wire.bench_client import BenchSession
from harness.wire.framing import Decoder, encode
from harness.wire.port import Port, SerialPort
from tests.firmware.selftest import TICK_HZ, SelftestEngine, expected_output
from tests.firmware.simulated import CoreFirmware, CoreProcess
from tests.simulation import SimulatedClock, SimulatedPort

START_S = 10.0


class Device(ABC):
    """A device with a model in flash; the context manager starts and ends it."""

    name: str
    address = 0x400000
    """Where the model is."""
    selftest = True
    """Whether it runs the selftest engine."""
    simulated = False
    """Whether its time is virtual, so that patience costs nothing."""
    alive = False
    """Whether its line is served apart from its engine: that can be broken off, and tells no operators."""

    def __init__(self, model: tflite.Model) -> None:
        self.model = model
        self._stack = ExitStack()

    @abstractmethod
    def port(self, faults: str = "") -> Port:
        """Open a port to the device, with a line that does what `faults` says in between."""

    def session(self, faults: str = "") -> BenchSession:
        """Greet the device."""
        return BenchSession(self.port(faults))

    @property
    def flash(self) -> tuple[int, int]:
        """Begin and end of the flash that may hold models; here no more than the model's file."""
        return self.address, self.address + len(self.model.data)

    @property
    def input_bytes(self) -> list[int]:
        graph = self.model.subgraphs[0]
        return [graph.tensors[i].bytes for i in graph.inputs]

    def expected(self, *inputs: bytes) -> list[bytes]:
        """Return what the model's outputs are for these inputs."""
        graph = self.model.subgraphs[0]
        return [expected_output(graph.tensors[i].bytes, k, *inputs) for k, i in enumerate(graph.outputs)]

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def flash_file(self) -> Path:
        """Return a file that holds the model."""
        directory = self._stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(directory) / "flash.bin"
        path.write_bytes(self.model.data)
        return path


class SimulatedDevice(Device):
    """A device in virtual time. Every port is a virtual line of its own to a device that has just booted."""

    simulated = True

    def port(self, faults: str = "", baud: int | None = 921600, latency_s: float = 0.005) -> SimulatedPort:
        line = VirtualLine(baud, latency_s, parse_faults(faults))
        return SimulatedPort(self.boot, line, SimulatedClock())

    @abstractmethod
    def boot(self, clock: SimulatedClock, boots: int) -> Firmware:
        """Return the firmware of a boot."""


class PythonDevice(SimulatedDevice):
    """The virtual board's firmware, with the selftest engine."""

    name = "python"
    alive = True

    def boot(self, clock: SimulatedClock, boots: int) -> Firmware:
        info = DeviceInfo(
            board="simulated",
            firmware_name="python",
            firmware_version="",
            build_hash="",
            kernels="",
            engine="selftest",
            clock_hz=0,
            tick_hz=TICK_HZ,
        )
        return BenchFirmware(info, SelftestEngine(self.model, clock), boot=boots, text=True)


class CoreDevice(SimulatedDevice):
    """The C core, under sanitizers."""

    name = "core"

    def __init__(self, build: Path, model: tflite.Model, **limits: int) -> None:
        super().__init__(model)
        self.process = self._stack.enter_context(CoreProcess(build, self.flash_file(), **limits))

    def boot(self, clock: SimulatedClock, boots: int) -> Firmware:
        return CoreFirmware(self.process, clock, boots)


class FaultyPort:
    """A port whose bytes a virtual line does harm to, both ways; it neither paces nor delays them."""

    def __init__(self, port: SerialPort, faults: str) -> None:
        self._port = port
        self.url = port.url
        parsed = parse_faults(faults)
        self.to_device = Damage(parsed, "to device")
        self.to_host = Damage(parsed, "to host")

    def read(self, max_bytes: int, timeout: float) -> bytes:
        return b"".join(part for part, _ in self.to_host.apply(self._port.read(max_bytes, timeout)))

    def write(self, data: bytes) -> None:
        self._port.write(b"".join(part for part, _ in self.to_device.apply(data)))

    def close(self) -> None:
        self._port.close()

    def reset_buffers(self) -> None:
        self._port.reset_buffers()

    def reopen(self) -> None:
        self._port.reopen()

    def now(self) -> float:
        return self._port.now()

    def pause(self, seconds: float) -> None:
        self._port.pause(seconds)


def settle(port: Port) -> None:
    """Wait until the device has answered all that was said to it; afterwards the line is quiet.

    A greeting in which no version is shared changes nothing, and goes out once. As the line keeps order, its
    answer is the last one.
    """
    last = 0x5E771ED0
    decoder = Decoder(1 << 16)
    port.write(encode(m.pack(0, last, m.Hello(0xFE, 0xFE, 0, 65536))))
    until = port.now() + START_S
    while port.now() < until:
        for body in decoder.feed(port.read(65536, until - port.now())):
            if isinstance(body, bytes) and m.unpack(body).session == last:
                return
    raise AssertionError(f"the device at {port.url} does not answer")


class ProcessDevice(Device):
    """A device that is a process behind a port of the operating system."""

    url: str

    def __init__(self, model: tflite.Model) -> None:
        super().__init__(model)
        self._ports: list[SerialPort] = []
        self._stack.callback(self.close_ports)

    def restart(self) -> None:
        """Reset the device, so that nothing is left of an earlier test but its process."""
        self.close_ports()
        port = self.port()
        BenchSession(port).reset()
        # A device that is slow to boot is greeted more than once, and answers each time.
        settle(port)
        self.close_ports()

    def close_ports(self) -> None:
        """Close what a test has left open."""
        while self._ports:
            self._ports.pop().close()

    def port(self, faults: str = "") -> Port:
        port = SerialPort(self.url)
        self._ports.append(port)
        return FaultyPort(port, faults) if faults else port


class EmulatedDevice(ProcessDevice):
    """The virtual board: `harness emulate` with TFLite-Micro in it."""

    name = "emulate"
    board = boards.load("xiao_esp32s3")
    flash = (board.flash.model_region.offset, board.flash.model_region.end)
    selftest = False
    alive = True

    def __init__(self) -> None:
        super().__init__(resolve("cifar10_mbv2_035_32_int8"))
        board = BoardProcess(self.board.id, ["--model", self.model.name])
        self.url = self._stack.enter_context(board).url

    def expected(self, *inputs: bytes) -> list[bytes]:
        return list(_reference_outputs(self.model.data, inputs))


@functools.cache
def _reference_outputs(model: bytes, inputs: tuple[bytes, ...]) -> tuple[bytes, ...]:
    parsed = tflite.parse(model, "model")
    graph = parsed.subgraphs[0]
    arrays = [
        np.frombuffer(data, graph.tensors[i].type).reshape(graph.tensors[i].shape)
        for data, i in zip(inputs, graph.inputs, strict=True)
    ]
    with reference.start(model, arrays, invokes=1) as ran:
        return tuple(array.tobytes() for array in ran.result())


class PosixDevice(ProcessDevice):
    """The firmware as a process on a pseudo-terminal."""

    name = "posix"

    def __init__(self, build: Path, model: tflite.Model, *options: str) -> None:
        super().__init__(model)
        self.process = subprocess.Popen(
            [build / "ports/posix/bench_firmware", "--flash", self.flash_file(), "--lifeline", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
        )
        self._stack.callback(self._stop)
        assert self.process.stdout
        self.url = self.process.stdout.readline().decode().strip()

    def _stop(self) -> None:
        self.process.communicate(timeout=START_S)
        assert self.process.returncode == 0, "the firmware did not end as it should"


class QemuDevice(ProcessDevice):
    """The firmware on a Cortex-M55 in QEMU; its serial port is a socket."""

    name = "qemu"
    address = 0x60000000
    flash = (address, address + (16 << 20))

    def __init__(self, build: Path, model: tflite.Model, *options: str) -> None:
        super().__init__(model)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.url = f"socket://127.0.0.1:{server.getsockname()[1]}"
            self._process = subprocess.Popen(
                qemu_command(build, server.fileno(), self.flash_file(), options),
                pass_fds=[server.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        self._stack.callback(self._stop)

    def _stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=START_S)


def qemu_command(build: Path, descriptor: int, model: Path, options: Sequence[str] = ()) -> list[str]:
    """Return the command that runs the Cortex-M55 build with its line on a listening socket."""
    return [
        *("qemu-system-arm", "-M", "mps3-an547", "-display", "none", "-monitor", "none"),
        *("-kernel", str(build / "ports/mps3_an547/bench_firmware.elf")),
        *("-device", f"loader,file={model},addr={QemuDevice.address:#x},force-raw=on"),
        *(
            "-chardev",
            f"socket,id=line,fd={descriptor},server=on,wait=off,nodelay=on",
            "-serial",
            "chardev:line",
        ),
        *options,
    ]
