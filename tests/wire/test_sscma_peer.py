"""The vendor's own Python client against a virtual board with the stock firmware's AT commands."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest

from harness.emulator.engine import Invoked
from harness.emulator.sscma_firmware import FirstGeneration
from tests.wire.serving import toy_board
from tests.wire.toy import ADDRESS, INFO, ToyEngine

pytestmark = pytest.mark.interop


class SlowToy(ToyEngine):
    """A toy engine that takes the time that it reports, in earnest."""

    def invoke(self, inputs: Sequence[bytes], profile: bool) -> Invoked:
        done = super().invoke(inputs, profile)
        time.sleep(done.ticks / 1e6)
        return done


def boot_stock(boots: int) -> FirstGeneration:
    engine = SlowToy(time.monotonic, cost=lambda n: 30_000 + 1000 * n)
    return FirstGeneration(INFO, engine, boot=boots)


def test_the_vendors_client_identifies_selects_and_invokes() -> None:
    reason = "needs the vendor's client: pip install --no-deps python-sscma paho-mqtt tqdm xmodem"
    client = pytest.importorskip("sscma.micro.client", reason=reason, exc_type=ImportError)
    device = pytest.importorskip("sscma.micro.device", reason=reason, exc_type=ImportError)
    with toy_board("pty", boot=boot_stock) as board:
        peer = client.SerialClient(board.url, 921600)
        stock = device.Device(peer)
        seen: list[dict] = []
        stock.on_monitor = lambda _, data: seen.append(data)
        stock.loop_start()
        try:
            assert (stock.info.name, stock.info.version["software"]) == ("toy", INFO.firmware_version)
            assert [model["address"] for model in peer.get("MODELS")["data"]] == [ADDRESS]
            assert peer.set("MODEL", "1")["code"] == 0
            assert peer.set("SENSOR", "1,1,0")["data"]["sensor"]["state"] == 1
            stock.Invoke(5, False, True)
            deadline = time.monotonic() + 10
            while len(seen) < 5 and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            stock.loop_stop()
        assert [data["perf"][1] for data in seen] == [30, 31, 32, 33, 34]
        assert all(json.dumps(data["classes"]) and data["image"] for data in seen)
