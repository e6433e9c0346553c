"""A model that never comes to its end."""

from __future__ import annotations

import numpy as np

from harness.models.build import Builder


def endless() -> bytes:
    """Return a model of one int32 input and output: WHILE x >= x DO x + 0."""
    out = Builder("endless")
    main, condition, body = (out.subgraph(name) for name in ("main", "condition", "body"))
    x = main.input("x", (1,), "int32")
    y = main.output("y", (1,), "int32")
    main.operator("WHILE", [x], [y], cond_subgraph_index=1, body_subgraph_index=2)
    x = condition.input("x", (1,), "int32")
    condition.operator("GREATER_EQUAL", [x, x], [condition.output("again", (1,), "bool")])
    x = body.input("x", (1,), "int32")
    zero = body.constant("zero", np.zeros(1, np.int32))
    body.operator("ADD", [x, zero], [body.output("y", (1,), "int32")])
    return out.finish()
