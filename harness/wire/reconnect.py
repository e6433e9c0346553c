"""Coming back to a port that went away."""

from __future__ import annotations

from harness.wire.port import Port, PortError, PortLost

RECONNECT_S = 15.0
"""How long a port or a board may stay away."""
REOPEN_EVERY_S = 0.1


def reopen(port: Port, deadline: float) -> None:
    """Open `port` again as soon as it is back; raises PortLost where it is not by `deadline`."""
    while True:
        try:
            port.reopen()
            return
        except PortError as error:
            if port.now() >= deadline:
                raise PortLost(f"port {port.url} did not come back: {error}") from error
        port.pause(REOPEN_EVERY_S)
