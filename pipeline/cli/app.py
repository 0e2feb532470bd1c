"""The commands together, and what happens when one fails."""

import sys
from typing import Annotated

import typer

import pipeline
from pipeline.cli import evaluation, extensions, failures, inspection, jobs, topics, watchlist
from pipeline.cli.options import examples


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lamppost {pipeline.__version__}")
        raise typer.Exit


def _lamppost(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A testbed for live-facial-recognition camera networks, on people who do not exist."""


def build() -> typer.Typer:
    """The whole command, commands of other packages included."""
    app = typer.Typer(
        name="lamppost",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=examples("lamppost demo", "lamppost demo --cameras 12 --seed 7", "lamppost doctor")
        + "\n\nOptions, environment (LAMPPOST_SECTION__FIELD) and one TOML file set the same values: "
        "see lamppost settings. Exit codes are listed in docs/errors.md.",
    )
    app.callback()(_lamppost)
    jobs.add_to(app)
    evaluation.add_to(app)
    app.add_typer(watchlist.app, name="watchlist")
    app.add_typer(topics.app, name="topics")
    inspection.add_to(app)
    extensions.add_extensions(app)
    return app


def main() -> None:
    """Run the command line of this process and end it with the exit code of what happened."""
    verbose = "--verbose" in sys.argv[1:]
    try:
        build()()
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the outermost frame: report() says what it was
        sys.exit(failures.report(error, verbose))
