"""The register file, and the operations that it describes whenever an NPU_OP command is met.

Field layouts follow ethos-u-vela's register definitions (`npu_set_*_t` structures); what Vela leaves
unset is not needed by the operation, so a register is only asked for if it takes part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.operations import (
    UNSCALED,
    Activation,
    Block,
    BlockOperation,
    Decoded,
    Dma,
    Elementwise,
    FeatureMap,
    Kernel,
    Operand,
    Operation,
    Output,
    Pooling,
    Range,
    Rounding,
    Upscale,
)
from harness.models.npu.stream import Command

# Largest output block (height, width, depth) of the architecture (Vela's `ofm_block_max`).
MAX_BLOCK = (32, 64, 128)
# Largest kernels, dilation counted: rows, and elements in all (ethos-u-vela 5.2,
# `tflite_supported_operators.py`: `filter_height_range` and `filter_product_range` of pooling,
# `dilated_height_range` and `dilated_product_range` of convolution). Columns have no limit of their own.
MAX_POOLING = (256, 256 * 256)
MAX_CONVOLUTION = (64, 64 * 64)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class _Reader:
    """Reads registers of one operation; an unset one is a fault that names it."""

    def __init__(self, registers: Mapping[str, int]) -> None:
        self._registers = registers

    def raw(self, name: str) -> int:
        if name not in self._registers:
            raise NpuFault(f"register {name} was never set")
        return self._registers[name]

    def bits(self, name: str, low: int, count: int) -> int:
        return self.raw(name) >> low & (1 << count) - 1

    def word(self, name: str) -> int:
        return self.raw(name) & 0xFFFFFFFF

    def address(self, name: str) -> int:
        return self.raw(name) & (1 << 40) - 1

    def stride(self, name: str) -> int:
        return _signed(self.raw(name), 40)

    def number(self, name: str, signed: bool) -> int:
        value = self.raw(name) & 0xFFFF
        return _signed(value, 16) if signed else value


def _bits_of(code: int, name: str, value: int) -> int:
    if code > 2:
        raise NpuFault(f"reserved precision in {name}", registers={name: value})
    return 8 << code


def _feature_map(
    reader: _Reader, name: str, shape: tuple[int, int, int], bits: int, signed: bool, layout: int
) -> FeatureMap:
    if layout > 1:
        raise NpuFault(f"reserved format in {name}_PRECISION")
    bases = tuple(reader.address(f"{name}_BASE{tile}") for tile in range(4))
    return FeatureMap(
        name=name,
        region=reader.bits(f"{name}_REGION", 0, 3),
        bases=(bases[0], bases[1], bases[2], bases[3]),
        height0=reader.raw(f"{name}_HEIGHT0_M1") + 1,
        height1=reader.raw(f"{name}_HEIGHT1_M1") + 1,
        width0=reader.raw(f"{name}_WIDTH0_M1") + 1,
        height=shape[0],
        width=shape[1],
        depth=shape[2],
        stride_y=reader.stride(f"{name}_STRIDE_Y"),
        stride_x=reader.stride(f"{name}_STRIDE_X"),
        stride_c=reader.stride(f"{name}_STRIDE_C"),
        bits=bits,
        signed=signed,
        blocked=bool(layout),
        zero_point=reader.number(f"{name}_ZERO_POINT", signed),
    )


def _ifm_precision(reader: _Reader, name: str) -> tuple[int, bool, int]:
    register = f"{name}_PRECISION"
    precision = reader.bits(register, 0, 4)
    return (
        _bits_of(precision >> 2, register, reader.raw(register)),
        bool(precision & 1),
        reader.bits(register, 6, 2),
    )


def _ofm(reader: _Reader) -> FeatureMap:
    precision = reader.bits("OFM_PRECISION", 0, 3)
    shape = (
        reader.raw("OFM_HEIGHT_M1") + 1,
        reader.raw("OFM_WIDTH_M1") + 1,
        reader.raw("OFM_DEPTH_M1") + 1,
    )
    bits = _bits_of(precision >> 1, "OFM_PRECISION", reader.raw("OFM_PRECISION"))
    return _feature_map(reader, "OFM", shape, bits, bool(precision & 1), reader.bits("OFM_PRECISION", 6, 2))


def _kernel(reader: _Reader, kind: str) -> Kernel:
    stride = reader.raw("KERNEL_STRIDE")
    dilation_x, dilation_y = (stride >> 3 & 1) + 1, (stride >> 4 & 1) + 1
    reach_y, reach_x = reader.raw("KERNEL_HEIGHT_M1"), reader.raw("KERNEL_WIDTH_M1")
    upscale = reader.bits("IFM_UPSCALE", 0, 2)
    if reach_y % dilation_y or reach_x % dilation_x:
        raise NpuFault("kernel size and dilation do not agree", registers={"KERNEL_STRIDE": stride})
    rows, elements = MAX_POOLING if kind == "POOL" else MAX_CONVOLUTION
    if reach_y >= rows or (reach_y + 1) * (reach_x + 1) > elements:
        raise NpuFault(
            f"{kind} kernel of {reach_y + 1}x{reach_x + 1}; it may have {rows} rows and {elements:,} elements"
        )
    if stride >> 5 & 1:
        raise NotModelled("kernel decomposition into 4x4 sub-kernels", registers={"KERNEL_STRIDE": stride})
    if upscale > 2:
        raise NpuFault("reserved upscaling mode", registers={"IFM_UPSCALE": upscale})
    return Kernel(
        height=reach_y // dilation_y + 1,
        width=reach_x // dilation_x + 1,
        stride_y=((stride >> 1 & 1) | (stride >> 9 & 1) << 1) + 1,
        stride_x=((stride & 1) | (stride >> 6 & 1) << 1) + 1,
        dilation_y=dilation_y,
        dilation_x=dilation_x,
        top=reader.bits("IFM_PAD_TOP", 0, 8),
        left=reader.bits("IFM_PAD_LEFT", 0, 8),
        bottom=reader.bits("IFM_PAD_BOTTOM", 0, 8),
        right=reader.bits("IFM_PAD_RIGHT", 0, 8),
        part_kernel_first=bool(stride >> 2 & 1),
        upscale=Upscale(upscale),
    )


_UNIT_KERNEL = Kernel(1, 1, 1, 1, 1, 1, 0, 0, 0, 0, False, Upscale.NONE)


def _input_size(outputs: int, stride: int, reach: int, before: int, after: int, upscale: Upscale) -> int:
    """Rows (or columns) that are read, which no register holds: it follows from the output's."""
    size = (outputs - 1) * stride + reach - before - after
    if size < 1:
        raise NpuFault(f"padding {before}+{after} leaves nothing of an input of {size + before + after}")
    return -(-size // 2) if upscale else size


def _output(reader: _Reader, kind: str, mode: int, signed: bool) -> Output:
    rounding = reader.bits("OFM_PRECISION", 14, 2)
    if rounding > 2:
        raise NpuFault("reserved rounding mode", registers={"OFM_PRECISION": reader.raw("OFM_PRECISION")})
    global_scale = bool(reader.bits("OFM_PRECISION", 8, 1))
    scale, shift = 1, 0
    if global_scale or (kind == "ELEMENTWISE" and Elementwise(mode) not in UNSCALED):
        scale, shift = reader.word("OFM_SCALE"), reader.bits("OFM_SCALE", 32, 6)
    minimum = reader.number("ACTIVATION_MIN", signed)
    maximum = reader.number("ACTIVATION_MAX", signed)
    activation = Activation(
        reader.bits("ACTIVATION", 0, 12), reader.bits("ACTIVATION", 12, 4), minimum, maximum
    )
    if minimum > maximum:
        raise NpuFault(f"activation range {minimum}..{maximum} is empty")
    return Output(global_scale, Rounding(rounding), scale, shift, activation)


def _block(reader: _Reader) -> Block:
    accumulator = reader.raw("ACC_FORMAT")
    if accumulator > 2:
        raise NpuFault("reserved accumulator format", registers={"ACC_FORMAT": accumulator})
    sizes = [reader.raw(f"OFM_BLK_{axis}_M1") + 1 for axis in ("HEIGHT", "WIDTH", "DEPTH")]
    if any(size > largest for size, largest in zip(sizes, MAX_BLOCK, strict=True)):
        raise NpuFault(f"output block of {'x'.join(map(str, sizes))}, the largest is 32x64x128")
    return Block(
        height=sizes[0],
        width=sizes[1],
        depth=sizes[2],
        accumulator_bits=(32, 40, 16)[accumulator],
        ib_end=reader.raw("IFM_IB_END"),
        ab_start=reader.raw("AB_START"),
        dependency=reader.raw("BLOCKDEP"),
    )


def _operand(reader: _Reader, ofm: FeatureMap) -> Operand:
    broadcast = reader.raw("IFM2_BROADCAST")
    bits, signed, layout = _ifm_precision(reader, "IFM2")
    is_reversed = bool(broadcast >> 6 & 1)
    if broadcast >> 7 & 1:
        zero_point = reader.number("IFM2_ZERO_POINT", signed)
        return Operand(None, reader.number("IFM2_SCALAR", signed), zero_point, bits, is_reversed)
    shape = (
        1 if broadcast & 1 else ofm.height,
        1 if broadcast & 2 else ofm.width,
        1 if broadcast & 4 else ofm.depth,
    )
    feature_map = _feature_map(reader, "IFM2", shape, bits, signed, layout)
    return Operand(feature_map, 0, feature_map.zero_point, bits, is_reversed)


def block_operation(operation: Operation) -> BlockOperation:
    """Decode the registers of an operation that is not a DMA; raises NpuFault, placed at the operation."""
    try:
        return _block_operation(operation)
    except NpuFault as fault:
        raise fault.at(operation.index) from None


def _block_operation(operation: Operation) -> BlockOperation:
    reader = _Reader(operation.registers)
    kind, mode = operation.kind, operation.mode
    elementwise = kind == "ELEMENTWISE"
    ofm = _ofm(reader)
    bits, signed, layout = _ifm_precision(reader, "IFM")
    kernel = _UNIT_KERNEL if elementwise else _kernel(reader, kind)
    if elementwise and reader.bits("IFM_UPSCALE", 0, 2):
        raise NotModelled("upscaling in an elementwise operation")
    height = _input_size(
        ofm.height, kernel.stride_y, kernel.reach_y, kernel.top, kernel.bottom, kernel.upscale
    )
    width = _input_size(ofm.width, kernel.stride_x, kernel.reach_x, kernel.left, kernel.right, kernel.upscale)
    reduces = kind == "CONV" or (kind == "POOL" and mode == Pooling.REDUCE_SUM)
    depth = reader.raw("IFM_DEPTH_M1") + 1 if reduces else ofm.depth
    ifm = _feature_map(reader, "IFM", (height, width, depth), bits, signed, layout)
    scale_mode = reader.bits("IFM_PRECISION", 8, 2)
    operand_rounding = reader.bits("IFM_PRECISION", 14, 2)
    if scale_mode > 2 or operand_rounding > 2:
        raise NpuFault(
            "reserved scaling of an input", registers={"IFM_PRECISION": reader.raw("IFM_PRECISION")}
        )
    operand = _operand(reader, ofm) if elementwise and not Elementwise(mode).unary else None
    operand_scales = (1, 0, 1)
    if elementwise and mode in (Elementwise.ADD, Elementwise.SUB):
        operand_scales = (reader.word("OPA_SCALE"), reader.bits("OPA_SCALE", 32, 6), reader.word("OPB_SCALE"))
    weights = scales = None
    if kind in ("CONV", "DEPTHWISE"):
        region = reader.bits("WEIGHT_REGION", 0, 3)
        weights = Range(region, reader.address("WEIGHT_BASE"), reader.word("WEIGHT_LENGTH"))
        region = reader.bits("SCALE_REGION", 0, 3)
        scales = Range(region, reader.address("SCALE_BASE"), reader.word("SCALE_LENGTH"))
    return BlockOperation(
        operation=operation,
        ifm=ifm,
        ofm=ofm,
        kernel=kernel,
        output=_output(reader, kind, mode, ofm.signed),
        block=_block(reader),
        operand=operand,
        operand_scales=operand_scales,
        scale_mode=scale_mode,
        operand_rounding=Rounding(operand_rounding),
        weights=weights,
        scales=scales,
    )


def dma(operation: Operation) -> Dma:
    """Decode the registers of a DMA operation; raises NpuFault, placed at the operation."""
    reader = _Reader(operation.registers)
    try:
        source, destination = reader.raw("DMA0_SRC_REGION"), reader.raw("DMA0_DST_REGION")
        if (source >> 9 & 3) or (destination >> 9 & 3):
            raise NotModelled("two- or three-dimensional DMA")
        length = reader.address("DMA0_LEN")
        return Dma(
            operation=operation,
            source=Range(source & 7, reader.address("DMA0_SRC"), length),
            destination=Range(destination & 7, reader.address("DMA0_DST"), length),
            source_internal=bool(source >> 8 & 1),
            destination_internal=bool(destination >> 8 & 1),
        )
    except NpuFault as fault:
        raise fault.at(operation.index) from None


_KINDS = {"CONV": None, "DEPTHWISE": None, "POOL": Pooling, "ELEMENTWISE": Elementwise, "DMA_START": None}


def operations(commands: Iterable[Command]) -> list[Operation]:
    """Run the register file over the commands and return the operations in order.

    Raises NpuFault on a mode that the architecture does not define and on a second core's set-up.
    """
    registers: dict[str, int] = {}
    found: list[Operation] = []
    dma_wait = kernel_wait = -1
    for command in commands:
        if not command.is_operation:
            registers[command.name] = command.value
            if command.name == "PARALLEL_MODE" and command.value:
                raise NpuFault(
                    "the stream is for two cores; an Ethos-U55 has one", len(found), {"PARALLEL_MODE": 1}
                )
        elif command.name == "DMA_WAIT":
            dma_wait = command.parameter & 0xF
        elif command.name == "KERNEL_WAIT":
            kernel_wait = command.parameter & 0xF
        elif command.name in _KINDS:
            modes = _KINDS[command.name]
            if modes is not None and command.parameter not in set(modes):
                raise NpuFault(f"{command.name} has no mode {command.parameter}", len(found))
            kind = "DMA" if command.name == "DMA_START" else command.name
            found.append(
                Operation(
                    index=len(found),
                    word=command.word,
                    kind=kind,
                    mode=command.parameter,
                    registers=dict(registers),
                    dma_wait=dma_wait,
                    kernel_wait=kernel_wait,
                )
            )
            dma_wait = kernel_wait = -1
    return found


def decoded(operations: Iterable[Operation]) -> list[Decoded]:
    """Decode the registers of every operation; raises NpuFault, placed at the operation."""
    return [dma(op) if op.kind == "DMA" else block_operation(op) for op in operations]
