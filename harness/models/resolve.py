"""What a person may write where a model is asked for: a path, the name of a bundled model, or a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, nearest
from harness.models import bundled, tflite


@dataclass(frozen=True)
class Asked:
    """A model that was asked for: by its own name or path, or (`of_folder`) as a file of a folder.

    A file of a folder that is no usable model is left out with a line; the others are used.
    """

    name: str
    of_folder: bool = False


def expand(names: Iterable[str]) -> list[Asked]:
    """Return the models that names, paths and folders stand for.

    A folder stands for the .tflite files in it and below it, in the order of their paths, without those that
    have come already or are named themselves. Raises HarnessError for a folder that has none.
    """
    names = list(names)
    folders = {name: Path(name) for name in names if is_folder(name)}
    taken = {_file(Path(name)) for name in names if name not in folders}
    found: list[Asked] = []
    for name in names:
        if name not in folders:
            found.append(Asked(name))
            continue
        inside = sorted(path for path in folders[name].rglob("*.tflite") if path.is_file())
        if not inside:
            raise HarnessError(f"{name}: no .tflite file in this folder")
        for path in inside:
            if _file(path) not in taken:
                taken.add(_file(path))
                found.append(Asked(str(path), of_folder=True))
    return found


def is_folder(name: str) -> bool:
    """Tell whether a name is that of a folder; one called like a bundled model is given as ./NAME."""
    return bool(name) and name not in bundled.names() and Path(name).is_dir()


def _file(path: Path) -> tuple[int, int] | None:
    """Return what identifies a file under all of its paths, None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def resolve(name_or_path: str) -> tflite.Model:
    """Return the parsed model of a file or of a bundled model; a file called like one is given as ./NAME.

    Raises HarnessError if there is neither, ModelError, which is one too, for a file that is not a model.
    """
    if name_or_path in bundled.names():
        return tflite.parse(bundled.build(name_or_path), name_or_path)
    if not name_or_path:
        raise HarnessError("the model has an empty name; give the path of a .tflite file or a bundled model")
    path = Path(name_or_path)
    if not path.exists() and path.name == name_or_path and path.suffix != ".tflite":
        raise HarnessError(
            f"no file and no bundled model '{name_or_path}'{nearest(name_or_path, bundled.names())}"
        )
    return tflite.read(path)
