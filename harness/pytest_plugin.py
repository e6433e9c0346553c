"""pytest plugin: bench a model in a test and assert what it may cost.

    def test_person_is_quick(bench, baseline):
        run = bench("person_96")
        assert run.invoke_ms.median < 60
        assert run.no_slower_than(baseline, by=0.03)

Options: `--board ID`, `--port URL|emulated`, `--baseline FILE|DIR|git:REV`. Where another plugin has an
option of that name already, its value is used. What is slow to import is imported by the fixtures alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.testing import Baseline, Bencher

_OPTIONS = {
    "--board": "board to bench on: an id or the path of a profile",
    "--port": "port that the board is at, or 'emulated'",
    "--baseline": "baseline to compare with: FILE, DIR or git:REV (else results/baseline)",
}
_BENCHER = pytest.StashKey["Bencher"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each unless another plugin has it."""
    group = parser.getgroup("harness", "bench models on boards (harness)")
    for name, text in _OPTIONS.items():
        try:
            group.addoption(name, default=None, help=text)
        except ValueError:
            continue


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bencher:
    """`bench(model, board=None, runs=1, **options)` benches a model and returns what it took.

    The same call in another test of the session returns the same runs.
    """
    from harness.testing import Bencher

    config = request.config
    made = Bencher(
        tmp_path_factory.mktemp("harness-results"),
        board=config.getoption("--board", None),
        port=config.getoption("--port", None),
    )
    config.stash[_BENCHER] = made
    return made


@pytest.fixture(scope="session")
def baseline(request: pytest.FixtureRequest) -> Baseline:
    """The records of `--baseline`, or of results/baseline below the root directory; skips without either."""
    from harness.results import baseline as baselines
    from harness.testing import Baseline

    where = request.config.getoption("--baseline", None)
    if where is None:
        usual = request.config.rootpath / baselines.USUAL
        if not usual.is_dir():
            pytest.skip(
                f"no baseline: give --baseline, or make {baselines.USUAL} with `harness gate --update`"
            )
        where = str(usual)
    records, damaged = baselines.load(where)
    if damaged:
        pytest.fail(f"the baseline is damaged: {damaged[0].path}: {damaged[0].reason}", pytrace=False)
    return Baseline(where, tuple(records))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the comparisons that a failed test made below its traceback."""
    report = yield
    bencher = item.config.stash.get(_BENCHER, None)
    if bencher is not None and report.when == "call":
        if report.failed and bencher.said:
            report.sections.append(("harness", "\n".join(bencher.said)))
        bencher.said.clear()
    return report
