"""The driver's check before it starts the NPU: is the stream's configuration that of the NPU?"""

from __future__ import annotations

from harness.models.ethosu import Configuration
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NpuFault

# Architecture that the Ethos-U55 implements (Vela writes 1.0.6); its driver compares the major version.
_ARCHITECTURE_MAJOR = "1"
_STREAM_VERSION = 0


def check(configuration: Configuration, npu: Accelerator) -> None:
    """Raise NpuFault if a stream is not for this NPU."""
    if configuration.accelerator != npu.name:
        raise NpuFault(
            f"the stream is for {configuration.accelerator}, this NPU is an {npu.name}: compile the model "
            "for that"
        )
    if configuration.architecture.split(".")[0] != _ARCHITECTURE_MAJOR:
        raise NpuFault(
            f"the stream is for architecture {configuration.architecture}, this NPU has "
            f"{_ARCHITECTURE_MAJOR}.x: compile the model with a Vela for the Ethos-U55"
        )
    if configuration.command_stream_version != _STREAM_VERSION:
        raise NpuFault(
            f"the command stream has version {configuration.command_stream_version}, this NPU takes "
            f"version {_STREAM_VERSION}"
        )
    if configuration.shram_bytes > npu.shram_bytes:
        raise NpuFault(
            f"the stream counts on {configuration.shram_bytes} bytes of shared RAM, this NPU has "
            f"{npu.shram_bytes}"
        )
