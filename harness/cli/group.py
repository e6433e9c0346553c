"""Commands that hold other commands."""

from __future__ import annotations

import click

from harness.errors import nearest


class CommandGroup(click.Group):
    """A group that says which of its commands was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; a word that is none of them is a use error."""
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no command '{name}'{nearest(name, names)}")
        return super().resolve_command(ctx, args)
