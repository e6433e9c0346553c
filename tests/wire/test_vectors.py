"""Bytes and meaning in tests/vectors, held against this implementation and one written apart from it."""

import itertools
import json
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.receiver import Receiver
from harness.wire import messages as m
from harness.wire.framing import Decoder, Text, encode

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/bench-v2.json").read_text(encoding="utf-8"))
PROTOCOL = (ROOT / "firmware/PROTOCOL.md").read_text(encoding="utf-8")
KINDS = {kind.__name__: kind for kind in m.HOST_MESSAGES + m.DEVICE_MESSAGES}


def message(name: str, fields: dict[str, object]) -> m.Message:
    kind = KINDS[name]
    raw = {
        field: bytes.fromhex(str(value)) if kind.__annotations__[field] in (m.Bytes32, m.Rest) else value
        for field, value in fields.items()
    }
    return kind(**raw)


def plain_cobs(data: bytes) -> bytes:
    """COBS as the paper has it, a byte at a time."""
    out, group = bytearray(), bytearray()
    for byte in data:
        if byte:
            group.append(byte)
        if byte == 0 or len(group) == 254:
            out += bytes([len(group) + 1]) + group
            group.clear()
            full = byte != 0
        else:
            full = False
    if group or not full:
        out += bytes([len(group) + 1]) + group
    return bytes(out)


def plain_crc(data: bytes) -> int:
    """CRC-32/ISO-HDLC, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["name"])
def test_encoder_and_decoder_agree_with_the_vector(vector: dict) -> None:
    meant = message(vector["message"], vector["fields"])
    body = m.pack(vector["number"], vector["session"], meant)
    assert body.hex() == vector["body"]
    assert encode(body).hex() == vector["line"]
    [found] = Decoder(4096).feed(bytes.fromhex(vector["line"]))
    assert isinstance(found, bytes)
    assert m.unpack(found) == m.Envelope(vector["number"], vector["session"], meant)
    assert int(vector["type"], 16) == KINDS[vector["message"]].TYPE


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["name"])
def test_a_plain_implementation_makes_the_same_line_of_the_body(vector: dict) -> None:
    body = bytes.fromhex(vector["body"])
    assert body[:8] == struct.pack(
        "<BBHI", 0xBE, int(vector["type"], 16), vector["number"], vector["session"]
    )
    checked = body + plain_crc(body).to_bytes(4, "little")
    assert (b"\x00" + plain_cobs(checked) + b"\x00").hex() == vector["line"]


def test_every_message_has_a_vector() -> None:
    assert {vector["message"] for vector in VECTORS["messages"]} == set(KINDS)


@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: vector["name"])
@pytest.mark.parametrize("portion", [1, 3, 10_000])
def test_the_decoder_finds_what_a_line_holds(vector: dict, portion: int) -> None:
    line = bytes.fromhex(vector["line"])
    decoder = Decoder(4096, text=True)
    found: list[bytes | Text] = []
    for at in range(0, len(line), portion):
        found += decoder.feed(line[at : at + portion])
    assert [body.hex() for body in found if isinstance(body, bytes)] == vector["bodies"]
    assert [text.command for text in found if isinstance(text, Text)] == vector.get("commands", [])


def test_the_receiver_answers_each_stream_message_as_the_vector_says() -> None:
    vector = VECTORS["transfer"]
    memory = bytearray(vector["input_bytes"])

    def write(index: int, offset: int, data: bytes) -> None:
        memory[offset : offset + len(data)] = data

    receiver = Receiver(
        vector["max_block"],
        lambda index: len(memory) if index == 0 else None,
        write,
        lambda index, offset, length: bytes(memory[offset : offset + length]),
    )
    for step in vector["steps"]:
        sent = message(step["message"], step["fields"])
        if isinstance(sent, m.Open):
            receiver.on_open(step["number"], sent, step["during_run"])
        elif isinstance(sent, m.Data):
            receiver.on_data(step["number"], sent)
        else:
            receiver.on_probe(step["number"])
        assert receiver.ack() == (step["ack_number"], message("Ack", step["ack"])), step["name"]
    assert memory.hex() == vector["input_after"]


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("errors", m.ErrorCode),
        ("statuses", m.TransferStatus),
        ("states", m.RunState),
        ("capabilities", m.Capability),
    ],
)
def test_tables_of_codes_are_those_of_the_vectors(table: str, names: type) -> None:
    assert VECTORS[table] == {str(int(code)): code.name for code in names}


def test_the_specification_lists_every_message_with_its_type_and_every_error() -> None:
    listed = {int(number, 16) for number in re.findall(r"\| (\d[0-9A-F]|[0-9A-F]\d) [A-Z]", PROTOCOL)}
    listed |= {
        int(number, 16) for number in re.findall(r"^\| ([0-9A-F]{2}) [A-Z_]+ ", PROTOCOL, re.MULTILINE)
    }
    assert listed >= set(m.BY_TYPE)
    for code in m.ErrorCode:
        assert f"| {int(code)} | {code.name} |" in PROTOCOL
    for status in m.TransferStatus:
        assert f"| {int(status)} {status.name} |" in PROTOCOL
    for number, name in m.TENSOR_TYPES.items():
        assert f"{number} {name}" in PROTOCOL.replace("\n", " ")


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["name"])
def test_a_payload_cut_short_is_malformed_or_means_something_shorter(vector: dict) -> None:
    body = bytes.fromhex(vector["body"])
    for end in range(len(body)):
        try:
            got = m.unpack(body[:end])
        except m.Malformed:
            continue
        assert KINDS[vector["message"]].REST  # only a message with a rest can be cut and still be read
        assert m.pack(got.number, got.session, got.message) == body[:end]


def payload_of(row: str) -> tuple[list[str], int, bool]:
    """Return what a row states: the types of the fixed part, how many strings follow, whether a rest does."""
    row = re.sub(r"\([^)]*\)", "", row).partition(";")[0]
    head, _, rest = row.partition("rest:")
    head, _, strings = head.partition("strings:")
    if each := re.match(r"(\w+) each:(.*)", head):
        types = [each[1]] * (each[2].count(",") + 1)
    else:
        types = re.findall(r"\b[uif]\d+\b(?:\[\d+\])?", head)
    texts = strings.count(",") + 1 if strings else len(re.findall(r"\bstring\b", head))
    return types, texts, bool(rest)


def test_the_fields_of_every_message_are_those_that_the_specification_lists() -> None:
    codes = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "f32": "f"}
    codes |= {"u32[8]": "32s", "u8[32]": "32s"}
    listed = {}
    for line in PROTOCOL.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for head, payload in itertools.pairwise(cells):
            if named := re.match(r"([0-9A-F]{2}) [A-Z_]+", head):
                types, texts, rest = payload_of(payload)
                listed[int(named[1], 16)] = ("<" + "".join(codes[kind] for kind in types), texts, rest)
    assert listed == {
        number: (kind.FIXED.format, kind.TEXTS, kind.REST) for number, kind in m.BY_TYPE.items()
    }


def values(annotation: object) -> st.SearchStrategy:
    """Return what a field of this kind can hold."""
    if annotation in (m.U8, m.U16, m.U32, m.U64):
        bits = {m.U8: 8, m.U16: 16, m.U32: 32, m.U64: 64}[annotation]
        return st.integers(0, 2**bits - 1)
    return {
        m.I32: st.integers(-(2**31), 2**31 - 1),
        m.F32: st.floats(width=32, allow_nan=False),
        m.Bytes32: st.binary(min_size=32, max_size=32),
        m.Text: st.text(max_size=63),  # at most 252 bytes of UTF-8
        m.Rest: st.binary(max_size=300),
    }[annotation]


@pytest.mark.parametrize("kind", m.BY_TYPE.values(), ids=lambda kind: kind.__name__)
@given(data=st.data(), number=values(m.U16), session=values(m.U32))
def test_a_message_comes_back_as_it_was_packed(
    kind: type[m.Message], data: st.DataObject, number: int, session: int
) -> None:
    sent = kind(*(data.draw(values(field)) for field in kind.__annotations__.values()))
    assert m.unpack(m.pack(number, session, sent)) == m.Envelope(number, session, sent)
