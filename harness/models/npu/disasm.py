"""A command stream as text: every command by name, with its value decoded as the hardware reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.models.npu.operations import Elementwise, Pooling, Upscale
from harness.models.npu.stream import Command

_IFM_TYPES = {0: "uint8", 1: "int8", 4: "uint16", 5: "int16", 9: "int32"}
_OFM_TYPES = {0: "uint8", 1: "int8", 2: "uint16", 3: "int16", 5: "int32"}
_LAYOUTS = {0: "NHWC", 1: "NHCWB16"}
_ROUNDING = {0: "TFL", 1: "TRUNCATE", 2: "NATURAL"}
_SCALED = {0: "both operands 16-bit", 1: "operand A 32-bit", 2: "operand B 32-bit"}
_ACCUMULATORS = {0: "int32", 1: "int40", 2: "float16"}
_CLIP = {0: "", 2: "forced uint8", 3: "forced int8", 5: "forced int16"}
_FUNCTIONS = {0: "none", 3: "tanh", 4: "sigmoid", **{16 + table: f"table {table}" for table in range(8)}}
_SIGNED = ("ZERO_POINT", "IFM2_SCALAR", "ACTIVATION_MIN", "ACTIVATION_MAX")


@dataclass(frozen=True)
class Line:
    """One command: the word it starts at, the operation it sets up, its name and its decoded value."""

    word: int
    operation: int
    command: Command
    text: str

    @property
    def name(self) -> str:
        """The register or operation with its prefix, e.g. `NPU_SET_IFM_REGION`."""
        return f"NPU_{'OP' if self.command.is_operation else 'SET'}_{self.command.name}"


def _named(table: dict[int, str], value: int) -> str:
    return table.get(value, f"reserved ({value})")


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _ifm_precision(value: int) -> str:
    words = [
        _named(_IFM_TYPES, value & 0xF),
        _named(_LAYOUTS, value >> 6 & 3),
        _named(_SCALED, value >> 8 & 3),
    ]
    return ", ".join([*words, _named(_ROUNDING, value >> 14 & 3)])


def _ifm2_precision(value: int) -> str:
    return f"{_named(_IFM_TYPES, value & 0xF)}, {_named(_LAYOUTS, value >> 6 & 3)}"


def _ofm_precision(value: int) -> str:
    scale = "one scale" if value >> 8 & 1 else "scale per channel"
    words = [_named(_OFM_TYPES, value & 7), _named(_LAYOUTS, value >> 6 & 3), scale]
    return ", ".join([*words, _named(_ROUNDING, value >> 14 & 3)])


def _kernel_stride(value: int) -> str:
    x, y = ((value & 1) | (value >> 6 & 1) << 1) + 1, ((value >> 1 & 1) | (value >> 9 & 1) << 1) + 1
    order = "part kernel first" if value >> 2 & 1 else "depth first"
    return f"stride {y}x{x}, dilation {(value >> 4 & 1) + 1}x{(value >> 3 & 1) + 1}, {order}"


def _broadcast(value: int) -> str:
    flags = {0: "height", 1: "width", 2: "depth", 6: "operands reversed", 7: "scalar"}
    return ", ".join(word for bit, word in flags.items() if value >> bit & 1) or "none"


def _activation(value: int) -> str:
    clip = _named(_CLIP, value >> 12)
    return _named(_FUNCTIONS, value & 0xFFF) + (f", {clip}" if clip else "")


def _dma_region(value: int) -> str:
    return "shared RAM" if value >> 8 & 1 else f"region {value & 7}"


_DECODERS: dict[str, Callable[[int], str]] = {
    "IFM_PRECISION": _ifm_precision,
    "IFM2_PRECISION": _ifm2_precision,
    "OFM_PRECISION": _ofm_precision,
    "KERNEL_STRIDE": _kernel_stride,
    "IFM2_BROADCAST": _broadcast,
    "ACTIVATION": _activation,
    "ACC_FORMAT": lambda value: _named(_ACCUMULATORS, value),
    "IFM_UPSCALE": lambda value: _named({mode.value: mode.name.lower() for mode in Upscale}, value),
    "DMA0_SRC_REGION": _dma_region,
    "DMA0_DST_REGION": _dma_region,
    "DMA_WAIT": lambda value: f"at most {value & 0xF} outstanding",
    "KERNEL_WAIT": lambda value: f"at most {value & 0xF} outstanding",
}


def explain(command: Command) -> str:
    """Decode the value of a command."""
    name, value = command.name, command.value
    if command.is_operation and name in ("POOL", "ELEMENTWISE"):
        modes = {mode.value: mode.name for mode in (Pooling if name == "POOL" else Elementwise)}
        return _named(modes, value)
    if name in _DECODERS:
        return _DECODERS[name](value)
    if name in ("OFM_SCALE", "OPA_SCALE", "OPB_SCALE"):
        shift = value >> 32 & 0x3F
        return f"{command.payload} / 2**{shift}"
    if "STRIDE" in name:
        return f"{_signed(value & (1 << 40) - 1, 40)} bytes"
    if command.has_payload:
        unit = " bytes" if name.endswith(("LENGTH", "LEN")) else ""
        return f"{value & (1 << 40) - 1:#x}{unit}"
    if name.endswith("_M1"):
        return str(value + 1)
    if name.endswith("REGION"):
        return f"region {value & 7}"
    if name.endswith(_SIGNED):
        return str(_signed(value, 16))
    return str(value)


def lines(commands: Iterable[Command]) -> list[Line]:
    """Decode commands, each with the index of the operation that it leads up to (-1 after the last one)."""
    listed = list(commands)
    starters = [i for i, c in enumerate(listed) if c.is_operation and c.name in _WORKING]
    found: list[Line] = []
    operation = 0
    for position, command in enumerate(listed):
        owner = operation if operation < len(starters) else -1
        found.append(Line(command.word, owner, command, explain(command)))
        if operation < len(starters) and position == starters[operation]:
            operation += 1
    return found


_WORKING = {"CONV", "DEPTHWISE", "POOL", "ELEMENTWISE", "DMA_START"}
