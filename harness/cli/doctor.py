"""`harness doctor`: from the box to a number, step by step."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from harness.cli import options, terminal
from harness.errors import printable

_STYLES = {"ok": "green", "failed": "bold red", "not possible": "yellow"}


@click.command("doctor", short_help="Walk from the cable to an invoke, and say what is wrong.")
@options.board("Board id or profile [known by its USB id, or by what it answers].")
@click.option("--port", metavar="URL", help="Its port, or `emulated` [that of the attached board].")
@options.protocol("What the firmware should speak [whichever of the board's answers].")
@click.option("--flash", is_flag=True, help="Write firmware and the bundled model onto the board.")
@options.as_json()
def command(board: str | None, port: str | None, protocol: str | None, flash: bool, as_json: bool) -> None:
    """Walk from the cable to an invoke of a bundled model, and say of each step that it went well, that it
    failed (why, and what to do), or that it is not possible here.

    Nothing on an attached board is changed without --flash; an ESP32 is reset by the look into its boot
    loader. An emulated board is given what it lacks in any case. The exit code is 1 if a step failed.
    """
    from harness.runner.doctor import StepResult, examine

    found: list[StepResult] = []
    console = terminal.console()
    for finding in examine(board, port, protocol, flash=flash):
        found.append(finding)
        if not as_json:
            console.print(f"{finding.step:<13}", end="")
            console.print(f"{finding.outcome:<14}", style=_STYLES[finding.outcome], end="")
            console.print(printable(finding.text), soft_wrap=True)
    if as_json:
        terminal.print_json([asdict(finding) for finding in found])
    if any(finding.outcome == "failed" for finding in found):
        sys.exit(1)
