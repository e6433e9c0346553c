"""Deploy: the file that a board gets for a model, compiled with Vela if the board wants that."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards import Profile
from harness.check import forecast
from harness.models import ethosu, tflite, vela
from harness.models.tflite import Model
from harness.models.vela import Compiled


@dataclass(frozen=True)
class Deployed:
    """A model as a board takes it.

    Attributes:
        file: what goes into flash.
        source: the model that computes the same on a desktop; None for a Vela file that came alone.
        compiled: Vela's account of the compilation; None if there was none, if nothing of the model is for
            the NPU, or if the file came compiled and its source or its settings are not known here.
    """

    file: Model
    source: Model | None
    compiled: Compiled | None


def deploy(model: Model, board: Profile) -> Deployed:
    """Return what `board` gets for `model`, which it can run; raises VelaError if Vela refuses it."""
    file, compiled = forecast.deployed(model, board)
    if ethosu.accelerator(model):
        made = vela.source_of(model.sha256)
        source = tflite.parse(made.source, f"the source of {model.name}") if made else None
        return Deployed(model, source, compiled)
    return Deployed(file, model, compiled)
