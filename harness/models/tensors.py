"""Test inputs: one array for each input tensor of a model, from files, pictures or a seed.

A specification is one of

    FILE.npy        the tensor itself, in exactly the input's shape and type
    FILE.npz        several of them, by input name, or in order where the names are not the model's
    FILE.png, .jpg, .jpeg, .bmp     a picture for an input [1, height, width, 1 or 3]
    random:SEED     random values that make sense for the input, the same on every machine

A picture is turned upright, resized to the input (bilinear), made grey or RGB, and its 0..255 spread
linearly over the whole range of the input's type: int8 gets pixel - 128, uint8 the pixel, int16
257 * pixel - 32768. Whatever real range a model was quantised for, 0..1, -1..1 or 0..255, its converter
chose scale and zero point such that this range is the picture's; so does TFLite-Micro's person detection
example. Floats get pixel / 255.

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
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.errors import HarnessError, printable
from harness.models.graph import Model, Tensor
from harness.models.meaning import Meaning, OneOf, Underivable, Within, meanings

if TYPE_CHECKING:
    import numpy as np

DEFAULT = "random:0"
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TYPES = _INTEGERS | {"float16", "float32", "float64", "bool"}
_PLAIN = 1000
_LARGEST_HEADER = 16384  # bytes; NumPy itself writes about 128
_PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}


class InputError(HarnessError):
    """A test input does not exist, cannot be read, or does not fit the model."""


def load(specs: Sequence[str], model: Model) -> list[np.ndarray]:
    """Return the input arrays of a model's main subgraph, in its order, as `specs` ask for them.

    One specification each; a single random:SEED or .npz serves all inputs, none at all means random:0.
    Raises InputError.
    """
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
        return _archive(specs[0], inputs)
    if len(specs) != len(inputs):
        names = ", ".join(_described(tensor) for tensor in inputs)
        raise InputError(f"{len(specs)} input(s) given, the model takes {len(inputs)}: {names}")
    return [_one(spec, model, tensor) for spec, tensor in zip(specs, inputs, strict=True)]


def _one(spec: str, model: Model, tensor: Tensor) -> np.ndarray:
    import numpy as np

    if spec.startswith("random:"):
        return _random(np.random.default_rng(_seed(spec)), tensor, meanings(model).get(tensor.index))
    path = Path(spec)
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        return _picture(path, tensor)
    if suffix == ".npz":
        return _archive(spec, [tensor])[0]
    if suffix != ".npy":
        known = ", ".join([".npy", ".npz", *_PICTURES])
        raise InputError(f"input '{spec}' is neither a file of a known kind ({known}) nor random:SEED")
    try:
        with path.open("rb") as file:
            return _array(file, spec, tensor)
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
    if dtype.kind == "f":
        return generator.uniform(-1, 1, tensor.shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, tensor.shape).astype(dtype)
    limits = np.iinfo(dtype)
    low, high = limits.min, limits.max
    if dtype.itemsize >= 4 and tensor.quantization is None:
        low, high = max(low, -_PLAIN), _PLAIN
    return generator.integers(low, high, tensor.shape, dtype, endpoint=True)


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


def _archive(spec: str, inputs: Sequence[Tensor]) -> list[np.ndarray]:
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
                    arrays.append(_array(file, f"{spec}:{name}", tensor))
            return arrays
    except OSError as error:
        raise InputError(f"input '{spec}' cannot be read: {error.strerror or error}") from None
    except InputError:
        raise
    except Exception as error:  # zipfile raises whatever its decompressors and struct do
        raise InputError(f"input '{spec}' is not a readable .npz file: {error}") from None


def _array(file: IO[bytes], spec: str, tensor: Tensor) -> np.ndarray:
    """Read one array in .npy format; no more of the file is read than the tensor can take."""
    import numpy as np
    from numpy.lib import format as npy

    start = io.BytesIO(file.read(_LARGEST_HEADER + tensor.elements * np.dtype(tensor.type).itemsize))
    try:
        version = npy.read_magic(start)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read_header(start)
    except Exception:  # NumPy parses the header as Python source, which raises whatever the parser does
        raise InputError(f"input '{spec}' is not a readable .npy array; write it with numpy.save") from None
    if dtype.hasobject or shape != tensor.shape or dtype.newbyteorder("=") != np.dtype(tensor.type):
        hint = ""
        if dtype.kind == "f" and tensor.quantization is not None:
            scale, zero = tensor.quantization.scales[0], tensor.quantization.zero_points[0]
            hint = f"; quantise it first (scale {scale:g}, zero point {zero})"
        raise InputError(
            f"input '{spec}' is {dtype.name} {list(shape)}, the model takes {_described(tensor)}{hint}"
        )
    size = tensor.elements * dtype.itemsize
    data = start.read(size)
    if len(data) < size:
        raise InputError(f"input '{spec}' is cut short: {len(data)} of {size} bytes of data")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array, dtype=tensor.type).reshape(shape)


def _picture(path: Path, tensor: Tensor) -> np.ndarray:
    import numpy as np
    from PIL import Image, ImageOps

    dtype = np.dtype(tensor.type)
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or tensor.shape[3] not in (1, 3) or dtype.kind == "b":
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
    limits = np.iinfo(dtype)
    step = (int(limits.max) - int(limits.min)) // 255
    return (pixels.astype(object) * step + int(limits.min)).astype(dtype)


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
