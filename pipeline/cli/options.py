"""Options that several commands share, and their way into the settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.runtime.settings import Settings

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="TOML settings file; LAMPPOST_SETTINGS names one too."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show tracebacks, and what Ray and Kafka log.")]
Brokers = Annotated[
    str | None, typer.Option("--brokers", metavar="HOST:PORT", help="A Kafka of your own; several with commas.")
]
Ray = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="A Ray cluster of your own, such as auto.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the synthetic street and of its watchlist.")]
CameraCount = Annotated[int | None, typer.Option("--cameras", metavar="N", help="Number of synthetic cameras.")]
Fps = Annotated[float | None, typer.Option("--fps", help="Frames per second of each camera.")]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="Number of vision workers.")]
Shards = Annotated[int | None, typer.Option("--shards", metavar="N", help="Number of watchlist shards.")]
Replicas = Annotated[
    int | None, typer.Option("--replicas", metavar="N", help="Replicas of each shard, on different nodes if there are.")
]
Partitions = Annotated[int | None, typer.Option("--partitions", metavar="N", help="Partitions of the frames topic.")]
Replication = Annotated[
    int | None,
    typer.Option("--replication", metavar="N", help="Replicas of each topic; three, or one per broker, if not given."),
]
ListId = Annotated[str | None, typer.Option("--list", metavar="ID", help="List that the entries belong to.")]


def settings_of(file: Path | None, **given: tuple[str, object]) -> "Settings":
    """Resolve the settings of a command.

    `given` maps an option, with underscores for hyphens and without the leading ones, to the dotted field that it
    sets and its value, None if it was not given. Raises SettingsError.
    """
    from pipeline.runtime.settings_sources import Option, resolve

    options = (Option(f"--{flag.replace('_', '-')}", field, value) for flag, (field, value) in given.items())
    return resolve(tuple(options), file).settings


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(("Examples:", *commands))
