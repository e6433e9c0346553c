"""Why a model would not run: for each kind of reason a model made for it, which trips that one alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import boards
from harness.check import firmware
from harness.check.firmware import FirmwareLimits
from harness.check.reasons import reasons
from harness.check.verdict import judge
from harness.errors import HarnessError
from harness.models import ethosu, tflite, vela
from harness.models.build import Builder, Scale, Subgraph
from harness.models.graph import Model

XIAO, WE1, WE2 = (boards.load(b) for b in ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2"))
UNIT = Scale(0.5)


def model(build: Callable[[Subgraph], None]) -> Model:
    out = Builder()
    build(out.subgraph("main"))
    return tflite.parse(out.finish(), "made")


def relu(shape: tuple[int, ...] = (1, 8, 8, 1), type: str = "int8") -> Model:
    scale = UNIT if type == "int8" else None

    def build(main: Subgraph) -> None:
        main.operator("RELU", [main.input("x", shape, type, scale)], [main.output("y", shape, type, scale)])

    return model(build)


def conv(weights: str = "int8", activations: str = "int8", size: int = 8) -> Model:
    def build(main: Subgraph) -> None:
        scale = UNIT if activations == "int8" else None
        x = main.input("x", (1, size, size, 3), activations, scale)
        w = main.constant("w", np.ones((4, 1, 1, 3), weights), Scale((0.5,) * 4, (0,) * 4))
        b = main.constant("b", np.ones(4, "int32"), Scale((0.25,) * 4, (0,) * 4))
        y = main.output("y", (1, size, size, 4), activations, scale)
        options = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
        main.operator("CONV_2D", [x, w, b], [y], version=3, padding="SAME", **options)

    return model(build)


def compiled(source: Model, accelerator: str = "ethos-u55-64") -> Model:
    assert WE2.vela is not None
    made = vela.compile(source.data, "made", accelerator=accelerator, settings=WE2.vela.settings())
    return tflite.parse(made.data, "made")


def kinds(made: Model, board: boards.Profile = XIAO, name: str | None = None, **more: int) -> list[str]:
    return [r.kind for r in reasons(made, board, firmware.choose(board, name), **more)]  # type: ignore[arg-type]


def test_a_sound_model_has_nothing_against_it() -> None:
    assert kinds(conv()) == kinds(conv(), WE1) == kinds(compiled(conv()), WE2) == []


def test_an_operator_that_tflite_micro_lacks() -> None:
    made = model(
        lambda main: main.custom(
            "MyOperator", [main.input("x", (1, 4), "int8")], [main.output("y", (1, 4), "int8")]
        )
    )
    assert kinds(made) == ["operator"]


def test_an_operator_that_the_vendors_firmware_does_not_register() -> None:
    assert kinds(relu(), WE1, "sscma") == []
    made = model(
        lambda main: main.operator(
            "LOGISTIC",
            [main.input("x", (1, 8, 8, 1), "int8", UNIT)],
            [main.output("y", (1, 8, 8, 1), "int8", Scale(1 / 256, -128))],
        )
    )
    assert kinds(made, XIAO, "sscma") == []
    assert kinds(made, WE1, "edgelab-meter") == ["unregistered operator"]


def test_hybrid_weights() -> None:
    (found,) = reasons(conv(activations="float32"), XIAO, firmware.choose(XIAO))
    assert found.kind == "type"
    assert "hybrid" in found.what
    assert "representative dataset" in found.remedy


def test_a_type_that_no_kernel_takes() -> None:
    assert kinds(relu(type="uint8")) == ["type"]


def test_float_on_an_int8_only_build(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text('[[firmware]]\nname = "small"\ntypes = ["int8"]\nsource = "its build"\n')
    assert kinds(relu(type="float32"), XIAO, str(path)) == ["type"]
    assert kinds(relu(), XIAO, str(path)) == []


def test_the_first_operator_that_fails_comes_first_whatever_is_wrong_with_it() -> None:
    """One of a type that its kernel does not take, then one that there is no kernel for, then both again."""

    def build(main: Subgraph) -> None:
        last = main.input("x", (1, 4), "int8", UNIT)
        for _ in range(2):
            unsigned = main.tensor("unsigned", (1, 4), "uint8")
            wide, next = main.tensor("wide", (1, 4), "int32"), main.tensor("next", (1, 4), "int8", UNIT)
            main.operator("RELU", [last], [unsigned])
            main.operator("CAST", [unsigned], [wide])
            main.custom("Mine", [wide], [next])
            last = next
        main.operator("RELU", [last], [main.output("y", (1, 4), "int8", UNIT)])

    found = reasons(model(build), XIAO, firmware.choose(XIAO))
    assert [(r.kind, r.subgraph, r.operator) for r in found] == [("type", 0, 1), ("operator", 0, 2)]
    assert found[0].what.startswith("operator 1 (CAST) of subgraph 0 has uint8 as input 0")
    assert "Mine (operator 2 of subgraph 0)" in found[1].what


@pytest.mark.parametrize(
    ("code", "inputs", "kind"),
    [
        ("TRANSPOSE", [("x", (2, 3), "float32"), ("order", (2,), "int32")], "constant input"),
        ("TRANSPOSE", [("x", (1,) * 6, "float32")], "shape"),
        ("LOGISTIC", [("x", (1, 4), "int8")], "scale"),
    ],
)
def test_what_a_kernel_refuses_besides_types(
    code: str, inputs: list[tuple[str, tuple[int, ...], str]], kind: str
) -> None:
    def build(main: Subgraph) -> None:
        given = [main.input(*each, UNIT if each[2] == "int8" else None) for each in inputs]
        shape, type = inputs[0][1:]
        main.operator(code, given, [main.output("y", shape, type, UNIT if type == "int8" else None)])

    assert kinds(model(build)) == [kind]


def test_an_output_without_a_fixed_size() -> None:
    made = model(
        lambda main: main.operator(
            "RESHAPE", [main.input("x", (1, 4), "int8")], [main.output("y", (4, 0), "int8")], new_shape=(4, 0)
        )
    )
    assert kinds(made) == ["dynamic shape"]


def test_an_arena_larger_than_the_firmwares() -> None:
    (found,) = reasons(relu((1, 640, 512, 1)), WE1, firmware.choose(WE1))
    assert found.kind == "arena"
    assert "missing" in found.what


def test_an_arena_larger_than_the_memory() -> None:
    (found,) = reasons(relu((1, 2048, 1024, 1)), WE1, firmware.choose(WE1))
    assert found.kind == "arena"
    assert "2097152 bytes of sram" in found.what


def test_a_model_larger_than_its_place_in_flash() -> None:
    def build(main: Subgraph) -> None:
        big = main.constant("w", np.ones((1, 1_200_000), "int8"), UNIT)
        index = main.constant("i", np.zeros(2, "int32"))
        size = main.constant("n", np.array([1, 16], "int32"))
        part = main.tensor("part", (1, 16), "int8", UNIT)
        main.operator("SLICE", [big, index, size], [part])
        x, y = main.input("x", (1, 16), "int8", UNIT), main.output("y", (1, 16), "int8", UNIT)
        main.operator("ADD", [x, part], [y])

    assert kinds(model(build), WE1) == ["model size"]
    assert kinds(model(build), XIAO) == []


@pytest.mark.parametrize("address", [0x10000, 0x400100, 0x7FF000, 0x900000])
def test_an_address_where_the_model_cannot_be(address: int) -> None:
    made = relu((1, 64, 64, 1))
    padded = tflite.parse(made.data + bytes(8192), "made")
    assert kinds(padded, XIAO, address=address) == ["model address"]
    assert kinds(padded, XIAO, address=0x400000) == []


def test_regions_for_models_that_follow_each_other_are_one_room() -> None:
    assert kinds(compiled(conv()), WE2, address=0x3FF000) == []


def test_a_vela_file_on_a_board_without_npu() -> None:
    assert kinds(compiled(conv()), XIAO) == ["no NPU"]


def test_a_vela_file_for_another_accelerator() -> None:
    assert kinds(compiled(conv(), "ethos-u55-128"), WE2) == ["other NPU"]


@pytest.mark.interop
def test_person_detect_vela_is_refused_for_the_we2(shared: Path) -> None:
    (found,) = reasons(
        tflite.read(shared / "models" / "person_detect_vela.tflite"), WE2, firmware.choose(WE2)
    )
    assert found.kind == "other NPU"
    assert "ethos-u55-256" in found.what
    assert "ethos-u55-64" in found.what


def test_commands_of_a_version_that_the_npu_does_not_take() -> None:
    data = bytearray(compiled(conv()).data)
    at = data.index(b"COP1") + 8  # the fourcc, the action, then the NPU configuration
    (npu,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, npu | 1 << 4)
    assert kinds(tflite.parse(bytes(data), "made"), WE2) == ["command stream"]


def test_a_command_stream_that_cannot_be_decoded() -> None:
    made = compiled(conv())
    words = ethosu.command_stream(made, made.subgraphs[0], made.subgraphs[0].operators[0]).tobytes()
    data = bytearray(made.data)
    struct.pack_into("<I", data, data.index(words), 0x3FF)
    (found,) = reasons(tflite.parse(bytes(data), "made"), WE2, firmware.choose(WE2))
    assert found.kind == "command stream"
    assert "damaged: unknown command 0x000003ff at word" in found.what


@pytest.mark.parametrize("shape", [(1, 49, 10, 8), (1, 640), (2, 8, 8, 1)])
def test_an_input_that_a_camera_cannot_fill(shape: tuple[int, ...]) -> None:
    assert kinds(relu(shape), XIAO, "sscma") == ["input"]
    assert kinds(relu(shape), XIAO) == []


def test_two_inputs_and_a_camera() -> None:
    def build(main: Subgraph) -> None:
        inputs = [main.input(n, (1, 8, 8, 1), "int8", UNIT) for n in "ab"]
        main.operator("ADD", inputs, [main.output("y", (1, 8, 8, 1), "int8", UNIT)])

    assert kinds(model(build), XIAO, "sscma") == ["input"]


def test_an_operator_of_the_firmwares_own_whose_memory_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[[firmware]]\nname = "own"\noperators = ["Mine"]\narena = "64 KiB"\nsource = "me"\n')
    own = firmware.choose(XIAO, str(path))

    def custom(size: int) -> Model:
        return model(
            lambda main: main.custom(
                "Mine", [main.input("x", (1, size), "int8")], [main.output("y", (1, 4), "int8")]
            )
        )

    assert [r.kind for r in reasons(custom(100), XIAO, own)] == []
    assert [r.kind for r in reasons(custom(20_000), XIAO, own)] == ["arena not known"]


@pytest.mark.interop
@pytest.mark.parametrize("board", [XIAO, WE1, boards.load("sensecap_a1101"), WE2], ids=lambda b: b.id)
def test_every_int8_model_on_every_board(shared: Path, board: boards.Profile) -> None:
    for path in sorted((shared / "models").glob("*.tflite")):
        if "vela" in path.name:
            continue
        made = tflite.read(path)
        assert kinds(compiled(made) if board is WE2 else made, board) == [], path.name


class TestFirmware:
    def test_the_default_is_the_one_that_speaks_the_boards_protocol(self) -> None:
        assert firmware.choose(XIAO).name == XIAO.protocols.default

    def test_an_unknown_name_says_what_is_known(self) -> None:
        with pytest.raises(HarnessError, match="did you mean 'sscma'"):
            firmware.choose(XIAO, "sscam")

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("x", "not valid TOML"),
            ("", "0 .*tables"),
            ('[[firmware]]\nname = "a"\n', "source"),
            ("firmware = [1]\n", "firmware"),
        ],
    )
    def test_a_file_that_is_none_is_one_clear_line(self, tmp_path: Path, text: str, complaint: str) -> None:
        path = tmp_path / "f.toml"
        path.write_text(text)
        with pytest.raises(HarnessError, match=complaint) as caught:
            firmware.choose(XIAO, str(path))
        assert "\n" not in str(caught.value)

    def test_operators_of_known_firmwares_are_tflite_micros(self) -> None:
        from harness.models import ops

        for found in firmware._known():
            assert set(found.operators or ()) <= ops.BUILTIN | ops.CUSTOM | {ops.ETHOS_U}

    def test_a_protocol_that_no_known_firmware_speaks_sets_no_limits(self) -> None:
        own = XIAO.model_copy(update={"id": "mine"})
        found = firmware.speaking(own, "sscma")
        assert isinstance(found, FirmwareLimits)
        assert found.operators is None


def test_a_model_that_vela_refuses_is_refused_with_what_vela_says() -> None:
    out = Builder()
    main, *sides = (out.subgraph(name) for name in ("main", "then", "else"))
    given = [main.input("condition", (1,), "bool"), main.input("x", (1, 4), "float32")]
    y = main.output("y", (1, 4), "float32")
    main.operator("IF", given, [y], then_subgraph_index=1, else_subgraph_index=2)
    for side in sides:
        side.operator("ABS", [side.input("x", (1, 4), "float32")], [side.output("y", (1, 4), "float32")])
    found = judge(tflite.parse(out.finish(), "branches"), WE2, firmware.choose(WE2))
    assert [reason.kind for reason in found.reasons] == ["not compiled"]
    assert "Vela" in (found.why_not or "")
    assert judge(found.model, XIAO, firmware.choose(XIAO)).runs


def test_a_plan_and_check_judge_alike() -> None:
    from harness.runner.plan import why_not

    for made in (relu(), relu(type="uint8"), conv(), conv(activations="float32"), relu((1, 2048, 1024, 1))):
        for board in (XIAO, WE1, WE2):
            assert why_not(made, board) == judge(made, board, firmware.speaking(board, None)).why_not
