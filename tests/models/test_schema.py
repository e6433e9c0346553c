"""The schema's data, held against the classes that the flatbuffers compiler made of the schema for Vela."""

from __future__ import annotations

import importlib
import struct
from typing import Any

import flatbuffers
import pytest
from ethosu.vela.ethos_u55_regs.ethos_u55_regs import cmd0, cmd1

from harness import tflite_schema
from harness.models.flatbuffer import ReadBudget, root
from harness.models.npu import stream

_DATA = tflite_schema._data()


def _generated(name: str) -> Any:
    return importlib.import_module(f"ethosu.vela.tflite.{name}")


def _plain(field: str) -> str:
    return field.replace("fused_activation", "fused_activation_function").replace("_", "")


@pytest.mark.parametrize("name", _DATA["enumerations"])
def test_an_enumeration_has_the_schemas_names_and_numbers(name: str) -> None:
    theirs = {k: v for k, v in vars(getattr(_generated(name), name)).items() if not k.startswith("_")}
    assert {word: number for number, word in enumerate(tflite_schema.names(name))} == theirs


def test_every_kind_of_options_has_its_table() -> None:
    for union in ("BuiltinOptions", "BuiltinOptions2"):
        for name in tflite_schema.names(union)[1:]:
            tflite_schema.table(name)


@pytest.mark.parametrize("name", _DATA["tables"])
def test_a_table_has_all_the_schemas_fields_where_the_generated_writer_puts_them(name: str) -> None:
    module = _generated(name)
    adders = {key.removeprefix(f"{name}Add").lower(): key for key in vars(module) if f"{name}Add" in key}
    assert set(adders) == {_plain(field) for field in tflite_schema.table(name)}
    for key, field in tflite_schema.table(name).items():
        out = flatbuffers.Builder(64)
        value: Any = 3
        if field.kind == "bool":
            value = not field.default
        elif field.kind == "float32":
            value = 0.5
        elif not field.is_scalar:
            value = out.CreateByteVector(struct.pack("<8B", *range(8)))
        getattr(module, f"{name}Start")(out)
        getattr(module, adders[_plain(key)])(out, value)
        out.Finish(getattr(module, f"{name}End")(out))
        data = bytes(out.Output())
        table = root(name, data, ReadBudget(len(data)))
        assert [other for other in tflite_schema.table(name) if table.where(other) is not None] == [key]
        if field.is_scalar:
            assert table.scalar(key) == value


@pytest.mark.parametrize("name", _DATA["tables"])
def test_what_a_file_leaves_out_is_the_schemas_default(name: str) -> None:
    module = _generated(name)
    out = flatbuffers.Builder(64)
    getattr(module, f"{name}Start")(out)
    out.Finish(getattr(module, f"{name}End")(out))
    data = bytes(out.Output())
    theirs = getattr(module, name).GetRootAs(data, 0)
    readers = {key.lower(): key for key in vars(type(theirs))}
    ours = root(name, data, ReadBudget(len(data)))
    for key, field in tflite_schema.table(name).items():
        if field.is_scalar:
            assert ours.scalar(key) == getattr(theirs, readers[_plain(key)])()


def test_the_npus_commands_are_those_of_velas_register_definitions() -> None:
    prefixes = {"NPU_OP_": True, "NPU_SET_": False}
    for ours, theirs in ((stream._PLAIN, cmd0), (stream._LOADED, cmd1)):
        assert ours == {
            member.value: (member.name.removeprefix(prefix), is_operation)
            for member in theirs
            for prefix, is_operation in prefixes.items()
            if member.name.startswith(prefix)
        }
