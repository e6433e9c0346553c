"""The house: which room may know which, and that data goes down and never back up."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "harness"
ROOMS = {
    "boards": set(),
    "models": set(),
    "results": set(),
    "chips": {"boards"},
    "wire": set(),
    "meters": set(),
    "firmware": {"boards", "chips", "models"},
    "flash": {"boards", "firmware", "chips", "wire"},
    "check": {"boards", "models"},
    "timing": {"boards", "models", "results"},
    "emulator": {"boards", "chips", "flash", "models", "wire"},
    "runner": {
        "boards",
        "check",
        "chips",
        "emulator",
        "firmware",
        "flash",
        "meters",
        "models",
        "results",
        "wire",
    },
    "report": {"results"},
    "gate": {"results"},
    "cards": {"results"},
}
# Everyone may know these, which know nobody.
COMMON = {"assets", "download", "errors", "extras", "registry", "tflite_schema", "version"}


def modules() -> dict[str, Path]:
    """Return the package's modules by name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> set[str]:
    """Return the package's modules that one imports, wherever in it, but for those of type hints alone."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    hints = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in hints:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in MODULES else node.module for module in inner}
    return found & set(MODULES) - {name}


def room(module: str) -> str:
    """Return the room that a module is in, or its own name if it is in none."""
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_knows_those_below_it_and_no_other(name: str) -> None:
    known = {room(other) for module in MODULES if room(module) == name for other in imports(module)}
    assert known - COMMON - {name} <= ROOMS[name]


def test_every_room_is_in_the_plan() -> None:
    """The command line may know every room, and so may what people import."""
    rooms = {room(module) for module in MODULES if module.count(".") > 1}
    assert rooms - {"cli"} == set(ROOMS)


def test_nothing_but_the_command_line_knows_the_command_line() -> None:
    assert {module for module in MODULES if any(room(i) == "cli" for i in imports(module))} <= {
        "harness.__main__",
        *(module for module in MODULES if room(module) == "cli"),
    }


def test_no_module_depends_on_itself_by_way_of_others() -> None:
    graph = {module: imports(module) for module in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules
