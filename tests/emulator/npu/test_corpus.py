"""Generated models, compiled by the real Vela: bit-exact, or known by name with the reason."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.emulator.npu import corpus, velafiles
from tests.emulator.npu.judge import verdict
from tests.emulator.npu.velafiles import Settings

# What a run of the soak covers: more than 2,000 models over all NPU sizes and both optimisations.
SETTINGS = [
    Settings(macs, "regor", optimise) for macs in (64, 32, 128, 256) for optimise in ("Performance", "Size")
]
ROUND = len(corpus.FAMILIES)


def _wrong(seeds_by_settings: dict[Settings, list[int]], runs: int) -> tuple[list[str], dict[str, int]]:
    """Return what is neither exact nor left to the CPU, and how many of each verdict there were."""
    wrong: list[str] = []
    counts: dict[str, int] = defaultdict(int)
    for settings, seeds in seeds_by_settings.items():
        cases = {case.name: case for case in map(corpus.case, seeds)}
        results = velafiles.compile_all({name: case.model for name, case in cases.items()}, settings)
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
