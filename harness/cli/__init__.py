"""The `harness` command. Each subcommand is a module here, imported only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from harness.cli import signals, terminal
from harness.cli.group import CommandGroup
from harness.errors import HarnessError
from harness.version import __version__

# name -> (one line for --help, module that defines `command`)
COMMANDS: dict[str, str] = {
    "bench": "Bench models on boards, attached or emulated.",
    "check": "Say whether a model will run on a board, and why not.",
    "calibrate": "Hold time estimates against figures, and fit them to measurements.",
    "cards": "Write records into the tables of model cards.",
    "compile": "Compile a model for a board's NPU with Vela.",
    "emulate": "Run a virtual board on a pseudo-terminal or socket.",
    "doctor": "Walk from the cable to an invoke, and say what is wrong.",
    "ports": "List serial ports and boot-loader drives, and the boards they belong to.",
    "flash": "Flash firmware and models onto a board.",
    "firmware": "List, verify and add firmware images.",
    "uf2": "Write a UF2 file to copy to a boot loader's drive by hand.",
    "compare": "Show how two sets of runs differ.",
    "gate": "Fail on a slowdown, RAM growth or changed outputs against a baseline.",
    "report": "Report on runs: tables, a page with pictures, exports.",
    "schema": "Print the JSON Schema of a record.",
    "inspect": "Show what a model is made of and what it costs.",
    "npu": "Disassemble a Vela-compiled model, or run it on an emulated Ethos-U55.",
    "boards": "List the board profiles, show one, or check one of your own.",
}


class LazyGroup(CommandGroup):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"harness.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option("-v", "--verbose", is_flag=True, help="Show a traceback with an error.")
@click.pass_context
def cli(ctx: click.Context, verbose: bool) -> None:
    """Bench .tflite models on edge boards, attached or emulated."""
    ctx.obj = {"verbose": verbose}


def main() -> None:
    """Run the command line and exit; errors for people are one line and a non-zero status."""
    verbose = any(a in ("-v", "--verbose") for a in sys.argv[1:])
    terminal.prepare()
    signals.listen()
    try:
        try:
            sys.exit(cli.main(prog_name="harness", standalone_mode=False))
        finally:
            terminal.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "harness"
        _fail(f"{error.format_message().rstrip('.')} (see `{command} --help`)", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _interrupted()
    except HarnessError as error:
        if verbose:
            raise
        _fail(str(error), signals.status() if signals.came() else error.exit_code)
    except OSError as error:
        # What the machine refuses wherever it happens: a full disk under a pipe or a temporary file.
        if verbose:
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{where}{error.strerror or error}", 1)
    except Exception:
        # numpy and others turn an interrupt of their import into an ImportError.
        if verbose or not signals.came():
            raise
        _interrupted()


def _interrupted() -> None:
    print("harness: interrupted", file=sys.stderr)
    sys.exit(signals.status())


def _fail(message: str, status: int) -> None:
    print(f"harness: error: {message}", file=sys.stderr)
    sys.exit(status)
