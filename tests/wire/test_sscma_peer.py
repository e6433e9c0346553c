"""The vendor's own Python client against a virtual board with the stock firmware's AT commands."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest

from harness.emulator.engine import Invoked
from harness.emulator.sscma_firmware import FirstGeneration
from harness.emulator.sscma_firmware_2 import SecondGeneration
from harness.emulator.stock_firmware import SscmaFirmware
from tests.wire.serving import toy_board
from tests.wire.toy import ADDRESS, INFO, ToyEngine

pytestmark = pytest.mark.interop


class SlowToy(ToyEngine):
    """A toy engine that takes the time that it reports, in earnest."""

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        done = super().invoke(inputs, profile)
        time.sleep(done.ticks / 1e6)
        return done


GENERATIONS: list[type[SscmaFirmware]] = [FirstGeneration, SecondGeneration]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_vendors_client_identifies_selects_and_invokes(generation: type[SscmaFirmware]) -> None:
    reason = "needs the vendor's client: pip install --no-deps python-sscma paho-mqtt tqdm xmodem"
    client = pytest.importorskip("sscma.micro.client", reason=reason, exc_type=ImportError)
    device = pytest.importorskip("sscma.micro.device", reason=reason, exc_type=ImportError)

    def boot(boots: int) -> SscmaFirmware:
        return generation(INFO, SlowToy(time.monotonic, cost=lambda n: 30_000 + 1000 * n), boot=boots)

    first = generation is FirstGeneration
    with toy_board("pty", boot=boot) as board:
        peer = client.SerialClient(board.url, 921600)
        stock = device.Device(peer)
        seen: list[dict] = []
        # In 2.0.0 the answer to a command that it has not (Wi-Fi, here) is an event, too: of text alone.
        stock.on_monitor = lambda _, data: isinstance(data, dict) and seen.append(data)
        stock.loop_start()
        try:
            assert (stock.info.name, stock.info.version["software"]) == ("toy", INFO.firmware_version)
            models = peer.get("MODELS")["data"]
            [model] = models if first else models["models"]
            assert model["address"] == ADDRESS + (0 if first else 0x3A000000)
            assert peer.set("MODEL", "1")["code"] == 0
            sensor = peer.set("SENSOR", "1,1,0" if first else "0,1,1")["data"]
            assert sensor["sensor"]["state"] == 1 if first else sensor["sensors"][0]["initialized"]
            stock.Invoke(5, False, True)
            deadline = time.monotonic() + 10
            while len(seen) < 5 and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            stock.loop_stop()
        assert [data["perf"][1] for data in seen] == [30, 31, 32, 33, 34]
        assert all(json.dumps(data["classes"]) and data["image"] for data in seen)
