"""Generated models, compiled by the real Vela: bit-exact, or known by name with the reason."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest

from harness.emulator.npu import convolution, elementwise
from harness.models.build import Builder, Scale
from tests.emulator.npu import corpus, velafiles
from tests.emulator.npu.judge import verdict
from tests.emulator.npu.velafiles import Settings

# What a run of the soak covers: more than 2,000 models over all NPU sizes and both optimisations.
SETTINGS = [
    Settings(macs, "regor", optimise) for macs in (64, 32, 128, 256) for optimise in ("Performance", "Size")
]
ROUND = len(corpus.FAMILIES)


@cache
def _compiled(
    settings: Settings, seeds: tuple[int, ...]
) -> tuple[dict[str, corpus.Case], dict[str, velafiles.Result]]:
    cases = {case.name: case for case in map(corpus.case, seeds)}
    return cases, velafiles.compile_all({name: case.model for name, case in cases.items()}, settings)


def _wrong(seeds_by_settings: dict[Settings, list[int]], runs: int) -> tuple[list[str], dict[str, int]]:
    """Return what is neither exact nor left to the CPU, and how many of each verdict there were."""
    wrong: list[str] = []
    counts: dict[str, int] = defaultdict(int)
    for settings, seeds in seeds_by_settings.items():
        cases, results = _compiled(settings, tuple(seeds))
        for name, case in cases.items():
            data = results[name].data
            said = verdict(case, data, runs) if data is not None else f"Vela: {results[name].log}"
            counts[said if said in ("exact", "cpu", "no reference") else "wrong"] += 1
            if said not in ("exact", "cpu"):
                wrong.append(f"{settings} {name}: {said}")
    return wrong, counts


def test_a_model_of_every_family_is_bit_exact_on_64_macs() -> None:
    wrong, counts = _wrong({SETTINGS[0]: list(range(ROUND))}, runs=1)
    assert not wrong
    assert counts["exact"] >= ROUND - 2


@pytest.mark.parametrize("settings", SETTINGS[2::2], ids=str)
def test_some_models_are_bit_exact_on_the_other_npu_sizes(settings: Settings) -> None:
    seeds = list(range(5 * ROUND + settings.macs // 32, 6 * ROUND, 5))
    wrong, counts = _wrong({settings: seeds}, runs=1)
    assert not wrong
    assert counts["exact"]


@pytest.mark.parametrize("worth", [1, 1 << 30], ids=["by tables of pairs", "element by element"])
def test_elementwise_operations_are_bit_exact_either_way(monkeypatch: pytest.MonkeyPatch, worth: int) -> None:
    monkeypatch.setattr(elementwise, "_WORTH_A_TABLE", worth)
    binary = ("add", "sub", "mul", "minimum", "maximum", "squared_difference", "residual")
    seeds = [s for s in range(ROUND, 3 * ROUND) if corpus.FAMILIES[s % ROUND].__name__ in binary]
    wrong, counts = _wrong({SETTINGS[0]: seeds}, runs=1)
    assert not wrong
    assert counts["exact"] == len(seeds)


def test_convolutions_are_bit_exact_in_small_pieces_and_in_either_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convolution, "_PIECE_BYTES", 1000)
    convolutions = ("conv_2d", "depthwise_conv_2d", "transpose_conv", "fully_connected")
    seeds = [s for s in range(ROUND, 2 * ROUND) if corpus.FAMILIES[s % ROUND].__name__ in convolutions]
    for exact in (1 << 24, 0):
        monkeypatch.setattr(convolution, "_FLOAT32_EXACT", exact)
        wrong, counts = _wrong({SETTINGS[0]: seeds}, runs=1)
        assert not wrong
        assert counts["exact"] == len(seeds)


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_a_softmax_over_a_thousand_classes_is_bit_exact(kind: str) -> None:
    builder = Builder()
    graph = builder.subgraph("main")
    narrow = kind == "int8"
    x = graph.input("x", (1, 1000), kind, Scale(0.05, 3) if narrow else Scale(0.0005, 0))
    y = graph.output("y", (1, 1000), kind, Scale(1 / 256, -128) if narrow else Scale(1 / 32768, 0))
    graph.operator("SOFTMAX", [x], [y], version=2 if narrow else 3, beta=1.0)
    case = corpus.Case(1, "softmax-1000", builder.finish())
    assert verdict(case, velafiles.compile_one(case.model)) == "exact"


@pytest.mark.parametrize("name", corpus.MISCOMPILED)
def test_what_vela_miscompiles_is_known_by_name(name: str) -> None:
    case = corpus.miscompiled(name)
    assert "differ" in verdict(case, velafiles.compile_one(case.model))


@pytest.mark.soak
def test_thousands_of_models_are_bit_exact_for_every_npu_size_and_optimisation() -> None:
    seeds: dict[Settings, list[int]] = defaultdict(list)
    for seed in range(ROUND, 51 * ROUND):
        seeds[SETTINGS[seed // ROUND % len(SETTINGS)]].append(seed)
    wrong, counts = _wrong(seeds, runs=3)
    print(dict(counts))
    assert not wrong
    assert counts["exact"] >= 2000


@pytest.mark.soak
def test_streams_of_the_older_core_are_bit_exact_but_for_its_known_flaws() -> None:
    wrong, counts = _wrong({Settings(64, "legacy"): list(range(11 * ROUND))}, runs=2)
    print(dict(counts))
    unknown = [line for line in wrong if line.split()[1].split("-")[0] not in corpus.LEGACY]
    assert not unknown
    assert counts["exact"] > 300
