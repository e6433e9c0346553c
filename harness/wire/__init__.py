"""The line to the firmware: ports, framing, and the protocols that firmware speaks."""
