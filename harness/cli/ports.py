"""`harness ports`: what is attached."""

from __future__ import annotations

from dataclasses import asdict

import click

from harness.cli import options, terminal

_STATES = {"running": "firmware", "boot_loader": "boot loader", "any": "", "": ""}


@click.command("ports", short_help="List serial ports and boot-loader drives, and the boards they belong to.")
@click.option(
    "--udev", is_flag=True, help="Print rules for udev that let people use the boards' ports (Linux)."
)
@options.baud("Listen at this speed to what is at the USB serial ports; at others, too, if it is illegible.")
@options.as_json()
def command(udev: bool, baud: int | None, as_json: bool) -> None:
    """List serial ports and boot-loader drives with the boards that their ids stand for.

    Programs that have a port open are shown as far as this user may see them.
    """
    if udev:
        from harness import boards
        from harness.boards.udev import rules

        print("\n".join(rules(boards.all_profiles())))
        return
    from harness.runner.attached import everything

    found = everything()
    heard: dict[str, str] = {}
    if baud is not None:
        from harness.runner.listening import says

        heard = says(found, baud)
    if as_json:
        more = [{"says": heard.get(item.where)} if heard else {} for item in found]
        terminal.print_json([asdict(item) | extra for item, extra in zip(found, more, strict=True)])
        return
    if not found:
        print("no serial ports and no boot-loader drives; plug a board in, or use --port emulated")
        return
    terminal.table(
        terminal.console(),
        ("port or drive", "board", "in", "USB id", "serial number", "open in", "description"),
        [
            (
                item.where,
                " or ".join(item.boards) or (f"perhaps {' or '.join(item.may_be)}" if item.may_be else "-"),
                _STATES[item.state],
                item.usb_id,
                item.serial_number,
                ", ".join(f"{holder.name} ({holder.pid})" for holder in item.held_by),
                item.description,
            )
            for item in found
        ],
    )
    for where, what in heard.items():
        print(terminal.printable(f"{where}: {what}"))
