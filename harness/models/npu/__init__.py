"""What an Arm Ethos-U55 is told to do: the register command stream that Vela compiles, decoded and costed.

Register and command numbers come from the `ethos-u-vela` wheel. What executes it is `harness.emulator.npu`.
"""
