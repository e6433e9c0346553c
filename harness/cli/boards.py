"""`harness boards`: list the board profiles, show one, check one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, terminal
from harness.cli.group import CommandGroup
from harness.errors import printable

if TYPE_CHECKING:
    from harness.boards import Profile

_JSON = options.as_json("Print JSON, with every quantity in its SI unit.")


@click.group(cls=CommandGroup, invoke_without_command=True)
@_JSON
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the board profiles, show one, or check one of your own."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"give --json after '{ctx.invoked_subcommand}'")
        return
    from harness import boards

    profiles = boards.all_profiles()
    if as_json:
        terminal.print_json([_as_json(profile) for profile in profiles])
    else:
        terminal.bare_table(
            terminal.console(),
            ("id", "aliases", "board", "chip", "clock", "model", "arena", "flashed by"),
            [_row(profile) for profile in profiles],
        )


@command.command()
@click.argument("board", metavar="ID")
@_JSON
def show(board: str, as_json: bool) -> None:
    """Show the profile ID (an id, an alias, or the path of a .toml file) and the source of every fact."""
    from harness import boards
    from harness.boards.facts import facts

    profile = boards.load(board)
    if as_json:
        terminal.print_json(_as_json(profile))
        return
    click.echo(f"{printable(profile.name)} ({profile.id})\n{profile.path}\nSHA-256 {profile.sha256}\n")
    notes: dict[str, int] = {}  # source -> its number below the table
    rows = []
    for fact in facts(profile):
        number = notes.setdefault(fact.source, len(notes) + 1)
        rows.append((fact.key, fact.value, f"[{number}]"))
    terminal.bare_table(terminal.console(), ("key", "value", "source"), rows)
    click.echo("\nSources:")
    for source, number in notes.items():
        click.echo(f"{f'[{number}]':>5} {printable(source)}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@_JSON
def check(file: Path, as_json: bool) -> None:
    """Check the profile in FILE, and name every problem with its line; exit code 2 if there is any."""
    from harness.boards import ProfileError, read
    from harness.runner import fitting

    try:
        profile = read(file)
        fitting.require(profile)
    except ProfileError as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            terminal.print_json({"file": str(file), "valid": False, "problems": problems})
        else:
            click.echo(str(error))
        sys.exit(error.exit_code)
    if as_json:
        emulated = fitting.cannot_be_emulated(profile) is None
        terminal.print_json(
            {"file": str(file), "valid": True, "id": profile.id, "emulated": emulated, "problems": []}
        )
    else:
        click.echo(f"{file}: valid profile of '{profile.id}' ({printable(profile.name)})")
        if why := fitting.cannot_be_emulated(profile):
            click.echo(why)


def _row(profile: Profile) -> tuple[str, ...]:
    from harness.boards import units

    return (
        profile.id,
        ", ".join(profile.aliases),
        profile.name,
        profile.chip.name,
        units.write(profile.clock_hz, units.FREQUENCY),
        profile.model_format,
        f"{units.write(profile.arena.size_bytes, units.SIZE)} ({profile.arena.memory})",
        profile.flash.method,
    )


def _as_json(profile: Profile) -> dict[str, Any]:
    facts = profile.model_dump(mode="json", exclude_none=True)
    return {"id": profile.id, "sha256": profile.sha256, "path": str(profile.path), **facts}
