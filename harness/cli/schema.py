"""`harness schema`: the JSON Schema of a record."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the JSON Schema (draft 2020-12) of a record, for tools that read or write results/."""
    from harness.results.schema import PUBLISHED

    click.echo(PUBLISHED.read_text(encoding="utf-8"), nl=False)
