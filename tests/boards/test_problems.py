"""Whatever is wrong with a profile is named with its file, its line, its key, and what was meant."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from harness import assets, boards
from harness.boards import ProfileError

# what to replace in the example, by what, the key that the message is about, the message, lines further down
CASES = {
    "unknown key": ("clock =", "clok =", "chip.clok", "unknown key; did you mean 'clock'?", 0),
    "unknown key in an array of tables": (
        "state = ",
        "stat = ",
        "usb[0].stat",
        "unknown key; did you mean 'state'?",
        0,
    ),
    "unknown table": ("[serial]", "[seriell]", "seriell", "unknown key; did you mean 'serial'?", 0),
    "unknown key that is like none": (
        "cores = 1",
        "cores = 1\nx = 2",
        "chip.x",
        "unknown key; known: clock, core,",
        1,
    ),
    "unknown key in quotes": ("cores = 1", 'cores = 1\n"a b" = 2', 'chip."a b"', "unknown key; known:", 1),
    "unknown dotted key": ("cores = 1", "cores = 1\nx.y = 2", "chip.x", "unknown key; known:", 1),
    "missing key": ("clock =", "clok =", "chip.clock", "is missing (clock of the core)", -5),
    "no source": ('source = "lsusb"', "", "usb[0]", "lacks its source (add `source`)", -4),
    "source for some keys only": (
        'source.rest = "the firmware\'s map file"\n',
        "",
        "arena.memory",
        "lacks its source (add source.memory or source.rest)",
        -4,
    ),
    "source of no fact": (
        "source.size",
        "source.siz",
        "arena.source.siz",
        "no fact of this table; did you mean 'size'?",
        0,
    ),
    "source that is no text": (
        'source = "lsusb"',
        "source = 3",
        "usb[0].source",
        "must be a text, or a table of texts",
        0,
    ),
    "source that says nothing": ('source = "lsusb"', 'source = ""', "usb[0].source", "must not be empty", 0),
    "source in a table that is no text": (
        'source.size = "the',
        'source.size = 3 # "the',
        "arena.source.size",
        "3 is not a text",
        0,
    ),
    "wrong unit": (
        '"200 MHz"',
        '"200 Mhz"',
        "chip.clock",
        "'Mhz' is no unit of a frequency; did you mean 'MHz'?",
        0,
    ),
    "clock in megahertz without its unit": (
        '"200 MHz"',
        "200",
        "chip.clock",
        "200 is out of range; it must be greater than or equal to 1000000",
        0,
    ),
    "unit of another kind": (
        'size = "1 MiB"',
        'size = "1 MHz"',
        "arena.size",
        "'1 MHz' is a frequency; a size is wanted",
        0,
    ),
    "no unit": ('"100 ms"', '"100"', "flash.xmodem.window", "'100' has no unit; a time is wanted", 0),
    "zero": (
        '"200 MHz"',
        '"0 MHz"',
        "chip.clock",
        "0 is out of range; it must be greater than or equal to 1000000",
        0,
    ),
    "whole number wanted": ("cores = 1", 'cores = "one"', "chip.cores", "'one' is not a whole number", 0),
    "number wanted": (
        "clock_scale = 1.0",
        "clock_scale = true",
        "vela.system.Sram.clock_scale",
        "True is not a number",
        0,
    ),
    "finite number wanted": (
        "default = 4",
        "default = inf",
        "estimate.cycles_per_element.default",
        "inf is not a finite number",
        0,
    ),
    "text wanted": ('name = "My Board"', "name = 7", "name", "7 is not a text", 0),
    "array wanted": ('["mine"]', '"mine"', "aliases", "'mine' is not an array", 0),
    "table wanted": (
        'block = "4 KiB"',
        'block = "4 KiB"\nesptool = 3',
        "flash.esptool",
        "3 is not a table",
        1,
    ),
    "array of tables wanted": ("[[usb]]", "[usb]", "usb", "is not an array", 0),
    "not an id": ('"my_board"', '"My Board"', "id", "'My Board' is not an id; lower-case letters", 0),
    "empty array": ('supported = ["bench"]', "supported = []", "protocols.supported", "must not be empty", 0),
    "value that is near a known one": (
        '"vela"',
        '"velo"',
        "model_format",
        "'velo' is not known here; did you mean 'vela'?",
        0,
    ),
    "value in an array": (
        '["firmware"]',
        '["firmwear"]',
        "flash.region[0].holds[0]",
        "did you mean 'firmware'?",
        0,
    ),
    "bad USB id": ('"1A86:55D3"', '"1A86:5D3"', "usb[0].id", "'1A86:5D3' is not a USB id", 0),
    "default protocol that is not supported": (
        'default = "bench"',
        'default = "sscma"',
        "protocols.default",
        "'sscma' is not among those supported (bench)",
        0,
    ),
    "arena in a memory that does not exist": (
        'memory = "sram"',
        'memory = "ram"',
        "arena.memory",
        "there is no memory 'ram'; did you mean 'sram'?",
        0,
    ),
    "arena in a memory that holds none": (
        'memory = "sram"',
        'memory = "qspi"',
        "arena.memory",
        "the memory 'qspi' does not hold an arena",
        0,
    ),
    "arena that is larger than its memory": (
        'size = "1 MiB"\nfirmware',
        'size = "2 MiB"\nfirmware',
        "arena.size",
        "arena and firmware take 2359296 bytes, the memory 'sram' has 2097152",
        0,
    ),
    "regions that overlap": (
        'offset = "0x100000"',
        'offset = "0xff000"',
        "flash.region[1].offset",
        "'models' (0xff000 to 0x7fefff) overlaps 'firmware' (0x0 to 0xfffff)",
        0,
    ),
    "region outside the flash": (
        'size = "7 MiB"',
        'size = "8 MiB"',
        "flash.region[1].offset",
        "'models' (0x100000 to 0x8fffff) is not inside 'qspi' (0x0 to 0x7fffff)",
        -1,
    ),
    "region that is not aligned": (
        'offset = "0x100000"\nsize = "7 MiB"',
        'offset = "0x100010"\nsize = "1 MiB"',
        "flash.region[1].offset",
        "0x100010 is not a multiple of the block (0x1000)",
        0,
    ),
    "region in a memory that is no flash": (
        'name = "firmware"\nmemory = "qspi"',
        'name = "firmware"\nmemory = "sram"',
        "flash.region[0].memory",
        "there is no flash memory 'sram'; known: qspi",
        1,
    ),
    "model region that does not exist": (
        'model = "models"',
        'model = "model"',
        "flash.model",
        "did you mean 'models'?",
        0,
    ),
    "model region for firmware": (
        'model = "models"',
        'model = "firmware"',
        "flash.model",
        "does not hold a model",
        0,
    ),
    "image at no region": (
        'image_offset = "0x0"',
        'image_offset = "0x10"',
        "flash.image_offset",
        "0x10 is not the start of a region",
        0,
    ),
    "method without its table": (
        'method = "xmodem"',
        'method = "uf2"',
        "flash.method",
        "the method 'uf2' needs the table [flash.uf2]",
        0,
    ),
    "table of another method": (
        'method = "xmodem"',
        'method = "uf2"',
        "flash.xmodem",
        "is for the method 'xmodem', but the board's is 'uf2'",
        7,
    ),
    "touch without UF2": (
        'enter = "button"',
        'enter = "touch"',
        "flash.enter",
        "'touch' needs the table [flash.uf2]",
        0,
    ),
    "name given twice": ('name = "qspi"', 'name = "sram"', "memory[1].name", "'sram' is given twice", 0),
    "alias that is the id": ('["mine"]', '["my_board"]', "aliases[0]", "'my_board' is given twice", 0),
    "port without its memory": (
        'axi1_port = "OffChipFlash"',
        'axi1_port = "OnChipFlash"',
        "vela.system.axi1_port",
        "'OnChipFlash' needs the table [vela.system.OnChipFlash]",
        0,
    ),
    "memory without a port": (
        'axi1_port = "OffChipFlash"',
        'axi1_port = "OnChipFlash"',
        "vela.system.OffChipFlash",
        "is on neither AXI port",
        10,
    ),
    "constants where Vela wants none": (
        'const_mem_area = "Axi1"\narena_mem_area = "Axi0"',
        'const_mem_area = "Axi0"\narena_mem_area = "Axi1"',
        "vela.memory.const_mem_area",
        "is on Sram; Vela wants Dram or OnChipFlash or OffChipFlash there",
        0,
    ),
    "accelerator that Vela lacks": (
        '"ethos-u55-64"',
        '"ethos-u55-46"',
        "vela.accelerator",
        "did you mean 'ethos-u55-64'?",
        0,
    ),
    "operator that TFLite lacks": (
        "CONV_2D = 0.4",
        "CONV2D = 0.4",
        "estimate.cycles_per_mac.CONV2D",
        "unknown operator; did you mean 'CONV_2D'?",
        0,
    ),
    "negative cycles": (
        "default = 4",
        "default = -4",
        "estimate.cycles_per_element.default",
        "-4 is out of range; it must be greater than or equal to 0",
        0,
    ),
    "broken TOML": ("cores = 1", "cores = = 1", "", "is not valid TOML: invalid value", 0),
    "key given twice": (
        "cores = 1",
        "cores = 1\ncores = 2",
        "",
        "is not valid TOML: cannot overwrite a value",
        1,
    ),
    "number of thousands of digits": (
        "cores = 1",
        f"cores = {'9' * 5000}",
        "",
        "it holds a number of thousands of digits",
        None,
    ),
    "deep nesting": (
        "cores = 1",
        f"cores = {'[' * 3000}",
        "",
        "is not a profile: arrays or tables are nested too deeply",
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_problem_is_named_with_its_line_and_key(case, changed):
    old, new, key, message, below = CASES[case]
    path, line = changed(old, new)
    with pytest.raises(ProfileError) as caught:
        boards.load(path)
    found = [
        problem for problem in caught.value.problems if problem.key == key and message in problem.message
    ]
    assert found, str(caught.value)
    line = 1 if below is None else line + below
    assert found[0].line == line
    prefix = f"{path}:{line}: {key}: " if key else f"{path}:{line}: "
    assert any(text.startswith(prefix) and message in text for text in str(caught.value).splitlines())


def test_a_profile_that_ends_too_early_is_named_with_its_last_line(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text('id = "x"\nname = """never\nended\n')
    with pytest.raises(ProfileError, match=rf"{path}:3: is not valid TOML: "):
        boards.load(path)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path):
    path = tmp_path / "board.toml"
    path.write_bytes(b'id = "x"\nname = "\xff"\n')
    with pytest.raises(ProfileError, match=rf"{path}:2: is not UTF-8 text"):
        boards.load(path)


def test_a_vela_board_needs_vela_settings(example, tmp_path):
    text = re.sub(r"(?ms)^\[vela\].*?(?=^\[estimate\])", "", example)
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        boards.load(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (4, "model_format")
    assert problem.message == "'vela' needs the table [vela]"
    path.write_text(text.replace('model_format = "vela"', 'model_format = "int8"'))
    assert boards.load(path).vela is None


def test_constants_may_be_in_sram_where_everything_is(example, tmp_path):
    text = example.replace('const_mem_area = "Axi1"', 'const_mem_area = "Axi0"')
    path = tmp_path / "board.toml"
    path.write_text(text)
    assert boards.load(path).vela.memory.const_mem_area == "Axi0"


def test_every_problem_of_a_file_is_reported_in_the_order_of_its_lines(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text('id = "A"\nnam = "B"\nmodel_format = "int9"\nsource = "mine"\n[chip]\nclock = "1 MiB"\n')
    with pytest.raises(ProfileError) as caught:
        boards.load(path)
    keys = [problem.key for problem in caught.value.problems]
    assert {"id", "nam", "name", "model_format", "chip", "chip.clock", "chip.cores", "flash"} <= set(keys)
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    assert len(str(caught.value).splitlines()) == len(keys)


PIECES = [
    "",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    '"',
    "\n",
    "{",
    "}",
    ".",
    "0",
    "-1",
    "inf",
    '"x"',
    "true",
    "[]",
    "\x00",
    "é",
    "1979-05-27",
]


def damage(text: str, dice: random.Random) -> str:
    """Cut, double, swap or replace a piece of `text`."""
    a, b = sorted(dice.randrange(len(text)) for _ in range(2))
    b = min(b, a + dice.choice([1, 3, 30, 300]))
    how = dice.randrange(4)
    if how == 0:
        return text[:a] + text[b:]
    if how == 1:
        return text[:b] + text[a:b] + text[b:]
    if how == 2:
        lines = text.splitlines(keepends=True)
        i, j = dice.randrange(len(lines)), dice.randrange(len(lines))
        lines[i], lines[j] = lines[j], lines[i]
        return "".join(lines)
    return text[:a] + dice.choice(PIECES) + text[min(len(text), a + dice.choice([0, 1, 5])) :]


def refusal(path: Path) -> ProfileError | None:
    try:
        boards.load(path)
    except ProfileError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_profile_is_read_or_refused_line_by_line(seed, tmp_path):
    dice = random.Random(seed)
    originals = [
        path.read_text(encoding="utf-8") for path in sorted(assets.directory("boards").glob("*.toml"))
    ]
    path = tmp_path / "board.toml"
    for _ in range(40):
        text = dice.choice(originals)
        for _ in range(dice.randrange(1, 4)):
            text = damage(text, dice)
        path.write_bytes(text.encode("utf-8"))
        refused = refusal(path)
        if refused is None:
            continue
        assert refused.problems
        assert all(1 <= problem.line <= text.count("\n") + 1 for problem in refused.problems)
        assert len(str(refused).split("\n")) == len(refused.problems)


def test_an_infinite_figure_is_no_figure(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (assets.directory("boards") / "grove_vision_ai_we2.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("clock_scale = 1.0", "clock_scale = inf"), encoding="utf-8")
    with pytest.raises(ProfileError, match=r"vela\.system\.Sram\.clock_scale: inf is not a finite number"):
        boards.load(path)
