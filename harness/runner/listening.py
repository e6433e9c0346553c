"""What the devices at ports say when nobody talks to them, and at which line speed it makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from harness.errors import HarnessError
from harness.runner.attached import Attached
from harness.wire.speeds import clear_at, listen

LISTEN_S = 2.0
"""More than a board takes that starts over and over."""


def says(found: Sequence[Attached], baud: int) -> dict[str, str]:
    """Listen at all USB serial ports at once; return by port what came, in words.

    A device whose line makes no sense at `baud` is asked at other speeds.
    """
    ports = [item.where for item in found if item.kind == "port" and item.usb_id is not None]
    with ThreadPoolExecutor(max(1, len(ports))) as pool:
        return dict(zip(ports, pool.map(lambda where: _says(where, baud), ports), strict=True))


def _says(where: str, baud: int) -> str:
    try:
        heard = listen(where, baud, LISTEN_S)
        if not heard.data:
            return "nothing"
        if heard.clear:
            return f"at {baud} baud: {heard.shown or 'an answer'}"
        other = clear_at(where, baud)
    except HarnessError as error:
        return str(error)
    if other is None:
        return f"nothing legible at {baud} baud, nor at other speeds"
    return f"nothing legible at {baud} baud; at {other.baud} baud: {other.shown or 'an answer'}"
