"""Test inputs: one array for each input tensor of a model, from files, pictures or a seed.

A specification is one of

    FILE.npy        the tensor itself, in exactly the input's shape and type; for a quantised input also
                    real numbers (floats), or a picture's pixels (uint8)
    FILE.npz        several of them, by input name, or in order if the names are not the model's
    FILE.png, .jpg, .jpeg, .bmp     a picture for an input [1, height, width, 1 or 3]
    random:SEED     random values that make sense for the input, the same on every machine

Real numbers for a quantised input are quantised by its own scale and zero point, as TFLite's QUANTIZE does.

A picture is turned upright, resized to the input (bilinear) and made grey or RGB. Which real numbers its
0..255 stand for follows from what the input can hold: 0..1, -1..1 or 0..255, whichever is its range; these
are then quantised by its scale and zero point, which is pixel - 128 for most int8 models, TFLite-Micro's
person detection among them. If the range is none of these, or no scale is given, 0..255 is spread over
the whole range of the type. Floats get pixel / 255.

What was done to a file's values on the way into the tensor is said in the notes of `read`.

Random values are uniform: over the range of the type, over [-1, 1) for floats, and over -1000..1000 (or
0..1000) for whole numbers of 32 and 64 bits that have no scale, so that their products do not overflow. What
is an index, an axis, a shape, a divisor or the like to the operators of the model is in the bounds that they
set (`harness.models.meaning`).
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness import extras
from harness.errors import HarnessError, printable
from harness.models.graph import Model, Tensor
from harness.models.meaning import Meaning, OneOf, Underivable, Within, meanings

if TYPE_CHECKING:
    import numpy as np

DEFAULT = "random:0"
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TYPES = _INTEGERS | {"float16", "float32", "float64", "bool"}
_PIXEL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
"""What models take a picture's 0..255 for."""
_LIKENESS = 0.25
"""A model's own range, calibrated on a few pictures, may miss one of these by this share of its width."""
_TIE = 1e-4
"""A scale in float32 leaves a pixel this near to half a step; such a one goes up."""
_PLAIN = 1000
_LARGEST_HEADER = 16384  # bytes; NumPy itself writes about 128
_LARGEST_REAL = 8  # bytes: float64
_PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}


class InputError(HarnessError):
    """A test input does not exist, cannot be read, or does not fit the model."""


@dataclass(frozen=True)
class Scale:
    """What an input is stored with: real = step * (stored - zero point)."""

    step: float
    zero_point: int

    def __str__(self) -> str:
        return f"the model's scale {self.step:.6g} and zero point {self.zero_point}"


@dataclass(frozen=True)
class Inputs:
    """One array for each input of a model, in its order, and how values of files became theirs."""

    arrays: list[np.ndarray]
    notes: list[str]


def load(specs: Sequence[str], model: Model) -> list[np.ndarray]:
    """Return the arrays of `read`."""
    return read(specs, model).arrays


def read(specs: Sequence[str], model: Model) -> Inputs:
    """Return the inputs of a model's main subgraph as `specs` ask for them.

    One specification each; a single random:SEED or .npz serves all inputs, none at all means random:0.
    Raises InputError.
    """
    notes: list[str] = []
    return Inputs(_arrays(specs, model, notes), notes)


def _arrays(specs: Sequence[str], model: Model, notes: list[str]) -> list[np.ndarray]:
    import numpy as np

    main = model.subgraphs[0]
    inputs = [main.tensors[i] for i in main.inputs]
    for tensor in inputs:
        if tensor.type not in _TYPES:
            raise InputError(f"input '{tensor.name}' has type {tensor.type}, which cannot be streamed")
    specs = list(specs) or [DEFAULT]
    if len(specs) == 1 and specs[0].startswith("random:"):
        generator = np.random.default_rng(_seed(specs[0]))
        wanted = meanings(model)
        return [_random(generator, tensor, wanted.get(tensor.index)) for tensor in inputs]
    if len(specs) == 1 and Path(specs[0]).suffix.lower() == ".npz":
        return _archive(specs[0], inputs, notes)
    if len(specs) != len(inputs):
        names = ", ".join(_described(tensor) for tensor in inputs)
        raise InputError(f"{len(specs)} input(s) given, the model takes {len(inputs)}: {names}")
    return [_one(spec, model, tensor, notes) for spec, tensor in zip(specs, inputs, strict=True)]


def unnamed(specs: Sequence[str], shapes: Sequence[tuple[str, tuple[int, ...]]]) -> list[np.ndarray]:
    """Return random values for inputs of which only the type and the shape are known.

    Raises InputError if anything but random values is asked for, or a type cannot be streamed.
    """
    import numpy as np

    specs = list(specs) or [DEFAULT]
    if len(specs) != 1 or not specs[0].startswith("random:"):
        raise InputError("inputs from files need the model's file: name it, or leave --input out")
    generator = np.random.default_rng(_seed(specs[0]))
    made = []
    for type, shape in shapes:
        if type not in _TYPES:
            raise InputError(f"an input of the board's model has type {type}, which cannot be streamed")
        made.append(_any(generator, np.dtype(type), shape, _PLAIN))
    return made


def _one(spec: str, model: Model, tensor: Tensor, notes: list[str]) -> np.ndarray:
    import numpy as np

    if spec.startswith("random:"):
        return _random(np.random.default_rng(_seed(spec)), tensor, meanings(model).get(tensor.index))
    path = Path(spec)
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        return _picture(path, tensor, notes)
    if suffix == ".npz":
        return _archive(spec, [tensor], notes)[0]
    if suffix != ".npy":
        known = ", ".join([".npy", ".npz", *_PICTURES])
        raise InputError(f"input '{spec}' is neither a file of a known kind ({known}) nor random:SEED")
    try:
        with path.open("rb") as file:
            return _array(file, spec, tensor, notes)
    except OSError as error:
        raise InputError(f"input '{spec}' cannot be read: {error.strerror or error}") from None


def _seed(spec: str) -> int:
    text = spec.removeprefix("random:")
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InputError(f"input '{spec}': the seed after 'random:' is a whole number from 0 on")
    return int(text)


def _random(generator: np.random.Generator, tensor: Tensor, wanted: Meaning | None) -> np.ndarray:
    import numpy as np

    dtype = np.dtype(tensor.type)
    if isinstance(wanted, Underivable):
        operator = f"operator {wanted.operator.index} ({printable(wanted.operator.label)})"
        raise InputError(
            f"no random value makes sense for {_described(tensor)}: {operator} reads it as its input "
            f"{wanted.place}, and what it has to be does not follow from the model; give it with --input "
            "FILE.npy (one --input for each input)"
        )
    if isinstance(wanted, OneOf):
        chosen = wanted.candidates[generator.integers(len(wanted.candidates))]
        return chosen.astype(dtype).reshape(tensor.shape)
    if isinstance(wanted, Within):
        return _between(generator, wanted, tensor.shape, dtype)
    return _any(generator, dtype, tensor.shape, _PLAIN if tensor.quantization is None else None)


def _any(
    generator: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...], most: int | None
) -> np.ndarray:
    """Return random values of a type; `most`: the largest of integers that are not quantised."""
    import numpy as np

    if dtype.kind == "f":
        return generator.uniform(-1, 1, shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    limits = np.iinfo(dtype)
    low, high = limits.min, limits.max
    if dtype.itemsize >= 4 and most is not None:
        low, high = max(low, -most), most
    return generator.integers(low, high, shape, dtype, endpoint=True)


def _between(
    generator: np.random.Generator, wanted: Within, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    import numpy as np

    if wanted.low.dtype.kind == "f":
        return generator.uniform(wanted.low, wanted.high, shape).astype(dtype)
    low, high = wanted.low, wanted.high
    if dtype.kind in "iu":
        least, most = np.iinfo(dtype).min, min(np.iinfo(dtype).max, 2**63 - 1)
        low, high = (np.clip(end, least, most) for end in (low, high))
    return generator.integers(low, high, shape, endpoint=True).astype(dtype)


def _archive(spec: str, inputs: Sequence[Tensor], notes: list[str]) -> list[np.ndarray]:
    """Read the arrays of an .npz file, each only after its header has been found to fit."""
    try:
        with zipfile.ZipFile(spec) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            wanted = [tensor.name for tensor in inputs]
            if len(set(wanted)) < len(wanted) or not set(wanted) <= set(members):
                if len(members) != len(wanted):
                    raise InputError(
                        f"input '{spec}' holds {len(members)} array(s) ({_listed(members)}), "
                        f"the model takes {len(wanted)} ({_listed(wanted)})"
                    )
                wanted = list(members)
            arrays = []
            for name, tensor in zip(wanted, inputs, strict=True):
                with archive.open(members[name]) as file:
                    arrays.append(_array(file, f"{spec}:{name}", tensor, notes))
            return arrays
    except OSError as error:
        raise InputError(f"input '{spec}' cannot be read: {error.strerror or error}") from None
    except InputError:
        raise
    except Exception as error:  # zipfile raises whatever its decompressors and struct do
        raise InputError(f"input '{spec}' is not a readable .npz file: {error}") from None


def _array(file: IO[bytes], spec: str, tensor: Tensor, notes: list[str]) -> np.ndarray:
    """Read one array in .npy format; no more of the file is read than the tensor can take."""
    import numpy as np
    from numpy.lib import format as npy

    wanted = np.dtype(tensor.type)
    start = io.BytesIO(file.read(_LARGEST_HEADER + tensor.elements * max(wanted.itemsize, _LARGEST_REAL)))
    try:
        version = npy.read_magic(start)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read_header(start)
    except Exception:  # NumPy parses the header as Python source, which raises whatever the parser does
        raise InputError(f"input '{spec}' is not a readable .npy array; write it with numpy.save") from None
    as_it_is = dtype.newbyteorder("=") == wanted
    scale = _scale(tensor)
    real = scale is not None and dtype.kind == "f" and dtype.itemsize <= _LARGEST_REAL
    pixels = scale is not None and dtype == np.uint8 and _takes_pictures(tensor)
    if dtype.hasobject or shape != tensor.shape or not (as_it_is or real or pixels):
        raise InputError(
            f"input '{spec}' is {dtype.name} {list(shape)}, the model takes {_described(tensor)}"
        )
    size = tensor.elements * dtype.itemsize
    data = start.read(size)
    if len(data) < size:
        raise InputError(f"input '{spec}' is cut short: {len(data)} of {size} bytes of data")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    if as_it_is or scale is None:
        return np.ascontiguousarray(array, dtype=tensor.type).reshape(shape)
    if pixels:
        return _from_pixels(array, tensor, notes)
    return _quantised(array, spec, tensor, scale, notes)


def _quantised(array: np.ndarray, spec: str, tensor: Tensor, scale: Scale, notes: list[str]) -> np.ndarray:
    """Return real numbers as the tensor stores them, rounded half away from zero as TFLite does."""
    import numpy as np

    if not np.isfinite(array).all():
        raise InputError(
            f"input '{spec}' holds values that are not finite, which no {tensor.type} stands for"
        )
    with np.errstate(over="ignore", under="ignore"):
        steps = (array.astype(np.float32) / np.float32(scale.step)).astype(np.float64)
    stored = np.copysign(np.floor(np.abs(steps) + 0.5), steps) + scale.zero_point
    limits = np.iinfo(tensor.type)
    cut = int(np.count_nonzero((stored < limits.min) | (stored > limits.max)))
    note = f"{_input(tensor)}: {array.dtype.name} quantised with {scale}"
    notes.append(note + (f"; {cut} of {array.size} values lay beyond what it holds" if cut else ""))
    return np.ascontiguousarray(stored.clip(limits.min, limits.max).astype(tensor.type)).reshape(array.shape)


def _scale(tensor: Tensor) -> Scale | None:
    """Return what a quantised input is stored with, None if a file gives nothing usable."""
    import numpy as np

    dtype, given = np.dtype(tensor.type), tensor.quantization
    if dtype.kind not in "iu" or dtype.itemsize > 4 or given is None or len(given.scales) != 1:
        return None
    (step,), (zero,) = given.scales, given.zero_points
    smallest, largest = float(np.finfo(np.float32).tiny), 1e30
    return Scale(step, zero) if smallest <= step <= largest and abs(zero) < 2**31 else None


def _input(tensor: Tensor) -> str:
    return f"input {printable(tensor.name)!r}"


def _takes_pictures(tensor: Tensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[3] in (1, 3)


def _picture(path: Path, tensor: Tensor, notes: list[str]) -> np.ndarray:
    import numpy as np

    extras.need("PIL", "a picture as input")
    from PIL import Image, ImageOps

    dtype = np.dtype(tensor.type)
    if not _takes_pictures(tensor) or dtype.kind == "b":
        raise InputError(f"input '{path}' is a picture, the model takes {_described(tensor)}")
    _, height, width, colours = tensor.shape
    formats = sorted(set(_PICTURES.values()))
    try:
        with warnings.catch_warnings(action="error"), Image.open(path, formats=formats) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB" if colours == 3 else "L")
            pixels = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
    except FileNotFoundError:
        raise InputError(f"input '{path}' cannot be read: No such file or directory") from None
    except Exception as error:  # a decoder may raise anything at all on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"input '{path}' is not a readable picture: {reason}") from None
    pixels = pixels.reshape(tensor.shape)
    if dtype.kind == "f":
        return (pixels / 255).astype(dtype)
    return _from_pixels(pixels, tensor, notes)


def _from_pixels(pixels: np.ndarray, tensor: Tensor, notes: list[str]) -> np.ndarray:
    """Return a picture's 0..255 as the tensor stores them."""
    import numpy as np

    limits = np.iinfo(tensor.type)
    least, most = int(limits.min), int(limits.max)
    scale = _scale(tensor)
    if scale is None:
        return _spread(pixels, tensor)
    low, high = (scale.step * (end - scale.zero_point) for end in (least, most))
    for black, white in _PIXEL_RANGES:
        if max(abs(black - low), abs(white - high)) <= _LIKENESS * (high - low):
            real = black + pixels.astype(np.float64) * ((white - black) / 255)
            stored = np.floor(real / scale.step + scale.zero_point + 0.5 + _TIE).clip(least, most)
            notes.append(
                f"{_input(tensor)}: pixels taken for {black:g} to {white:g} and quantised with {scale}"
            )
            return stored.astype(tensor.type)
    notes.append(
        f"{_input(tensor)}: pixels spread over all that it holds, {low:.6g} to {high:.6g}, "
        "which is not a picture's usual range"
    )
    return _spread(pixels, tensor)


def _spread(pixels: np.ndarray, tensor: Tensor) -> np.ndarray:
    import numpy as np

    limits = np.iinfo(tensor.type)
    step = (int(limits.max) - int(limits.min)) // 255
    return (pixels.astype(object) * step + int(limits.min)).astype(tensor.type)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _described(tensor: Tensor) -> str:
    return f"{tensor.name!r} {tensor.type} {list(tensor.shape)}"


def digest(inputs: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 over the bytes of all tensors in order, in hex."""
    import hashlib

    every = hashlib.sha256()
    for array in inputs:
        every.update(array.tobytes())
    return every.hexdigest()
