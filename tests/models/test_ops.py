"""The lists of operators, held against the real TFLite-Micro, and how a lacking one is named."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.models import ops, tflite
from harness.models.build import Builder
from tests.models.bases import compiled, edited, everything
from tests.models.wheel import Asked, Wheel


# TFLite-Micro looks operators up one after the other, before it prepares any. So a model of two, the one in
# question and one that is surely missing, fails at the first where that is missing and else at the second.
def _first_and_missing(code: str, custom: bool) -> bytes:
    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4), "int8"), main.output("y", (1, 4), "int8")
    if custom:
        main.custom(code, [x], [y])
        main.operator("TOPK_V2", [x], [y])
    else:
        main.operator(code, [x], [y])
        main.custom("SurelyMissing", [x], [y])
    return out.finish()


def _ask(models: dict[str, bytes]) -> dict[str, str]:
    with Wheel() as wheel:
        return {name: wheel.ask(Asked(model, invokes=0)).said for name, model in models.items()}


def test_the_builtin_list_is_what_tflite_micro_answers_for_every_builtin_of_the_schema() -> None:
    from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator

    codes = [name for name in vars(BuiltinOperator) if not name.startswith("_") and name != "CUSTOM"]
    assert len(codes) > 200
    answers = _ask({code: _first_and_missing(code, custom=False) for code in codes})
    lacking = {c for c, said in answers.items() if f"Didn't find op for builtin opcode '{c}'" in said}
    having = {
        c for c, said in answers.items() if said.startswith("Failed to get registration from op code CUSTOM")
    }
    assert lacking | having == set(codes), "every code has one of the two answers"
    assert having == ops.BUILTIN


def test_the_custom_list_is_what_tflite_micro_answers_for_each_name() -> None:
    names = [*ops.CUSTOM, ops.ETHOS_U, "AudioSpectrogram", "Mfcc", "SurelyMissing"]
    answers = _ask({name: _first_and_missing(name, custom=True) for name in names})
    assert {n for n, said in answers.items() if "builtin opcode 'TOPK_V2'" in said} == ops.CUSTOM


def test_a_lacking_operator_is_named_with_its_first_place_and_count() -> None:
    out = Builder()
    main, other = out.subgraph("main"), out.subgraph("other")
    for graph in (main, other):
        x, y = graph.input("x", (1, 4), "int8"), graph.output("y", (1, 4), "int8")
        graph.operator("RELU", [x], [y])
        graph.operator("TOPK_V2", [x], [y])
    main.custom("Odd\n", [0], [1])
    model = tflite.parse(out.finish(), "m.tflite")
    assert ops.unsupported(model) == [ops.Unsupported("TOPK_V2", 0, 1, 2), ops.Unsupported("Odd\n", 0, 2, 1)]
    said = "TOPK_V2 (operator 1 of subgraph 0), Odd\\n (operator 2 of subgraph 0)"
    assert ops.describe(ops.unsupported(model)) == said


def test_an_npu_operator_is_lacking_only_where_there_is_no_npu() -> None:
    model = tflite.parse(compiled(), "m")
    assert [o.operator for o in ops.unsupported(model)] == ["ethos-u"]
    assert ops.unsupported(model, npu=True) == []


def test_a_builtin_that_the_schema_does_not_know_is_lacking() -> None:
    def renumber(tree: Any) -> None:
        tree.operatorCodes[1].builtinCode = 300
        tree.subgraphs[0].operators[1].builtinOptions = None
        tree.subgraphs[0].operators[1].builtinOptionsType = 0

    model = tflite.parse(edited(everything(), renumber), "m")
    assert [o.operator for o in ops.unsupported(model)] == ["BUILTIN_300", "Odd"]


def test_all_operators_of_a_plain_model_are_there() -> None:
    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4), "float32"), main.output("y", (1, 2), "float32")
    w = main.constant("w", np.ones((2, 4), np.float32))
    main.operator("FULLY_CONNECTED", [x, w, -1], [y])
    assert ops.unsupported(tflite.parse(out.finish(), "m")) == []
