"""Driver actions: what the CPU does with a command-stream tensor before the NPU sees any of it.

The tensor is a list of 32-bit words: "COP1", then actions (bits 0-7 the action, 8-15 reserved, 16-31 a
parameter). Ethos-U core driver: OPTIMIZER_CONFIG 1, COMMAND_STREAM 2, READ_APB_REG 3, DUMP_SHRAM 4, NOP 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.accelerator import Accelerator, of_macs
from harness.emulator.npu.faults import NpuFault

FOURCC = 0x31504F43
OPTIMIZER_CONFIG, COMMAND_STREAM, READ_REGISTERS, DUMP_SHRAM, NOP = range(1, 6)
PRODUCTS = {0: "Ethos-U55", 1: "Ethos-U65"}
# Architecture that the Ethos-U55 implements: major version 1 (Vela's ARCH_VER is 1.0.6).
ARCHITECTURE_MAJOR = 1


@dataclass(frozen=True)
class Configuration:
    """What the optimiser configuration says about the NPU that a stream was compiled for."""

    macs: int
    stream_version: int
    shram_kib: int
    product: int
    architecture: tuple[int, int, int]

    @property
    def product_name(self) -> str:
        """The product, e.g. `Ethos-U55`."""
        return PRODUCTS.get(self.product, f"product {self.product}")


@dataclass(frozen=True)
class Job:
    """A parsed command-stream tensor: its configuration and the words for the NPU."""

    configuration: Configuration
    words: NDArray[np.uint32]


def accelerator(configuration: Configuration) -> Accelerator:
    """Return the Ethos-U55 that a stream was compiled for; raises NpuFault for another product."""
    if configuration.product != 0:
        raise NpuFault(f"the stream is for an {configuration.product_name}, not an Ethos-U55")
    return of_macs(configuration.macs)


def parse(payload: bytes | memoryview) -> Job:
    """Parse a command-stream tensor.

    Raises NpuFault where it is no such tensor, an action is unknown or cut off, or an action is missing.
    """
    usable = len(payload) & ~3
    words = np.frombuffer(payload[:usable], "<u4")
    if not words.size or words[0] != FOURCC:
        raise NpuFault("the command-stream tensor does not start with 'COP1'")
    configuration: Configuration | None = None
    stream: NDArray[np.uint32] | None = None
    position = 1
    while position < words.size and stream is None:
        word = int(words[position])
        action = word & 0xFF
        position += 1
        if action == OPTIMIZER_CONFIG:
            if position + 2 > words.size:
                raise NpuFault("the optimiser configuration is cut off")
            configuration = _configuration(int(words[position]), int(words[position + 1]))
            position += 2
        elif action == COMMAND_STREAM:
            length = (word >> 8 & 0xFF) << 16 | word >> 16
            if position + length > words.size:
                raise NpuFault(f"a command stream of {length} words is cut off after {words.size - position}")
            stream = words[position : position + length]
        elif action not in (READ_REGISTERS, DUMP_SHRAM, NOP):
            raise NpuFault(f"unknown driver action {action} at word {position - 1}")
    if configuration is None:
        raise NpuFault("the command-stream tensor has no optimiser configuration")
    if stream is None:
        raise NpuFault("the command-stream tensor has no command stream")
    return Job(configuration, stream)


def check(configuration: Configuration, accelerator: Accelerator) -> None:
    """Compare a stream's configuration with an NPU's, as the driver does before it starts it.

    Raises NpuFault where they do not agree.
    """
    wanted = configuration
    if wanted.product != 0:
        raise NpuFault(f"the stream is for an {wanted.product_name}; this is an Ethos-U55")
    if wanted.macs != accelerator.macs:
        raise NpuFault(
            f"the stream is for {wanted.macs} MACs per cycle; this NPU has {accelerator.macs}: compile it "
            f"with --accelerator-config {accelerator.name}"
        )
    if wanted.architecture[0] != ARCHITECTURE_MAJOR:
        version = ".".join(map(str, wanted.architecture))
        raise NpuFault(f"the stream is for architecture {version}; this NPU has {ARCHITECTURE_MAJOR}.x")
    if wanted.stream_version != 0:
        raise NpuFault(f"command-stream version {wanted.stream_version}; this NPU takes version 0")
    if wanted.shram_kib * 1024 > accelerator.shram_bytes:
        raise NpuFault(
            f"the stream counts on {wanted.shram_kib} KiB of shared RAM; this NPU has "
            f"{accelerator.shram_bytes // 1024}"
        )


def _configuration(npu: int, architecture: int) -> Configuration:
    # id_r: patch in bits 16-19, minor in 20-27, major in 28-31.
    version = (architecture >> 28, architecture >> 20 & 0xFF, architecture >> 16 & 0xF)
    return Configuration(1 << (npu & 0xF), npu >> 4 & 0xF, npu >> 8 & 0xFF, npu >> 28, version)
