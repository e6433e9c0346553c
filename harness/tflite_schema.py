"""The schema of TensorFlow Lite's model files (version 3): its tables and enumerations, as data.

`tflite_schema.json` names what this project reads and writes: of each table the fields in order, each as
`name:kind` or `name:kind=default`, `-` for a slot that is no longer used; of each enumeration the names of
0, 1, 2, ... A kind is a scalar (`int8`, `bool`, `float32`), `string`, a table's name, `union` (its type is
the field before it), or one of these in brackets for a vector. Names are those of the schema in snake_case,
but `fused_activation` for fused_activation_function.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCALARS = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
}
"""Kinds of numbers, each with its code in `struct`."""

# Options whose numbers are words of an enumeration.
_TENSOR_TYPE_OPTIONS = (
    "in_data_type",
    "out_data_type",
    "out_type",
    "output_type",
    "idx_out_type",
    "quantized_bias_type",
)
ENUMERATED = {
    "padding": "Padding",
    "fused_activation": "ActivationFunctionType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
    "kernel_type": "LSTMKernelType",
    "mode": "MirrorPadMode",
} | dict.fromkeys(_TENSOR_TYPE_OPTIONS, "TensorType")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table: its slot in the vtable from 0, its kind, and its value if a file has none."""

    slot: int
    kind: str
    default: int

    @property
    def is_vector(self) -> bool:
        """Whether the field holds any number of items."""
        return self.kind.startswith("[")

    @property
    def is_scalar(self) -> bool:
        """Whether the field is a number, kept in the table itself."""
        return self.kind in SCALARS


@functools.cache
def _data() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = json.loads(
        Path(__file__).with_suffix(".json").read_text("utf-8")
    )
    return found


@functools.cache
def table(name: str) -> Mapping[str, Field]:
    """Return the fields of a table by name; raises KeyError if there is no such table."""
    fields = {}
    for slot, word in enumerate(" ".join(_data()["tables"][name]).split()):
        key, _, kind = word.partition(":")
        kind, _, default = kind.partition("=")
        if kind:
            fields[key] = Field(slot, kind, int(default or 0))
    return fields


def names(enumeration: str) -> list[str]:
    """Return the names of an enumeration; the index of each is its number."""
    return _data()["enumerations"][enumeration]


def number(enumeration: str, name: str) -> int:
    """Return the number of a name; raises ValueError if the enumeration has no such name."""
    try:
        return names(enumeration).index(name)
    except ValueError:
        raise ValueError(f"the schema's {enumeration} has no '{name}'") from None
