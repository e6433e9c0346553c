"""A functional model of the Arm Ethos-U55: it executes the register command stream that Vela compiles.

Register and command numbers come from the `ethos-u-vela` wheel, as does the weight codec; what an
operation computes is defined by the TFLite reference kernels, to which Vela is bit-exact.
"""
