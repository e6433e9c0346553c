import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.wire.framing import (
    CRC_BYTES,
    MARK,
    TEXT_LIMIT,
    Decoder,
    Text,
    body_limit,
    decode,
    encode,
    encoded_size,
)

bodies = st.binary(max_size=600).map(lambda rest: bytes([MARK]) + rest)


def in_portions(data: bytes, sizes: list[int]) -> list[bytes]:
    portions, at = [], 0
    for size in sizes:
        portions.append(data[at : at + size])
        at += size
    return [*portions, data[at:]]


@given(bodies)
def test_a_body_survives_the_line_and_costs_no_more_than_promised(body: bytes) -> None:
    line = encode(body)
    assert line[0] == line[-1] == 0
    assert 0 not in line[1:-1]
    assert len(line) <= encoded_size(len(body))
    assert decode(line[1:-1]) == body


@given(st.integers(0, 70_000))
def test_the_longest_body_for_a_frame_is_the_longest(line_bytes: int) -> None:
    limit = body_limit(line_bytes)
    assert limit <= 0 or encoded_size(limit) <= line_bytes
    assert encoded_size(max(limit, 0) + 1) > line_bytes


@given(st.lists(bodies, max_size=6), st.lists(st.integers(1, 400), max_size=12))
def test_frames_are_found_however_they_are_cut(sent: list[bytes], sizes: list[int]) -> None:
    decoder = Decoder(2048)
    found: list[bytes | Text] = []
    for portion in in_portions(b"".join(map(encode, sent)), sizes):
        found += decoder.feed(portion)
    assert found == sent
    assert decoder.damaged == 0


@given(bodies, st.data())
def test_a_changed_byte_costs_the_frame_and_no_other(body: bytes, data: st.DataObject) -> None:
    line = bytearray(encode(body))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    other = bytes([MARK]) + b"other"
    found = Decoder(2048).feed(encode(other) + bytes(line) + encode(other))
    assert found in ([other, other], [other, body, other])  # a delimiter of its own may be hit


@pytest.mark.parametrize("text", [False, True])
@given(garbage=st.binary(max_size=3000), body=bodies, sizes=st.lists(st.integers(1, 500), max_size=8))
def test_whatever_came_before_the_next_frame_is_found(
    text: bool, garbage: bytes, body: bytes, sizes: list[int]
) -> None:
    decoder = Decoder(1024, text=text, noise_limit=256)
    for portion in in_portions(garbage, sizes):
        decoder.feed(portion)
        assert decoder.buffered <= 1024 + 256
    assert [item for item in decoder.feed(encode(body)) if isinstance(item, bytes)][-1:] == [body]


def test_a_chunk_longer_than_the_buffer_is_dropped_up_to_the_next_frame() -> None:
    decoder = Decoder(256, noise_limit=64)
    for _ in range(1000):
        assert decoder.feed(b"\x01" * 1000) == []
        assert decoder.buffered <= 256 + 64
    good = bytes([MARK]) + b"good"
    assert decoder.feed(encode(good)) == [good]
    assert decoder.damaged == 1


def test_console_output_right_before_a_frame_is_kept_as_noise() -> None:
    decoder = Decoder(256)
    body = bytes([MARK]) + b"x"
    assert decoder.feed(b"boot: ok\r\n" + encode(body)) == [body]
    assert decoder.outside == b"boot: ok\r\n"


def test_an_unfinished_frame_can_be_given_up() -> None:
    decoder = Decoder(256, text=True)
    decoder.feed(encode(bytes([MARK]) + b"cut off")[:-3])
    decoder.drop_partial()
    assert decoder.feed(b"name%") == [Text("name")]


@given(
    st.lists(
        st.one_of(
            bodies,
            st.text("abcdefghijklmnop 0123456789", min_size=1, max_size=TEXT_LIMIT).map(Text),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 100), max_size=20),
)
@settings(max_examples=200)
def test_text_commands_and_frames_share_a_port(sent: list[bytes | Text], sizes: list[int]) -> None:
    line = b"".join(item.command.encode() + b"%" if isinstance(item, Text) else encode(item) for item in sent)
    decoder = Decoder(2048, text=True)
    found: list[bytes | Text] = []
    for portion in in_portions(line, sizes):
        found += decoder.feed(portion)
    assert found == sent


def test_a_frame_that_begins_with_a_percent_sign_is_no_command() -> None:
    body = next(
        candidate
        for size in range(20, 60)
        if encode(candidate := bytes([MARK]) + b"x" * size)[1] == ord("%") and 0 not in candidate
    )
    decoder = Decoder(256, text=True)
    assert [item for byte in encode(body) for item in decoder.feed(bytes([byte]))] == [body]


def test_a_command_longer_than_the_buffer_is_cut() -> None:
    decoder = Decoder(4096, text=True)
    assert decoder.feed(b"db " + b"0" * 500 + b"%") == [Text("db " + "0" * (TEXT_LIMIT - 3))]
    decoder.feed(b"db " + b"0" * 500)
    assert decoder.feed(b"00%") == [Text("db " + "0" * (TEXT_LIMIT - 3))]


@given(st.binary(max_size=64))
def test_a_sound_checksum_without_the_mark_is_no_frame(rest: bytes) -> None:
    body = b"\x01" + rest
    line = encode(body)
    assert decode(line[1:-1]) is None


def test_the_checksum_is_that_of_zlib() -> None:
    assert zlib.crc32(b"123456789") == 0xCBF43926
    assert CRC_BYTES == 4
