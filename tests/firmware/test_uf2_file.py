"""UF2 files: what is written is what other people's parsers read."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uf2utils.file import UF2File

from harness import boards
from harness.chips import uf2file
from harness.chips.uf2file import NotUf2
from harness.flash.method import FlashFile
from harness.flash.uf2 import to_uf2

FAMILY = 0xEF32C892


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 0xF000_0000))
def test_the_blocks_carry_the_data_to_where_it_goes(data: bytes, address: int) -> None:
    blocks = uf2file.read(uf2file.build(data, address, FAMILY))
    assert {block.family for block in blocks} == {FAMILY}
    [(start, joined)] = uf2file.join(reversed(blocks))
    assert start == address
    assert joined[: len(data)] == data
    assert not joined[len(data) :].strip(b"\0")


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_a_file_cut_short_is_refused(data: bytes, draw: st.DataObject) -> None:
    whole = uf2file.build(data, 0x30000000, FAMILY)
    with pytest.raises(NotUf2):
        uf2file.read(whole[: draw.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=1100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NotUf2):
        assert len(uf2file.read(data)) * 512 == len(data)


def test_a_block_has_the_layout_of_the_specification() -> None:
    block = uf2file.build(b"\x01\x02\x03", 0x10000000, FAMILY)
    assert len(block) == 512
    head = struct.unpack_from("<8I", block)
    assert head == (0x0A324655, 0x9E5D5157, 0x2000, 0x10000000, 256, 0, 1, FAMILY)
    assert block[32:36] == b"\x01\x02\x03\x00"
    assert struct.unpack_from("<I", block, 508) == (0x0AB16F30,)


@given(st.binary(max_size=100))
def test_swapping_words_twice_gives_the_bytes_back_padded(data: bytes) -> None:
    once = uf2file.swap_words(data)
    assert len(once) % 4 == 0
    assert uf2file.swap_words(once) == data.ljust(len(once), b"\0")
    assert once[:4] == data.ljust(4, b"\0")[:4][::-1] or not data


@pytest.mark.parametrize(("use", "address"), [("firmware", 0x10000000), ("model", 0x30100000)])
def test_another_parser_reads_the_board_s_files(
    tmp_path: Path, use: Literal["firmware", "model"], address: int
) -> None:
    board = boards.load("sensecap_a1101")
    data = bytes(range(256)) * 5 + b"end"
    path = tmp_path / "sample.uf2"
    path.write_bytes(to_uf2(board, FlashFile("sample", address, data, use)))
    parsed = UF2File(str(path))
    assert [block.header.address for block in parsed] == [address + 256 * i for i in range(6)]
    assert {block.header.total_blocks for block in parsed} == {6}
    assert {block.header.board_family for block in parsed} == {FAMILY}
    content = b"".join(bytes(block.payload) for block in parsed)
    expected = uf2file.swap_words(data) if use == "model" else data
    assert content[: len(expected)] == expected
    if use == "model":
        assert content[:8] == bytes([3, 2, 1, 0, 7, 6, 5, 4])
