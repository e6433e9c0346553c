"""Test inputs from files, pictures and seeds."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.models import reference, tensors, tflite
from harness.models.build import Builder, Scale
from harness.models.tensors import InputError
from harness.models.tflite import Model


def model(*inputs: tuple[str, tuple[int, ...], str]) -> tflite.Model:
    graph = Builder()
    main = graph.subgraph("main")
    for name, shape, kind in inputs:
        main.input(name, shape, kind, Scale(0.5, -1) if kind.startswith("int") else None)
    return tflite.parse(graph.finish(), "built")


IMAGE = model(("image", (1, 4, 6, 3), "int8"))
PAIR = model(("left", (1, 3), "int8"), ("right", (2, 2), "float32"))


def saved(path: Path, array: np.ndarray) -> str:
    np.save(path, array)
    return str(path)


def test_nothing_asked_for_means_seed_0() -> None:
    (array,) = tensors.load([], IMAGE)
    assert np.array_equal(array, tensors.load(["random:0"], IMAGE)[0])
    assert not np.array_equal(array, tensors.load(["random:1"], IMAGE)[0])


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64", "bool", "float32"])
def test_random_input_covers_the_whole_range_of_its_type(kind: str) -> None:
    (array,) = tensors.load(["random:7"], model(("x", (1, 20000), kind)))
    low, high = (
        (0, 1)
        if kind == "bool"
        else (-1, 1)
        if kind == "float32"
        else (np.iinfo(kind).min, np.iinfo(kind).max)
    )
    assert array.dtype == kind
    assert low <= array.min() <= low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) <= array.max() <= high


def test_one_seed_fills_several_inputs_differently() -> None:
    left, right = tensors.load(["random:3"], PAIR)
    assert (left.shape, left.dtype, right.shape, right.dtype) == ((1, 3), np.int8, (2, 2), np.float32)
    twins = tensors.load(["random:3"], model(("a", (9,), "int8"), ("b", (9,), "int8")))
    assert not np.array_equal(*twins)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_an_array_file_is_taken_as_it_is(tmp_path: Path, order: str, dtype: str) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)  # type: ignore[call-overload]
    (found,) = tensors.load([saved(tmp_path / "x.npy", array)], model(("x", (3, 4), "int16")))
    assert found.dtype == np.dtype("=i2")
    assert found.tolist() == array.tolist()


def test_a_scalar_input_stays_a_scalar(tmp_path: Path) -> None:
    (found,) = tensors.load([saved(tmp_path / "x.npy", np.array(5, np.int32))], model(("x", (), "int32")))
    assert (found.shape, int(found)) == ((), 5)


def test_archives_go_by_name_and_else_by_order(tmp_path: Path) -> None:
    left, right = np.array([[1, 2, 3]], np.int8), np.ones((2, 2), np.float32)
    np.savez(tmp_path / "named.npz", right=right, left=left)
    np.savez_compressed(tmp_path / "plain.npz", left, right)
    for name in ("named.npz", "plain.npz"):
        found = tensors.load([str(tmp_path / name)], PAIR)
        assert [f.tolist() for f in found] == [left.tolist(), right.tolist()]


def test_specifications_of_all_kinds_mix(tmp_path: Path) -> None:
    left = saved(tmp_path / "l.npy", np.array([[1, 2, 3]], np.int8))
    found = tensors.load([left, "random:1"], PAIR)
    assert found[0].tolist() == [[1, 2, 3]]
    assert found[1].dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 6, 3), np.int8), "is int8 [4, 6, 3], the model takes 'image' int8 [1, 4, 6, 3]"),
        (np.zeros((1, 4, 6, 3), np.int16), "is int16 [1, 4, 6, 3], the model takes 'image' int8"),
        (np.zeros((4, 6, 3), np.float32), "is float32 [4, 6, 3], the model takes 'image' int8"),
        (np.zeros((1, 4, 6, 3), np.complex64), "is complex64 [1, 4, 6, 3], the model takes 'image' int8"),
        (np.full((1, 4, 6, 3), np.nan, np.float32), "values that are not finite, which no int8 stands for"),
    ],
)
def test_an_array_that_does_not_fit_is_refused_with_both_forms(
    tmp_path: Path, array: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        tensors.load([saved(tmp_path / "x.npy", array)], IMAGE)


def stored_with(
    scale: float, zero: int, kind: str = "int8", shape: tuple[int, ...] = (1, 16, 16, 1)
) -> Model:
    graph = Builder()
    graph.subgraph("main").input("x", (1, 16, 16, 1), kind, Scale(scale, zero))
    return tflite.parse(graph.finish(), "built")


@pytest.mark.parametrize(
    ("kind", "scale", "zero"),
    [("int8", 1 / 255, -128), ("int8", 0.25, 3), ("uint8", 2 / 255, 128), ("int16", 2**-13, 0)],
)
def test_real_numbers_are_quantised_as_the_desktop_runtime_does(
    tmp_path: Path, kind: str, scale: float, zero: int
) -> None:
    """Among them ties of both signs, and values beyond what the type holds."""
    generator = np.random.default_rng(3)
    reals = np.concatenate([generator.normal(0, 60 * scale, 200), (np.arange(56) - 28.5) * scale])
    reals = reals.astype(np.float32).reshape(1, 16, 16, 1)
    graph = Builder()
    main = graph.subgraph("main")
    x = main.input("x", reals.shape, "float32")
    main.operator("QUANTIZE", [x], [main.output("y", reals.shape, kind, Scale(scale, zero))])
    (expected,) = reference.run(graph.finish(), [reals])
    (found,) = tensors.load([saved(tmp_path / "x.npy", reals)], stored_with(scale, zero, kind))
    assert found.dtype == np.dtype(kind)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8"])
def test_what_was_quantised_and_what_was_cut_is_said(tmp_path: Path, dtype: str) -> None:
    reals = np.linspace(-1, 2, 256).reshape(1, 16, 16, 1).astype(dtype)
    found = tensors.read([saved(tmp_path / "x.npy", reals)], stored_with(0.5, -1))
    assert sorted(set(found.arrays[0].ravel().tolist())) == [-3, -2, -1, 0, 1, 2, 3]
    name = np.dtype(dtype).name
    assert found.notes == [f"input 'x': {name} quantised with the model's scale 0.5 and zero point -1"]
    np.savez(tmp_path / "x.npz", x=reals * 100)
    found = tensors.read([str(tmp_path / "x.npz")], stored_with(0.5, -1))
    assert (found.arrays[0].min(), found.arrays[0].max()) == (-128, 127)
    cut = int(((reals * 100 < -63.75) | (reals * 100 > 64.25)).sum())
    assert found.notes[0].endswith(f"; {cut} of 256 values lay beyond what it holds")


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-45])
def test_a_scale_that_means_nothing_quantises_nothing(tmp_path: Path, scale: float) -> None:
    broken = stored_with(scale, 0)
    with pytest.raises(InputError, match=r"is float32 .*, the model takes 'x' int8"):
        tensors.load([saved(tmp_path / "x.npy", np.zeros((1, 16, 16, 1), np.float32))], broken)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (found,) = tensors.load([picture(tmp_path / "x.png", pixels)], broken)
    assert np.array_equal(found[0, ..., 0].astype(int), pixels.astype(int) - 128)


@pytest.mark.parametrize(
    ("kind", "scale", "zero", "stored", "said"),
    [
        ("int8", 1 / 255, -128, range(-128, 128), "taken for 0 to 1"),
        ("int8", 2 / 255, -1, range(-128, 128), "taken for -1 to 1"),
        ("int8", 1.0, -128, range(-128, 128), "taken for 0 to 255"),
        ("uint8", 1 / 255, 0, range(256), "taken for 0 to 1"),
        ("int8", 0.9 / 255, -128, [min(127, round(p / 0.9) - 128) for p in range(256)], "taken for 0 to 1"),
        ("int8", 0.0186, -14, range(-128, 128), "spread over all that it holds, -2.1204 to 2.6226"),
    ],
)
def test_pixels_are_quantised_for_the_range_that_the_model_holds(
    tmp_path: Path, kind: str, scale: float, zero: int, stored: Sequence[int], said: str
) -> None:
    """As a picture and, where that is not the input's own type, as an array of bytes."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    takes = stored_with(scale, zero, kind)
    specs = [picture(tmp_path / "x.png", pixels)]
    if kind != "uint8":
        specs.append(saved(tmp_path / "x.npy", pixels.reshape(1, 16, 16, 1)))
    for spec in specs:
        found = tensors.read([spec], takes)
        assert found.arrays[0].ravel().tolist() == list(stored)
        assert said in found.notes[0]


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is object"):
        tensors.load([saved(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object))], IMAGE)


def picture(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def test_a_picture_of_the_inputs_size_is_its_pixels_less_128(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    (found,) = tensors.load([picture(tmp_path / "x.png", pixels)], IMAGE)
    assert np.array_equal(found[0].astype(int), pixels.astype(int) - 128)


@pytest.mark.parametrize(
    ("kind", "black", "white"),
    [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767), ("float32", 0.0, 1.0)],
)
def test_black_and_white_are_the_ends_of_the_inputs_range(
    tmp_path: Path, kind: str, black: float, white: float
) -> None:
    for level, expected in ((0, black), (255, white)):
        spec = picture(tmp_path / "x.bmp", np.full((9, 9), level, np.uint8))
        (found,) = tensors.load([spec], model(("x", (1, 4, 4, 1), kind)))
        assert (found.shape, found.dtype) == ((1, 4, 4, 1), np.dtype(kind))
        assert set(found.ravel().tolist()) == {expected}


def test_a_coloured_picture_of_another_size_is_resized_and_made_grey(tmp_path: Path) -> None:
    red = np.zeros((40, 20, 3), np.uint8)
    red[..., 0] = 255
    (found,) = tensors.load([picture(tmp_path / "x.png", red)], model(("x", (1, 5, 7, 1), "uint8")))
    assert set(found.ravel().tolist()) == {76}  # ITU-R 601: 0.299 of red


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, :2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    (found,) = tensors.load([str(tmp_path / "x.png")], model(("x", (1, 4, 2, 3), "uint8")))
    assert found[0, :2].min() == 255
    assert found[0, 2:].max() == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("random:", "the seed after 'random:' is a whole number"),
        ("random:-1", "the seed after 'random:' is a whole number"),
        ("random:1.5", "the seed after 'random:' is a whole number"),
        ("x.csv", "neither a file of a known kind"),
        ("nowhere.npy", "cannot be read: No such file"),
        ("nowhere.npz", "cannot be read: No such file"),
        ("nowhere.png", "cannot be read: No such file"),
    ],
)
def test_a_bad_specification_is_explained(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        tensors.load([spec], IMAGE)


def test_a_wrong_count_names_what_the_model_takes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("takes 2: 'left' int8 [1, 3], 'right' float32 [2, 2]")):
        tensors.load(["random:1", "random:2", "random:3"], PAIR)
    np.savez(tmp_path / "x.npz", only=np.zeros(3))
    with pytest.raises(
        InputError, match=r"holds 1 array\(s\) \('only'\), the model takes 2 \('left', 'right'\)"
    ):
        tensors.load([str(tmp_path / "x.npz")], PAIR)


def test_a_picture_for_a_model_that_takes_none_is_refused(tmp_path: Path) -> None:
    spec = picture(tmp_path / "x.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match=re.escape("is a picture, the model takes 'x' int8 [1, 640]")):
        tensors.load([spec], model(("x", (1, 640), "int8")))


def _bytes_of(suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, np.zeros((1, 4, 6, 3), np.int8))
    elif suffix == " real.npy":
        np.save(buffer, np.zeros((1, 4, 6, 3), np.float32))
    elif suffix == ".npz":
        np.savez_compressed(buffer, np.zeros((1, 4, 6, 3), np.int8))
    else:
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(buffer, tensors._PICTURES[suffix])
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".npy", " real.npy", ".npz", ".png", ".jpg", ".bmp"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_load_or_end_in_one_line(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    good = _bytes_of(suffix)
    bad = bytearray(good[: data.draw(st.integers(0, len(good)), label="length")])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=4)):
        if bad:
            bad[at % len(bad)] = value
    path = tmp_path / f"x{suffix}"
    path.write_bytes(bad)
    complaint = ""
    try:
        (found,) = tensors.load([str(path)], IMAGE)
    except InputError as error:
        complaint = str(error)
    else:
        assert (found.shape, found.dtype) == ((1, 4, 6, 3), np.int8)
    assert "\n" not in complaint
