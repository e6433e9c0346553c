"""The model zoo itself, all of its history: run by hand against a clone of it beside the project.

    git clone --mirror https://github.com/Seeed-Studio/sscma-model-zoo ZOO
    MODEL_ZOO=ZOO python -m pytest -m soak -n 0 --timeout 0 tests/cards/test_model_zoo.py

A mirror has what pull requests changed, too. The zoo's own generator is run as well where MODEL_ZOO_PYTHON
names a Python that has what it needs (nbformat, tabulate, requests). The default tests take made documents
of the same forms.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.cards import Rules, updating
from harness.cards.card import Left
from harness.cards.models import RecordsByModel
from harness.cards.planning import plan
from harness.results.record import Record
from tests.cards import oracle
from tests.cards.making import benched
from tests.cards.oracle import Figure

ACCEPT = Rules(accept=True, by_name=True)
EXCEPTIONS = (
    r"foot-note N is not explained below the table; add '<sup>N</sup> BOARD' behind an empty line",
    r"line N \(character N\) shows N ms, of the same model and board, "
    r"and nothing tells what the two differ in",
    r"the card does not say which board the figure is of; give it a foot-note, or say --board",
    r"has N cells under a header of N: the last are not shown, and nothing tells which one is too many",
)
"""All that keeps a figure of the zoo's history from being written, with N for every number."""
UUID = re.compile(r'"uuid": "[0-9a-f]{32}"')

pytestmark = [
    pytest.mark.soak,
    pytest.mark.interop,
    pytest.mark.skipif(
        "MODEL_ZOO" not in os.environ, reason="MODEL_ZOO does not name a clone of the model zoo"
    ),
]


@pytest.fixture(scope="module")
def zoo() -> Path:
    return Path(os.environ["MODEL_ZOO"]).resolve()


def git(zoo: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(zoo), *arguments], check=True, capture_output=True).stdout


def versions(zoo: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every version that a card or an entry ever had, by its path, once each."""
    log = git(zoo, "log", "--all", "-m", "--format=", "--raw", "--no-abbrev", "--no-renames").decode()
    found: dict[str, str] = {}
    for line in log.splitlines():
        _, _, _, blob, state, path = line.split(None, 5)
        if state != "D" and path.endswith((".md", ".json")):
            found.setdefault(blob, path)
    for blob, path in found.items():
        yield path, git(zoo, "cat-file", "blob", blob)


def other_text(old: str, rng: random.Random) -> str:
    """Return another number with as many digits, so that no cell's padding changes with it."""
    decimals = len(old.partition(".")[2])
    for _ in range(200):
        new = f"{float(old) * rng.uniform(0.55, 1.8):.{decimals}f}"
        if len(new) == len(old) and new != old and float(new) > 0 and (decimals < 2 or new[-1] != "0"):
            return new
    return old


def new_texts(text: str, figures: Sequence[Figure], rng: random.Random) -> dict[int, str]:
    """Return a new number for each figure, by where it starts; figures of one thing get the same."""
    chosen: dict[tuple[object, ...], str] = {}
    texts = {}
    for figure in figures:
        old = text[figure.start : figure.end]
        key = (figure.file, tuple(sorted(figure.boards)), figure.quantity, old)
        texts[figure.start] = chosen.setdefault(key, other_text(old, rng))
    return texts


def records_of(figures: Sequence[Figure], texts: dict[int, str]) -> list[Record]:
    """Return a record for each file and board, which says what `texts` do.

    A figure whose foot-note is explained nowhere gets one of the XIAO: it may be of that board, or not.
    """
    times: dict[tuple[str, str], tuple[Figure, str]] = {}
    rams: dict[tuple[str, str], int] = {}
    for figure in sorted(figures, key=lambda figure: "?" not in figure.boards):
        for board in figure.boards:
            key = (figure.file, "xiao_esp32s3" if board == "?" else board)
            if figure.quantity == "time":
                times[key] = (figure, texts[figure.start])
            else:
                rams[key] = round(float(texts[figure.start]) * figure.size)
    return [
        record_of(figure, board, float(ms), rams.get((file, board)))
        for (file, board), (figure, ms) in times.items()
    ]


def record_of(figure: Figure, board: str, ms: float, ram: int | None) -> Record:
    made_up = hashlib.sha1(figure.file.encode()).hexdigest()
    sha1 = figure.sha1 or made_up
    precision = "float32" if "float32" in figure.file else "int8"
    if "int8" not in figure.file and "loat" in figure.precision.lower():
        precision = "float32"
    compiled = sha1 if figure.vela else None
    return benched(
        ms, board=board, sha1=sha1, file=figure.file, compiled_from=compiled, precision=precision, arena=ram
    )


def put(text: str, figures: Sequence[Figure], texts: dict[int, str]) -> str:
    """Return a text with the numbers of some figures changed, and nothing else."""
    pieces, at = [], 0
    for figure in sorted(figures, key=lambda figure: figure.start):
        pieces += [text[at : figure.start], texts[figure.start]]
        at = figure.end
    return "".join(pieces) + text[at:]


def test_every_version_is_set_to_new_values_and_back(zoo: Path) -> None:
    """Every figure is written or named with the reason, and the old values give the old bytes."""
    rng = random.Random(20260501)
    count: Counter[str] = Counter()
    exceptions: Counter[str] = Counter()
    for path, data in versions(zoo):
        text = data.decode()
        figures = oracle.figures(path, text)
        texts = new_texts(text, figures, rng)
        made = plan(text, RecordsByModel(records_of(figures, texts)), ACCEPT)
        count["versions"] += 1
        count["versions with figures"] += bool(figures)
        count["figures"] += sum(len(figure.boards) for figure in figures)
        # Which lines changed is seen by comparing; what stands there now has to be the oracle's.
        old_lines, new_lines = (UUID.sub("", t).split("\n") for t in (text, made.text))
        in_line = defaultdict(list)
        for figure in figures:
            in_line[figure.line].append(figure)
        pairs = enumerate(zip(old_lines, new_lines, strict=True), 1)
        assert {number for number, (old, now) in pairs if old != now} <= set(in_line), path
        for number, some in in_line.items():
            parts = (
                part
                for part in _parts(some)
                if _line(put(text, part, texts), number) == _line(made.text, number)
            )
            part = next(parts, None)
            assert part is not None, (path, number)
            for figure in some:
                if figure in part:
                    count["changed"] += len(figure.boards)
                else:
                    exceptions[_reason(figure, made.left)] += len(figure.boards)
        back = plan(
            made.text,
            RecordsByModel(records_of(figures, {f.start: text[f.start : f.end] for f in figures})),
            ACCEPT,
        )
        assert back.text.encode() == data, path
    unexplained = [why for why in exceptions if not any(re.fullmatch(known, why) for known in EXCEPTIONS)]
    print(dict(count))
    for why, times in exceptions.most_common():
        print(f"left {times}: {why}")
    print(f"left without a known reason: {sum(exceptions[why] for why in unexplained)}")
    assert not unexplained
    assert count["changed"] + exceptions.total() == count["figures"]
    assert count["versions"] > 600
    assert count["changed"] > 2000


def _reason(figure: Figure, left: Sequence[Left]) -> str:
    """Return why a figure was left, with N for every number, or where it stands if nothing says why."""
    other = oracle.RAMS if figure.quantity == "time" else oracle.TIMES
    for one in left:
        near = f"{one.where}:".startswith(f"line {figure.line}:") or figure.file in one.where
        if near and not any(header in one.where for header in other):
            return re.sub(r"\d+(\.\d+)?", "N", one.why)
    return f"not said of {figure}"


def _line(text: str, number: int) -> str:
    return text.split("\n")[number - 1]


def _parts(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Return all choices of some figures, the largest first: any of a line's may have been left alone."""
    parts: list[list[Figure]] = [[]]
    for figure in figures:
        parts += [[*part, figure] for part in parts]
    return sorted(parts, key=len, reverse=True)


@pytest.fixture
def today(zoo: Path, tmp_path: Path) -> Path:
    """Return a copy of the zoo as it is today, outside of git."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    archive = git(zoo, "archive", "HEAD")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def records_of_today(folder: Path, boards: str, seed: int) -> list[Record]:
    """Return a record of every int8 and Vela model on every board that is asked for.

    boards: "named" for those that its rows name, "all" for all that any card names. Half of the Vela records
    are of the zoo's own file, half of what the int8 file was compiled to anew.
    """
    rng = random.Random(seed)
    md5 = {}
    for path in sorted(folder.glob("[cd]*/*/*.json")):
        for one in json.loads(path.read_text())["benchmark"]:
            md5[one["url"].rpartition("/")[2]] = one["checksum"].removeprefix("md5:")
    wanted: dict[str, tuple[Figure, set[str]]] = {}
    everywhere: set[str] = set()
    for path in sorted(folder.glob("docs/*/*.md")):
        for figure in oracle.figures(path.name, path.read_text()):
            if figure.quantity == "time":
                wanted.setdefault(figure.file, (figure, set()))[1].update(figure.boards)
                everywhere |= set(figure.boards)
    found = []
    for number, (figure, named) in enumerate(wanted.values()):
        for board in sorted(everywhere if boards == "all" else named):
            ms, ram = round(rng.uniform(2, 900), 1), rng.randrange(200_000, 500_000)
            made = record_of(figure, board, ms, ram)
            model = made.model.model_dump()
            source = figure.file.replace("_vela", "")
            if figure.vela and number % 2 and figure.file in md5:
                model |= {
                    "md5": md5[figure.file],
                    "source_sha1": None,
                    "source_file": None,
                    "sha1": "cd" * 20,
                }
            elif figure.vela:
                model |= {"source_md5": md5.get(source), "source_file": source}
            else:
                model["md5"] = md5.get(figure.file)
            found.append(Record.model_validate({**made.model_dump(), "model": model}))
    return found


def cells(folder: Path) -> dict[tuple[str, int, str], str]:
    """Return every time cell of the zoo by file, line and board, as the oracle reads it."""
    found = {}
    for path in sorted([*folder.glob("docs/*/*.md"), *folder.glob("[cd]*/*/*.json"), folder / "models.json"]):
        text = path.read_text()
        for figure in oracle.figures(path.name, text):
            for board in figure.boards:
                if figure.quantity == "time":
                    found[str(path.relative_to(folder)), figure.line, board] = text[figure.start : figure.end]
    return found


@pytest.mark.parametrize("only", [("time",), ("time", "ram")], ids=["time", "time and RAM"])
@pytest.mark.parametrize("boards", ["named", "all"])
@pytest.mark.parametrize("seed", range(3))
def test_one_command_writes_every_time_of_today_and_the_generator_changes_nothing(
    today: Path, boards: str, only: tuple[str, ...], seed: int
) -> None:
    records = records_of_today(today, boards, seed)
    before = cells(today)
    rules = Rules(accept=True, by_name=True, only=frozenset(only))
    made = updating.prepare([today], records, rules)
    made.write()
    files = {card.path for card in made.cards}
    assert len(files) == 40 + 18
    assert not made.disagreements
    assert [left for left in made.left if "Inference(ms)" in left] == []
    # Every cell shows what its record says: in a card that is generated as its entry has it.
    of = {(record.model.file, record.board.id): record for record in records}
    texts = cells(today)
    places = {key[:1] + key[2:] for key in before}
    assert places <= {key[:1] + key[2:] for key in texts}
    for (name, line, board), shown in texts.items():
        file = next(
            f.file
            for f in oracle.figures(name, (today / name).read_text())
            if f.line == line and board in f.boards and f.quantity == "time"
        )
        record = of[file, board]
        ms = sorted(record.invoke.ticks)[len(record.invoke.ticks) // 2] / record.invoke.tick_hz * 1000
        decimals = len(shown.partition(".")[2])
        assert abs(float(shown) - ms) <= 0.5 * 10**-decimals + 1e-9, (name, line, board)
    print(f"{len(records)} records, {len(before)} times before, {len(texts)} after, in {len(files)} files")
    assert updating.prepare([today], records, rules).changed == []
    if "MODEL_ZOO_PYTHON" in os.environ:
        assert generated(today) == []


def test_today_the_generator_changes_nothing_to_begin_with(today: Path) -> None:
    if "MODEL_ZOO_PYTHON" not in os.environ:
        pytest.skip("MODEL_ZOO_PYTHON does not name a Python that runs the zoo's generator")
    assert generated(today) == []


# The generator walks folders in the order of the disk and writes the hash of the commit: both are held fast.
_RUN = """
import json, runpy, sys, types
sys.modules["openai"] = types.ModuleType("openai")
known = json.load(open("models.json"))
def called(m):
    return m["name"], m["algorithm"], m["network"]["input"]["shape"][0]
order = [called(m) for m in known["models"]]
def place(file):
    return order.index(called(json.load(open(file))))
script = runpy.run_path("scripts/generate.py", run_name="script")
names = script["generate"].__globals__
find = names["find_files_in_folder"]
names["find_files_in_folder"] = lambda *a, **k: sorted(find(*a, **k), key=place)
names["get_current_commit_hash"] = lambda: known["version"]
names["get_current_branch"] = lambda: "main"
def no_download(url, folder):
    checksums[0] = next(b["checksum"] for m in known["models"] for b in m["benchmark"] if b["url"] == url)
    return url
checksums = [""]
names["download_file"] = no_download
names["get_file_md5"] = lambda path: checksums[0]
script["download"]()
script["generate"]()
"""


def generated(folder: Path) -> list[str]:
    """Run the zoo's own generator on a copy of a folder, and return the files that it changes."""
    copy = folder.with_name("generated")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    subprocess.run(
        [os.environ["MODEL_ZOO_PYTHON"], "-c", _RUN], cwd=copy, check=True, capture_output=True, text=True
    )
    shutil.rmtree(copy / "model_zoo", ignore_errors=True)
    names = sorted(
        {str(p.relative_to(root)) for root in (folder, copy) for p in root.rglob("*") if p.is_file()}
    )
    return [
        name
        for name in names
        if not ((folder / name).exists() and (copy / name).exists())
        or (folder / name).read_bytes() != (copy / name).read_bytes()
    ]


def test_folders_of_the_past_are_set_to_new_values_and_back(zoo: Path, tmp_path: Path) -> None:
    """Every sixth commit as a folder: entries, the file of all models and cards follow one another there.

    A model that files show with different figures, or on different boards, cannot come back as it was: one
    record makes them agree. Such are left out here, and counted.
    """
    rng = random.Random(20260502)
    commits = git(zoo, "rev-list", "--all", "--topo-order").decode().split()[::6]
    count: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for commit in commits:
        folder = tmp_path / commit
        before = folder_of(zoo, commit, folder)
        figures = {path: oracle.figures(path.name, data.decode()) for path, data in before.items()}
        said: dict[tuple[str, str], dict[str, set[tuple[str, ...]]]] = defaultdict(lambda: defaultdict(set))
        for path, found in figures.items():
            text = before[path].decode()
            for figure in found:
                shown = text[figure.start : figure.end]
                said[figure.file, figure.quantity][shown].add(figure.boards)
        agreed = {thing for thing, shown in said.items() if _agree(shown)}
        texts: dict[tuple[str, str, str], str] = {}
        new: dict[str, Record] = {}
        old: dict[str, Record] = {}
        for path, found in figures.items():
            text = before[path].decode()
            mine = [f for f in found if (f.file, f.quantity) in agreed and "?" not in f.boards]
            count["left out"] += len(found) - len(mine)
            now = {f.start: text[f.start : f.end] for f in mine}
            other = {
                f.start: texts.setdefault((f.file, f.quantity, now[f.start]), other_text(now[f.start], rng))
                for f in mine
            }
            for records, values in ((new, other), (old, now)):
                for record in records_of(mine, values):
                    records.setdefault(f"{record.model.file} {record.board.id}", record)
        if not new:
            continue
        made = updating.prepare([folder], list(new.values()), ACCEPT)
        made.write()
        count["commits"] += 1
        count["files"] += len(made.cards)
        count["changes"] += sum(len(card.plan.changes) for card in made.cards)
        why.update(re.sub(r"[\d.]+|'[^']*'", "…", reason) for card in made.cards for reason in card.reasons())
        updating.prepare([folder], list(old.values()), ACCEPT).write()
        # Another file of the folder may have a place for a figure that it did not show before.
        gained = {card.path for card in made.cards if any(change.old is None for change in card.plan.changes)}
        count["files that gained a figure"] += len(gained)
        for path, data in before.items():
            assert path in gained or path.read_bytes() == data, (commit, path)
        shutil.rmtree(folder)
    print(dict(count))
    for reason, times in why.most_common():
        print(f"left {times}: {reason}")
    assert count["commits"] > 20


def _agree(shown: dict[str, set[tuple[str, ...]]]) -> bool:
    """Tell whether all files show the same figure on the same boards."""
    groups = [group for boards in shown.values() for group in boards]
    boards = [board for group in groups for board in group]
    return len(groups) == len(shown) and len(boards) == len(set(boards))


def folder_of(zoo: Path, commit: str, folder: Path) -> dict[Path, bytes]:
    """Write the cards and entries of a commit to a folder and return them."""
    before = {}
    for line in git(zoo, "ls-tree", "-r", commit).decode().splitlines():
        _, _, blob, name = line.split(None, 3)
        if name.endswith((".md", ".json")):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            before[path] = git(zoo, "cat-file", "blob", blob)
            path.write_bytes(before[path])
    return before
