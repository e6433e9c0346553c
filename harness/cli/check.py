"""`harness check`: will this model run on that board?"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, terminal

if TYPE_CHECKING:
    from harness.check.verdict import Verdict


@click.command("check", short_help="Say whether a model will run on a board, and why not.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL ...")
@options.board(required=True)
@click.option(
    "--firmware",
    metavar="NAME|FILE",
    help="Firmware that the board has, or a .toml file about one [the one with the default protocol].",
)
@click.option(
    "--address", metavar="ADDRESS", help="Where in flash the model goes, as 0x400000 [the usual place]."
)
@options.as_json("Print JSON: a list for several models.")
def command(
    models: tuple[str, ...], board: str, firmware: str | None, address: str | None, as_json: bool
) -> None:
    """Say whether each MODEL, a .tflite file, a folder of them or a bundled model, will run on a board.

    Every reason against it comes with a remedy. It is judged as a bench would run it: for a board with an NPU
    it is compiled with Vela first if it is not yet. The exit code is 0 if every
    model will run and 1 if one will not.
    """
    from harness import boards
    from harness.check import firmware as firmwares
    from harness.check.verdict import Verdict, judge
    from harness.errors import HarnessError, printable
    from harness.models import resolve

    profile = boards.load(board)
    chosen = firmwares.choose(profile, firmware)
    at = None if address is None else _address(address)
    found: list[Verdict | Unusable] = []
    for asked in resolve.expand(models):
        try:
            found.append(judge(resolve.resolve(asked.name), profile, chosen, address=at))
        except HarnessError as error:
            if not asked.of_folder:
                raise
            found.append(Unusable(asked.name, profile.id, str(error).removeprefix(f"{asked.name}: ")))
    if as_json:
        shown = [_as_dict(one) if isinstance(one, Verdict) else one.as_dict() for one in found]
        single = len(models) == 1 and not resolve.is_folder(models[0])
        terminal.print_json(shown[0] if single else shown)
    else:
        for one in found:
            if isinstance(one, Verdict):
                _show(one)
            else:
                click.echo(printable(f"no: {one.model} on {one.board}: {one.why}"))
    sys.exit(0 if all(isinstance(one, Verdict) and one.runs for one in found) else 1)


@dataclass(frozen=True)
class Unusable:
    """A file of a folder that is no model which could be judged, and why."""

    model: str
    board: str
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as the verdicts beside it are."""
        reason = {"kind": "no model", "what": self.why}
        return {"model": self.model, "board": self.board, "runs": False, "reasons": [reason]}


def _address(text: str) -> int:
    from harness.boards import units
    from harness.errors import HarnessError

    try:
        return units.address(text if text.lower().startswith("0x") else int(text))
    except (ValueError, units.UnitError):
        raise HarnessError(f"'{text}' is no address; write it as 0x400000") from None


def _as_dict(found: Verdict) -> dict[str, Any]:
    from harness.check.verdict import notes
    from harness.cli.ram_view import arena_dict, memories_dict

    made, ram = found.compiled, found.ram
    return {
        "model": found.model.name,
        "board": found.board.id,
        "firmware": {"name": found.firmware.name, "source": found.firmware.source},
        "compiled": found.is_compiled_first,
        "vela": {
            "version": made.version,
            "accelerator": made.accelerator,
            "npu_operators": made.npu_operators,
            "cpu_operators": list(made.cpu_operators),
            "cpu_reasons": list(made.cpu_reasons),
        }
        if made
        else None,
        "runs": found.runs,
        "reasons": [asdict(reason) for reason in found.reasons],
        "notes": list(notes(found)),
        "arena": {**arena_dict(ram), "assumptions": list(ram.assumptions)},
        "memory": memories_dict(ram),
    }


def _show(found: Verdict) -> None:
    from harness.check.verdict import notes
    from harness.errors import printable

    what = f"{found.model.name}{' (compiled by Vela)' if found.is_compiled_first else ''}"
    where = f"on {found.board.id} with the firmware '{found.firmware.name}'"
    click.echo(printable(f"{'yes' if found.runs else 'no'}: {what} {where}"))
    for number, reason in enumerate(found.reasons, 1):
        click.echo(printable(f"  {number}. {reason.what}"))
        click.echo(printable(f"     -> {reason.remedy}"))
    if found.runs:
        ram = found.ram
        more = "" if ram.needed.exact else " or more"
        click.echo(f"  arena: {ram.needed.used_bytes:,} bytes used{more} (estimated)")
        for assumption in ram.assumptions:
            click.echo(printable(f"         {assumption}"))
    for note in notes(found):
        click.echo(printable(f"  note: {note}"))
