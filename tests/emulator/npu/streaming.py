"""A streaming model, as wake words are: rows of its inputs are kept in variables between invokes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.models.build import Builder, Scale, Subgraph

FRAME, KEPT, CHANNELS = 2, 3, 8
X = Scale(0.05, -7)
Change = Callable[[Builder, Subgraph], None]


def handle_of(graph: Subgraph, name: str) -> int:
    handle = graph.tensor(f"{name}/handle", (), "resource")
    graph.operator("VAR_HANDLE", [], [handle], container="", shared_name=name)
    return handle


def stream(on_cpu: bool = False, change: Change | None = None, initial: int | None = None) -> bytes:
    """A streaming convolution: the last rows of the input are kept for the next invoke, twice over.

    With `on_cpu` an operator that Vela leaves to the CPU stands between the two. `initial` is what CALL_ONCE
    assigns (None: the zero point), `change` adds to the graph.
    """
    builder = Builder()
    main = builder.subgraph("main")
    rng = np.random.default_rng(3)
    x = main.input("x", (1, FRAME, 1, CHANNELS), "int8", X)
    main.operator("CALL_ONCE", [], [], init_subgraph_index=1)
    scale, last = X, x
    setup = []
    for layer in range(2):
        if layer and on_cpu:
            normal = main.tensor("normal", (1, FRAME, 1, CHANNELS), "int8", Scale(1 / 128, 0))
            main.operator("L2_NORMALIZATION", [last], [normal], version=2, fused_activation="NONE")
            last, scale = normal, Scale(1 / 128, 0)
        name = f"state{layer}"
        handle = handle_of(main, name)
        kept = main.tensor(f"{name}/kept", (1, KEPT, 1, CHANNELS), "int8", scale)
        main.operator("READ_VARIABLE", [handle], [kept])
        rows = main.tensor(f"{name}/rows", (1, KEPT + FRAME, 1, CHANNELS), "int8", scale)
        main.operator("CONCATENATION", [kept, last], [rows], version=2, axis=1, fused_activation="NONE")
        tail = main.tensor(f"{name}/tail", (1, KEPT, 1, CHANNELS), "int8", scale)
        begin, size = [0, FRAME, 0, 0], [1, KEPT, 1, CHANNELS]
        constants = [
            main.constant(f"{name}/{what}", np.array(v, np.int32)) for what, v in (("b", begin), ("s", size))
        ]
        main.operator("SLICE", [rows, *constants], [tail], version=2)
        main.operator("ASSIGN_VARIABLE", [handle, tail], [])
        weights = rng.integers(-80, 80, (CHANNELS, KEPT + 1, 1, CHANNELS)).astype(np.int8)
        w = main.constant(f"{name}/w", weights, Scale(0.01, 0))
        b = main.constant(f"{name}/b", rng.integers(-500, 500, CHANNELS).astype(np.int32))
        out = Scale(0.06, 4)
        last_out = main.tensor(f"{name}/y", (1, FRAME, 1, CHANNELS), "int8", out)
        main.operator("CONV_2D", [rows, w, b], [last_out], version=3, padding="VALID", stride_h=1, stride_w=1)
        setup.append((name, scale))
        last, scale = last_out, out
    main.outputs.append(last)
    start = builder.subgraph("setup")
    for name, of in setup:
        handle = handle_of(start, name)
        value = of.zero_points[0] if initial is None else initial
        shape = (1, KEPT, 1, CHANNELS)
        zeros = start.constant(f"{name}/initial", np.full(shape, value, np.int8), of)
        start.operator("ASSIGN_VARIABLE", [handle, zeros], [])
    if change is not None:
        change(builder, main)
    return builder.finish()
