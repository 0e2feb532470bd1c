"""Commands about the watchlist."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Brokers, ListId, Seed, SettingsFile, Verbose, examples, settings_of
from pipeline.errors import SettingsError

app = typer.Typer(
    no_args_is_help=True,
    help="Load, change and show the people sought.",
    epilog=examples(
        "lamppost watchlist load --synthetic --brokers kafka:9092", "lamppost watchlist show --brokers kafka:9092"
    ),
)

Entry = Annotated[str, typer.Argument(metavar="ENTRY", help="Entry id.")]


@app.command(
    epilog=examples(
        "lamppost watchlist load people.npz --brokers kafka:9092",
        "lamppost watchlist load people.jsonl --list missing --brokers kafka:9092",
        "lamppost watchlist load --synthetic --seed 1 --size 200 --brokers kafka:9092",
    )
)
def load(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Entries as .npz, .jsonl or .csv.", show_default=False)
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Instead of a file: the people whom synthetic streets show as listed.")
    ] = False,
    seed: Seed = None,
    size: Annotated[int | None, typer.Option("--size", metavar="N", help="How many of them.")] = None,
    list_id: ListId = None,
    brokers: Brokers = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Add or replace the entries of a file; nothing is published unless every row is valid.

    .npz holds ids and templates; .jsonl an object per line; .csv rows of an entry id and its numbers.
    docs/watchlist.md describes them. With --synthetic, the people are those of the streets that lamppost cameras shows
    with the same seed.
    """
    if (file is None) is not synthetic:
        raise SettingsError("name a FILE or give --synthetic, one of the two")
    if not synthetic and (seed is not None or size is not None):
        raise SettingsError("--seed and --size say which people --synthetic makes; a FILE has its own")
    settings = settings_of(
        settings_file,
        brokers=("kafka.brokers", brokers),
        list=("watchlist.list_id", list_id),
        seed=("cameras.seed", seed),
        size=("demo.watchlist_size", size),
    )
    from pipeline.cli.progress import loading_progress
    from pipeline.runtime import watchlist as job
    from pipeline.runtime.words import counted

    if file is None:
        with loading_progress("enrolling") as progress:
            loaded = job.load_synthetic(settings, progress)
    else:
        with loading_progress(file.name) as progress:
            loaded = job.load(settings, file, progress)
    _warn(loaded.warning)
    typer.echo(f"{counted(loaded.entries, 'entry', 'entries')} loaded")


@app.command(
    epilog=examples(
        "lamppost watchlist add p-17 face.npy --brokers kafka:9092",
        "lamppost watchlist add p-17 face.npy --reference case/9 --expires 2026-12-31T18:00:00+00:00",
    )
)
def add(
    entry: Entry,
    template: Annotated[Path, typer.Argument(metavar="FILE", help="Template as a .npy file, float32[d].")],
    reference: Annotated[str, typer.Option(help="Your own reference; it is repeated in alerts.")] = "",
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601 time with a time zone.")] = None,
    list_id: ListId = None,
    brokers: Brokers = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Add one entry, or replace it."""
    settings = settings_of(settings_file, brokers=("kafka.brokers", brokers), list=("watchlist.list_id", list_id))
    from pipeline.runtime import watchlist as job

    _warn(job.add(settings, entry, template, reference, expires).warning)
    typer.echo(f"{entry} added")


@app.command(epilog=examples("lamppost watchlist remove p-17 --brokers kafka:9092"))
def remove(
    entry: Entry,
    brokers: Brokers = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Take one entry off the watchlist; shards forget it within a second, Kafka's files within a minute.

    Stays for five seconds after it has said so, for a last record that lets Kafka delete the template with no run up.
    """
    settings = settings_of(settings_file, brokers=("kafka.brokers", brokers))
    from pipeline.runtime import watchlist as job

    job.remove(settings, entry)
    typer.echo(f"{entry} removed")
    job.close_segment(settings)


@app.command(epilog=examples("lamppost watchlist show --brokers kafka:9092"))
def show(
    brokers: Brokers = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Show entry, list, reference and expiry of everyone sought; never a template."""
    settings = settings_of(settings_file, brokers=("kafka.brokers", brokers))
    from pipeline.cli import tables
    from pipeline.runtime import watchlist as job

    rows, refused = job.listing(settings)
    tables.show(("entry", "list", "reference", "expires"), rows)
    for sentence in refused:
        typer.echo(f"no entry: {sentence}", err=True)


def _warn(sentence: str) -> None:
    if sentence:
        typer.echo(f"warning: {sentence}", err=True)
