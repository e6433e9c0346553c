"""The options that several commands share: a letter or a word means the same in each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_COUNT = 1_000_000


class Option(Protocol):
    """What gives a command an option."""

    def __call__(self, command: _Command, /) -> _Command:
        """Return the command with the option."""


def board(help: str = "Board id or profile.", *, required: bool = False) -> Option:
    """Take one board."""
    return click.option(
        "-b", "--board", metavar="ID", required=required, help=help, shell_complete=_complete_board
    )


def boards(help: str = "Board id or profile (repeatable).") -> Option:
    """Take any number of boards, as `boards`."""
    return click.option(
        *("-b", "--board", "boards"), metavar="ID", multiple=True, help=help, shell_complete=_complete_board
    )


def models(help: str, metavar: str = "MODEL") -> Option:
    """Take any number of models, as `models`; for commands whose argument is something else."""
    return click.option("-m", "--model", "models", metavar=metavar, multiple=True, help=help)


def inputs() -> Option:
    """Take test tensors, as `inputs`."""
    return click.option(
        *("-i", "--input", "inputs"),
        metavar="FILE.npy|FILE.npz|IMAGE|random:SEED",
        multiple=True,
        default=("random:0",),
        show_default=True,
        help="Test tensor, one for each input or one for all; floats and pixels are quantised.",
    )


def protocol(help: str = "What the firmware speaks [the board's default].", **more: Any) -> Option:
    """Take the name of a protocol."""
    return click.option("-p", "--protocol", metavar="NAME", help=help, **more)


def invokes(default: int) -> Option:
    """Take the number of timed invokes."""
    return click.option(
        *("-n", "--invokes"),
        type=click.IntRange(1, _COUNT),
        default=default,
        show_default=True,
        help="Timed invokes of each model.",
    )


def warmup() -> Option:
    """Take the number of invokes before the first timed one."""
    return click.option(
        *("-w", "--warmup"),
        type=click.IntRange(0, _COUNT),
        default=1,
        show_default=True,
        help="Untimed warm-up invokes before the timed ones.",
    )


def baud(help: str) -> Option:
    """Take a line speed."""
    return click.option("--baud", metavar="BAUD", type=click.IntRange(300, 100_000_000), help=help)


def output(help: str, *, metavar: str = "FILE", default: str | None = None) -> Option:
    """Take the place of what the command makes, as a path."""
    return click.option(
        "-o", "--output", metavar=metavar, type=_PATH, default=default, show_default=True, help=help
    )


def records(
    help: str = "Where the records are: a directory or a file.", *, default: str | None = "results"
) -> Option:
    """Take the place that records are read from, as the path `store`."""
    return click.option(
        *("--from", "store"), metavar="DIR", type=_PATH, default=default, show_default=True, help=help
    )


def records_of_several() -> Option:
    """Take places that records are read from, as the paths `stores`."""
    return click.option(
        *("--from", "stores"),
        metavar="DIR",
        type=_PATH,
        multiple=True,
        default=("results",),
        show_default=True,
        help="Where the records are: a directory or a file (repeatable).",
    )


def run_to_run() -> Option:
    """Take the spread between a board's runs in percent, as text."""
    return click.option(
        "--run-to-run",
        metavar="PERCENT",
        help="Spread between a board's runs, used if a side has only one. [default: as earlier runs show it]",
    )


def as_json(help: str = "Print JSON.") -> Option:
    """Ask for what the command finds as JSON, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def yes(help: str = "Do not ask.") -> Option:
    """Take consent beforehand."""
    return click.option("-y", "--yes", is_flag=True, help=help)


def _complete_board(ctx: click.Context, param: click.Parameter, incomplete: str) -> Sequence[CompletionItem]:
    """Return the ids of boards that begin so; if none does, leave it to the shell to find a profile."""
    from click.shell_completion import CompletionItem

    from harness import boards

    found = [CompletionItem(profile) for profile in boards.ids() if profile.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]
