"""What a person may write where a model is asked for: a path, or the name of a bundled model."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError, nearest
from harness.models import bundled, tflite


def resolve(name_or_path: str) -> tflite.Model:
    """Return the parsed model of a file or of a bundled model; a file called like one is given as ./NAME.

    Raises HarnessError where there is neither, ModelError (one too) for a file that is not a model.
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
