"""What a model takes of a board's memories: its tensor arena, the model itself, and what is left of each."""

from __future__ import annotations

from dataclasses import dataclass

from harness.boards import Profile
from harness.models import ethosu
from harness.models.arena import Arena, arena, resource_variables
from harness.models.graph import Model
from harness.models.kernel_library import library


@dataclass(frozen=True, slots=True)
class Use:
    """One memory of the board in bytes; `firmware_bytes` is None if not known.

    `left_bytes` is then an upper bound.
    """

    memory: str
    kind: str
    size_bytes: int
    firmware_bytes: int | None
    arena_bytes: int
    model_bytes: int

    @property
    def left_bytes(self) -> int:
        return self.size_bytes - (self.firmware_bytes or 0) - self.arena_bytes - self.model_bytes


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The arena of a model on a board.

    `arena` is by TFLite-Micro's reference kernels; `with_kernels` by the board's own if those are
    accounted for, `kernels` their name. `scratch_bytes` and `fast_scratch_bytes` are the NPU's part of the
    arena, `resource_variables` how many the firmware is taken to provide for: those that the model names.
    """

    arena: Arena
    kernels: str
    with_kernels: Arena | None
    scratch_bytes: int
    fast_scratch_bytes: int
    resource_variables: int
    memories: tuple[Use, ...]

    @property
    def needed(self) -> Arena:
        """The arena that has to fit: with the board's kernels if they are accounted for."""
        return self.with_kernels or self.arena

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the figure that is needed rests on, a sentence each."""
        found = []
        if self.with_kernels is None:
            found.append(
                f"it is that of the reference kernels: what {self.kernels} keeps besides is not known"
            )
        if self.resource_variables:
            count = f"{self.resource_variables} resource variable{'s' * (self.resource_variables > 1)}"
            found.append(
                f"it holds for a firmware that provides for {count}, as many as the model names; each "
                "further one takes 20 bytes"
            )
        return tuple(found)


def ram(model: Model, board: Profile) -> MemoryNeed:
    """Return what `model` takes of the memories of `board`; raises ModelError for a damaged NPU part."""
    plain = arena(model)
    kernels = library(board.chip.kernels, board.chip.core)
    payloads = ethosu.payloads(model)
    own = arena(model, kernels) if kernels else None
    return MemoryNeed(
        arena=plain,
        kernels=board.chip.kernels,
        with_kernels=own,
        scratch_bytes=max((p.scratch_bytes for p in payloads), default=0),
        fast_scratch_bytes=max((p.fast_scratch_bytes for p in payloads), default=0),
        resource_variables=resource_variables(model),
        memories=tuple(_uses(model, own or plain, board)),
    )


def _uses(model: Model, needed: Arena, board: Profile) -> list[Use]:
    model_memory = board.flash.model_region.memory
    found = []
    for memory in board.memories:
        is_arena, holds_model = memory.name == board.arena.memory, memory.name == model_memory
        if not (is_arena or holds_model or memory.kind != "flash"):
            continue
        kept = board.arena.firmware_bytes if is_arena else None
        if holds_model:
            kept = memory.size_bytes - board.flash.model_region.size_bytes
        found.append(
            Use(
                memory=memory.name,
                kind=memory.kind,
                size_bytes=memory.size_bytes,
                firmware_bytes=kept,
                arena_bytes=needed.used_bytes if is_arena else 0,
                model_bytes=len(model.data) if holds_model else 0,
            )
        )
    return found
