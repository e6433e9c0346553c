"""What an input of a model means to the operators that read it: an index, an axis, a shape, or plain data.

A value that makes sense for such an input is in bounds of what it points into, or is the one that leads to
the shapes that the file states. It is found by the operator that reads the input and the place at which it
does, also behind operators that pass values on unchanged and in the subgraphs of IF and WHILE.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from harness.models.graph import Model, Operator, Subgraph, Tensor

if TYPE_CHECKING:
    import numpy as np

_STEPS = 9  # that a loop takes at most
_MOST_CANDIDATES = 10_000
# A model may hand a tensor on in more ways than anyone could follow.
_MOST_READS = 1_000
_DEEPEST = 20
_PASSING = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CAST")
_BITS = 15


@dataclass(frozen=True)
class Within:
    """Any values from `low` to `high`, both included: arrays that the tensor's shape takes."""

    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class OneOf:
    """One of these arrays."""

    candidates: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Underivable:
    """No value can be derived: for the operator of this index and name, as its input `place`."""

    operator: Operator
    place: int


Meaning = Within | OneOf | Underivable


def meanings(model: Model) -> dict[int, Meaning]:
    """Return what inputs of the main subgraph have to hold, by tensor; those left out are plain data."""
    search = _Search(model)
    main = model.subgraphs[0]
    found = {}
    for index in main.inputs:
        search.left = _MOST_READS
        demands = list(search.demands(main, index, _DEEPEST))
        if demands:
            both = _combined(main.tensors[index], [demand.meaning for demand in demands])
            found[index] = both or Underivable(demands[0].operator, demands[0].place)
    return found


@dataclass(frozen=True)
class _Demand:
    """What one operator asks of a tensor that it reads as its input `place`."""

    operator: Operator
    place: int
    meaning: Meaning


@dataclass(frozen=True)
class _Read:
    """An operator that reads a tensor as its input `place`, and its surroundings."""

    model: Model
    graph: Subgraph
    operator: Operator
    place: int

    def input(self, place: int) -> Tensor:
        """Return the tensor at input `place`; raises IndexError if there is none."""
        if self.operator.inputs[place] < 0:
            raise IndexError(place)
        return self.graph.tensors[self.operator.inputs[place]]

    def output(self, place: int = 0) -> Tensor:
        return self.graph.tensors[self.operator.outputs[place]]

    @property
    def tensor(self) -> Tensor:
        return self.input(self.place)

    def constant(self, place: int) -> np.ndarray:
        """Return the values of a constant input; raises LookupError for any other input."""
        import numpy as np

        tensor = self.input(place)
        data = self.model.constant(tensor)
        if data is None:
            raise LookupError(place)
        return np.frombuffer(data, tensor.type, tensor.elements).reshape(tensor.shape)

    def option(self, name: str, otherwise: int = 0) -> int:
        value = self.operator.options.get(name, otherwise)
        return value if isinstance(value, int) else otherwise


class _Search:
    """Finds who reads a tensor, in every subgraph."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.left = 0
        self._readers: dict[tuple[int, int], list[_Read]] = {}
        for graph in model.subgraphs:
            for operator in graph.operators:
                for place, index in enumerate(operator.inputs):
                    read = _Read(model, graph, operator, place)
                    self._readers.setdefault((graph.index, index), []).append(read)

    def demands(self, graph: Subgraph, index: int, depth: int) -> Iterator[_Demand]:
        """Yield what the operators ask that read a tensor, directly or behind others that pass it on."""
        for read in self._readers.get((graph.index, index), ()):
            self.left -= 1
            if not depth or self.left < 0:
                return
            asked = _asked(read)
            if asked is not None:
                yield _Demand(read.operator, read.place, asked)
            for inner, of_inner in _entered(read):
                yield from self.demands(inner, of_inner, depth - 1)
            if read.operator.label in (*_PASSING, "PACK", "CONCATENATION") and read.operator.outputs:
                for demand in self.demands(graph, read.operator.outputs[0], depth - 1):
                    yield _Demand(demand.operator, demand.place, _before(read, demand))


def _asked(read: _Read) -> Meaning | None:
    label = read.operator.label
    rule = _counter if label == "WHILE" else _RULES.get((label, read.place))
    try:
        return rule(read) if rule else None
    except (LookupError, ValueError, ArithmeticError, TypeError):
        return Underivable(read.operator, read.place)


def _entered(read: _Read) -> Iterator[tuple[Subgraph, int]]:
    """Yield the subgraphs that a tensor is handed into, and which tensor it is there."""
    options, graphs = read.operator.options, read.model.subgraphs
    names, shift = {
        "IF": (("then_subgraph_index", "else_subgraph_index"), 1),
        "WHILE": (("cond_subgraph_index", "body_subgraph_index"), 0),
    }.get(read.operator.label, ((), 0))
    for name in names:
        number = options.get(name)
        if isinstance(number, int) and 0 <= read.place - shift < len(graphs[number].inputs):
            yield graphs[number], graphs[number].inputs[read.place - shift]


def _before(read: _Read, demand: _Demand) -> Meaning:
    """Return a demand on the output of an operator that passes values on as one on its input."""
    asked = demand.meaning
    try:
        if isinstance(asked, Within):
            return Within(_part(read, asked.low), _part(read, asked.high))
        if isinstance(asked, OneOf):
            return OneOf(tuple(_part(read, candidate) for candidate in asked.candidates))
    except (LookupError, ValueError):
        return Underivable(demand.operator, demand.place)
    return asked


def _part(read: _Read, values: np.ndarray) -> np.ndarray:
    """Return those of an output's values that come from the input that is read."""
    import numpy as np

    whole = read.output().shape
    values = (
        values.reshape(whole) if values.size == read.output().elements else np.broadcast_to(values, whole)
    )
    if read.operator.label == "PACK":
        values = np.take(values, read.place, read.option("axis"))
    elif read.operator.label == "CONCATENATION":
        axis = read.option("axis")
        ends = np.cumsum([read.input(i).shape[axis] for i in range(read.place + 1)])
        values = np.take(values, np.arange(ends[-1] - read.tensor.shape[axis], ends[-1]), axis)
    return values.reshape(read.tensor.shape)


def _combined(tensor: Tensor, asked: Sequence[Meaning]) -> Meaning | None:
    """Return what meets everything that is asked of a tensor; None if nothing does."""
    import numpy as np

    if nothing := next((a for a in asked if isinstance(a, Underivable)), None):
        return nothing
    try:
        ranges = [a for a in asked if isinstance(a, Within)]
        low, high = (
            np.broadcast_to(reduce(narrower, [getattr(a, end) for a in ranges]), tensor.shape)
            if ranges
            else None
            for narrower, end in ((np.maximum, "low"), (np.minimum, "high"))
        )
        choices = [a.candidates for a in asked if isinstance(a, OneOf)]
        if not choices:
            return Within(low, high) if low is not None and high is not None and (low <= high).all() else None
        kept = [c.reshape(tensor.shape) for c in choices[0]]
        for others in choices[1:]:
            kept = [c for c in kept if any(np.array_equal(c, o.reshape(tensor.shape)) for o in others)]
        if low is not None and high is not None:
            kept = [c for c in kept if (low <= c).all() and (c <= high).all()]
        return OneOf(tuple(kept)) if kept else None
    except ValueError:
        return None


def _within(low: object, high: object) -> Within:
    import numpy as np

    return Within(np.asarray(low), np.asarray(high))


def _one_of(candidates: Iterable[Sequence[int]], matches: Callable[[tuple[int, ...]], bool]) -> OneOf:
    """Return those of the candidates that match; raises ValueError if none does."""
    import numpy as np

    tried = itertools.islice(candidates, _MOST_CANDIDATES)
    kept = tuple(np.asarray(c) for c in tried if matches(tuple(c)))
    if not kept:
        raise ValueError("no candidate")
    return OneOf(kept)


def _just(values: object) -> OneOf:
    import numpy as np

    return OneOf((np.asarray(values),))


def _axes(read: _Read, matches: Callable[[tuple[int, ...]], bool]) -> OneOf:
    """Return the sets of axes of the data, as many as the tensor holds, that `matches` lets pass."""
    rank = len(read.input(0).shape)
    return _one_of(itertools.combinations(range(rank), read.tensor.elements), matches)


def _reduced(read: _Read) -> OneOf:
    """Axes that the operator reduces: those that lead to the output's shape."""
    given, made = read.input(0).shape, read.output().shape

    def matches(axes: tuple[int, ...]) -> bool:
        kept = tuple(1 if i in axes else n for i, n in enumerate(given))
        return made in (kept, tuple(n for i, n in enumerate(given) if i not in axes))

    return _axes(read, matches)


def _new_axis(read: _Read) -> OneOf:
    given, made = read.input(0).shape, read.output().shape
    return _axis(len(made), lambda axis: (*given[:axis], 1, *given[axis:]) == made)


def _split_axis(read: _Read) -> OneOf:
    """The axis along which the outputs add up to the input."""
    given = read.input(1 if read.operator.label == "SPLIT" else 0).shape
    outputs = [read.output(i).shape for i in range(len(read.operator.outputs))]

    def adds_up(axis: int) -> bool:
        whole = list(outputs[0])
        whole[axis] = sum(shape[axis] for shape in outputs)
        return tuple(whole) == given

    return _axis(len(given), adds_up)


def _axis(count: int, matches: Callable[[int], bool]) -> OneOf:
    return _one_of(((axis,) for axis in range(count)), lambda axes: matches(axes[0]))


def _split_sizes(read: _Read) -> OneOf:
    axis = int(read.constant(2).flat[0])
    return _just([read.output(i).shape[axis] for i in range(len(read.operator.outputs))])


def _permutation(read: _Read) -> OneOf:
    given, made = read.input(0).shape, read.output().shape
    orders = itertools.permutations(range(len(given)))
    return _one_of(orders, lambda order: tuple(given[i] for i in order) == made)


def _output_shape(read: _Read) -> OneOf:
    return _just(read.output().shape)


def _padding(read: _Read) -> OneOf:
    """Half on either side of what the output is larger by."""
    added = [o - i for i, o in zip(read.input(0).shape, read.output().shape, strict=True)]
    return _halves(added)


def _halves(total: Sequence[int]) -> OneOf:
    if min(total) < 0:
        raise ValueError("nothing to add")
    return _just([(n // 2, n - n // 2) for n in total])


def _gathered_nd(read: _Read) -> Within:
    given, depth = read.input(0).shape, read.tensor.shape[-1]
    return _within([0] * depth, [n - 1 for n in given[:depth]])


def _begin(read: _Read) -> Within:
    room = [i - o for i, o in zip(read.input(0).shape, read.output().shape, strict=True)]
    return _within([0] * len(room), room)


def _update_begin(read: _Read) -> Within:
    room = [i - u for i, u in zip(read.input(0).shape, read.input(1).shape, strict=True)]
    return _within([0] * len(room), room)


def _blocks(read: _Read) -> OneOf:
    """Block sizes of SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, by the shapes and the constant padding."""
    import numpy as np

    pads = read.constant(2).reshape(-1, 2).sum(axis=1)
    wide, narrow = _spatial(read, len(pads))
    blocks, rest = np.divmod(wide + pads, narrow)
    if rest.any():
        raise ValueError("no whole blocks")
    return _just(blocks)


def _block_padding(read: _Read) -> OneOf:
    blocks = read.constant(1).reshape(-1)
    wide, narrow = _spatial(read, len(blocks))
    return _halves([int(n) for n in narrow * blocks - wide])


def _spatial(read: _Read, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the spatial dimensions outside of blocks and inside."""
    import numpy as np

    ends = [np.array(t.shape[1 : 1 + count]) for t in (read.input(0), read.output())]
    return (ends[0], ends[1]) if read.operator.label == "SPACE_TO_BATCH_ND" else (ends[1], ends[0])


def _above_zero(read: _Read) -> Within | None:
    """A divisor, or the argument of a root or a logarithm: some steps above zero."""
    import numpy as np

    tensor = read.tensor
    if tensor.type == "bool":
        return None
    if np.dtype(tensor.type).kind == "f":
        return _within(0.1, 1.0)
    zero = tensor.quantization.zero_points[0] if tensor.quantization else 0
    return _within(zero + 1, min(np.iinfo(tensor.type).max, zero + 1000))


def _counter(read: _Read) -> Within | None:
    """A whole number that a loop passes on: near the constant that its condition compares it with."""
    tensor = read.tensor
    if not tensor.type.startswith(("int", "uint")) or tensor.quantization:
        return None
    number = read.option("cond_subgraph_index", -1)
    test = read.model.subgraphs[number]
    counted = test.inputs[read.place]
    for operator in test.operators:
        if operator.label.startswith(("LESS", "GREATER")) and counted in operator.inputs[:2]:
            own = operator.inputs.index(counted)
            try:
                limit = int(_Read(read.model, test, operator, own).constant(1 - own).flat[0])
            except LookupError:
                continue
            upward = operator.label.startswith("LESS") == (own == 0)
            return _within(max(0, limit - _STEPS), limit) if upward else _within(limit, limit + _STEPS)
    return _within(0, _STEPS)


_REDUCING = ("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_RULES: dict[tuple[str, int], Callable[[_Read], Meaning | None]] = {
    **{(code, 1): _reduced for code in (*_REDUCING, "ARG_MAX", "ARG_MIN")},
    **{(code, 1): _output_shape for code in ("RESHAPE", "BROADCAST_TO")},
    **{(code, 0): _output_shape for code in ("FILL", "TRANSPOSE_CONV")},
    **{(code, 1): _padding for code in ("PAD", "PADV2", "MIRROR_PAD")},
    **{
        (code, 1): lambda read: _just(read.output().shape[1:3])
        for code in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
    },
    **{(code, 1): _blocks for code in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")},
    **{(code, 2): _block_padding for code in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")},
    **{(code, 1): _above_zero for code in ("DIV", "FLOOR_DIV", "FLOOR_MOD")},
    **{(code, 0): _above_zero for code in ("LOG", "RSQRT", "SQRT")},
    **{("STRIDED_SLICE", place): lambda read: Underivable(read.operator, read.place) for place in (1, 2, 3)},
    **{("BROADCAST_ARGS", place): lambda read: _within(1, 1) for place in (0, 1)},
    ("CUMSUM", 1): lambda read: _within(0, len(read.input(0).shape) - 1),
    ("DYNAMIC_UPDATE_SLICE", 2): _update_begin,
    ("EMBEDDING_LOOKUP", 0): lambda read: _within(0, read.input(1).shape[0] - 1),
    ("EXPAND_DIMS", 1): _new_axis,
    ("GATHER", 1): lambda read: _within(0, read.input(0).shape[read.option("axis")] - 1),
    ("GATHER_ND", 1): _gathered_nd,
    ("REVERSE_V2", 1): lambda read: _axes(read, lambda axes: True),
    ("SLICE", 1): _begin,
    ("SLICE", 2): _output_shape,
    ("SPLIT", 0): _split_axis,
    ("SPLIT_V", 1): _split_sizes,
    ("SPLIT_V", 2): _split_axis,
    ("SignalFilterBankSquareRoot", 1): lambda read: _within(0, _BITS),
    ("TILE", 1): lambda read: _just(
        [o // i for i, o in zip(read.input(0).shape, read.output().shape, strict=True)]
    ),
    ("TRANSPOSE", 1): _permutation,
}
