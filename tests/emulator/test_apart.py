"""Work in a process of its own: its result, its error, or how the process ended."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from harness.emulator.apart import apart
from harness.errors import HarnessError
from harness.models.npu.faults import NotModelled, NpuFault

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be copied")


def test_the_result_comes_from_another_process() -> None:
    process, result = apart(lambda: (os.getpid(), [1.5]), "working")
    assert process != os.getpid()
    assert result == [1.5]


@pytest.mark.parametrize("kind", [NpuFault, NotModelled])
def test_an_error_comes_back_as_it_was_raised(kind: type[NpuFault]) -> None:
    def work() -> None:
        raise kind("a reason", 3, {"IFM_REGION": 7})

    with pytest.raises(kind, match=rf"^{kind.kind}: operation 3: a reason \[IFM_REGION=0x7\]$") as error:
        apart(work, "working")
    assert error.value.registers == {"IFM_REGION": 7}


def test_a_crash_is_an_error() -> None:
    with pytest.raises(HarnessError, match=r"working ended by a crash of native code \(signal 9\)"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL), "working")
