"""The window of a convolution as kernel libraries look at it to size their buffers."""

from __future__ import annotations

from dataclasses import dataclass

from harness.models.graph import Operator
from harness.models.operator_memory import Node


@dataclass(frozen=True)
class Window:
    """The shapes of a convolution, heights before widths, and its padding above and to the left."""

    input: tuple[int, int]
    output: tuple[int, int]
    filter: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def input_area(self) -> int:
        return self.input[0] * self.input[1]

    @property
    def output_area(self) -> int:
        return self.output[0] * self.output[1]

    @property
    def filter_area(self) -> int:
        return self.filter[0] * self.filter[1]

    @property
    def padded(self) -> bool:
        return self.padding != (0, 0)

    def beyond(self) -> tuple[int, int]:
        """Return how far unpadded windows reach past the lower and right edge; may be negative."""
        height, width = (
            o * s + f - 1 - i
            for o, s, f, i in zip(self.output, self.stride, self.filter, self.input, strict=True)
        )
        return height, width

    def grown(self, by: tuple[int, int]) -> int:
        """Return the area of the input with `by` more rows and columns."""
        return (self.input[0] + by[0]) * (self.input[1] + by[1])


def window_of(node: Node) -> Window:
    """Return the shapes of a convolution; raises LookupError if it has not such shapes."""
    image, made, filter = shapes = [t.shape for t in (node.need(0), node.output(), node.need(1))]
    if any(len(shape) != 4 for shape in shapes):
        raise LookupError("four dimensions")
    strides = _pair(node.operator, "stride")
    dilations = _pair(node.operator, "dilation", "_factor")
    padding = (0, 0)
    if node.operator.options.get("padding", "SAME") == "SAME":
        height, width = (
            max(0, (-(-i // s) - 1) * s + (f - 1) * d + 1 - i) // 2
            for i, s, f, d in zip(image[1:3], strides, filter[1:3], dilations, strict=True)
        )
        padding = (height, width)
    return Window(
        (image[1], image[2]), (made[1], made[2]), (filter[1], filter[2]), strides, padding, dilations
    )


def _pair(operator: Operator, name: str, ending: str = "") -> tuple[int, int]:
    height, width = (operator.number(f"{name}_{side}{ending}") for side in "hw")
    return height, width
