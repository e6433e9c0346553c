"""A functional model of the Arm Ethos-U55: it executes what `harness.models.npu` decodes.

The weight codec comes from the `ethos-u-vela` wheel; what an operation computes is defined by the TFLite
reference kernels, to which Vela is bit-exact.
"""
