"""What the registers describe whenever an NPU_OP command is met: feature maps, kernels, operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

NO_FUNCTION = 0


class Rounding(IntEnum):
    """How the bits shifted out are taken into account."""

    TFL = 0
    TRUNCATE = 1
    NATURAL = 2


class Upscale(IntEnum):
    """How an input feature map is enlarged by two before it is read."""

    NONE = 0
    NEAREST = 1
    ZEROS = 2


class Pooling(IntEnum):
    """The modes of NPU_OP_POOL."""

    MAX = 0
    AVERAGE = 1
    REDUCE_SUM = 2


class Elementwise(IntEnum):
    """The modes of NPU_OP_ELEMENTWISE."""

    MUL = 0
    ADD = 1
    SUB = 2
    MIN = 3
    MAX = 4
    LRELU = 5
    ABS = 6
    CLZ = 7
    SHR = 8
    SHL = 9

    @property
    def unary(self) -> bool:
        """True if there is no second input."""
        return self in (Elementwise.LRELU, Elementwise.ABS, Elementwise.CLZ)


UNSCALED = (Elementwise.MIN, Elementwise.MAX, Elementwise.CLZ, Elementwise.SHR, Elementwise.SHL)


@dataclass(frozen=True)
class FeatureMap:
    """Where a feature map lies and what its elements are.

    `bases` are the offsets of tiles 0 (upper left), 1 (right), 2 (below) and 3 in region `region`; tile 0
    is `width0` columns wide and `height0` rows high, tile 1 is `height1` rows high. `blocked` is the
    NHCWB16 layout. Strides are in bytes and may be negative.
    """

    name: str
    region: int
    bases: tuple[int, int, int, int]
    height0: int
    height1: int
    width0: int
    height: int
    width: int
    depth: int
    stride_y: int
    stride_x: int
    stride_c: int
    bits: int
    signed: bool
    blocked: bool
    zero_point: int

    @property
    def type(self) -> str:
        """The numpy name of its element type."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, depth."""
        return self.height, self.width, self.depth

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest value of its element type."""
        if self.signed:
            return -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        return 0, (1 << self.bits) - 1


@dataclass(frozen=True)
class Kernel:
    """Kernel size without dilation, strides, dilations and padding, in elements."""

    height: int
    width: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    top: int
    left: int
    bottom: int
    right: int
    part_kernel_first: bool
    upscale: Upscale

    @property
    def reach_y(self) -> int:
        """Rows from the first to the last one that a kernel touches."""
        return (self.height - 1) * self.dilation_y + 1

    @property
    def reach_x(self) -> int:
        """Columns from the first to the last one that a kernel touches."""
        return (self.width - 1) * self.dilation_x + 1

    @property
    def padding(self) -> int:
        """The sum of the four paddings."""
        return self.top + self.left + self.bottom + self.right


@dataclass(frozen=True)
class Activation:
    """What follows scaling: 0 none, 3 tanh, 4 sigmoid, 16-23 a look-up table; then the range."""

    function: int
    clip: int
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Output:
    """How accumulators become elements of the output feature map."""

    global_scale: bool
    rounding: Rounding
    scale: int
    shift: int
    activation: Activation


@dataclass(frozen=True)
class Block:
    """The output block (height, width, depth) and how accumulators are kept in shared RAM."""

    height: int
    width: int
    depth: int
    accumulator_bits: int
    ib_end: int
    ab_start: int
    dependency: int


@dataclass(frozen=True)
class Range:
    """Bytes `start` to `start + length` of a region."""

    region: int
    start: int
    length: int


@dataclass(frozen=True)
class Operand:
    """The second input of an elementwise operation: a feature map, or a scalar."""

    feature_map: FeatureMap | None
    scalar: int
    zero_point: int
    bits: int
    reversed: bool


@dataclass(frozen=True)
class Operation:
    """One NPU_OP command that does work, with all that its registers say.

    `kind` is CONV, DEPTHWISE, POOL, ELEMENTWISE or DMA. `waits` are the DMA and kernel waits that
    stand directly before it: (outstanding DMA, outstanding kernels), -1 for none.
    """

    index: int
    word: int
    kind: str
    mode: int
    registers: Mapping[str, int]
    dma_wait: int = -1
    kernel_wait: int = -1

    @property
    def name(self) -> str:
        """Its kind with the mode spelled out, e.g. `POOL MAX`."""
        if self.kind == "POOL":
            return f"POOL {Pooling(self.mode).name}"
        if self.kind == "ELEMENTWISE":
            return f"ELEMENTWISE {Elementwise(self.mode).name}"
        return self.kind


@dataclass(frozen=True)
class BlockOperation:
    """An operation that is not a DMA, decoded."""

    operation: Operation
    ifm: FeatureMap
    ofm: FeatureMap
    kernel: Kernel
    output: Output
    block: Block
    operand: Operand | None
    operand_scales: tuple[int, int, int]
    scale_mode: int
    operand_rounding: Rounding
    weights: Range | None
    scales: Range | None

    @property
    def precision(self) -> dict[str, int]:
        """The registers that say what its elements are, for a fault to name."""
        registers = self.operation.registers
        return {name: registers[name] for name in ("IFM_PRECISION", "OFM_PRECISION")}


@dataclass(frozen=True)
class Dma:
    """A copy of `length` bytes; an internal side lies in shared RAM."""

    operation: Operation
    source: Range
    destination: Range
    source_internal: bool
    destination_internal: bool


Decoded = BlockOperation | Dma
