"""Tables on the terminal; tab-separated lines when the output goes elsewhere, so that other programs can read them."""

import sys
from collections.abc import Iterable, Sequence

import typer

_STYLES = {
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "missing": "yellow",
    "drift": "bold red",
    "unknown": "yellow",
}


def show(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print `rows` under `heading`."""
    if not sys.stdout.isatty():
        for row in (heading, *rows):
            typer.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in heading:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)
