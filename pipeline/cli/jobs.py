"""Commands that run the pipeline or parts of it."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import (
    Brokers,
    CameraCount,
    Fps,
    Ray,
    Replicas,
    Seed,
    SettingsFile,
    Shards,
    Verbose,
    Workers,
    examples,
    settings_of,
)
from pipeline.errors import SettingsError
from pipeline.vision.shipped import Backbone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.local.node import Node

Out = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where the summary and pictures go.")]


class Network(StrEnum):
    """What can be trained."""

    DETECTOR = "detector"
    EMBEDDER = "embedder"


def demo(
    seconds: Annotated[float | None, typer.Option(help="How long the cameras send.")] = None,
    cameras: CameraCount = None,
    fps: Fps = None,
    seed: Seed = None,
    watchlist_size: Annotated[int | None, typer.Option("--watchlist-size", metavar="N", help="People sought.")] = None,
    workers: Workers = None,
    shards: Shards = None,
    replicas: Replicas = None,
    out: Out = None,
    brokers: Brokers = None,
    kafka_nodes: Annotated[
        int | None, typer.Option("--kafka-nodes", metavar="1|3", help="Nodes of the Kafka that is started.")
    ] = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Show the whole system at work on this machine: cameras, Kafka, workers, shards, alerts, and a summary.

    Ends with code 8 if a frame is not accounted for.
    """
    settings = settings_of(
        settings_file,
        seconds=("demo.seconds", seconds),
        cameras=("cameras.count", cameras),
        fps=("cameras.fps", fps),
        seed=("cameras.seed", seed),
        watchlist_size=("demo.watchlist_size", watchlist_size),
        workers=("run.workers", workers),
        shards=("matching.shards", shards),
        replicas=("matching.replicas", replicas),
        out=("demo.out", out),
        brokers=("kafka.brokers", brokers),
        kafka_nodes=("kafka.nodes", kafka_nodes),
    )
    if brokers is not None and kafka_nodes is not None:
        raise SettingsError(
            "--kafka-nodes is for a Kafka that is started, and --brokers names one; leave one of them out"
        )
    from pipeline.runtime import demo as job

    raise typer.Exit(job.demo(settings, verbose))


def run(
    brokers: Brokers = None,
    ray: Ray = None,
    run_name: Annotated[
        str | None, typer.Option("--run-name", metavar="NAME", help="The same name succeeds or adopts a run.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group; runs of one group share the work.")] = None,
    workers: Workers = None,
    shards: Shards = None,
    replicas: Replicas = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Run workers and shards against a Kafka and a Ray of your own, until interrupted.

    The first SIGINT or SIGTERM finishes what is in hand and ends.
    """
    settings = settings_of(
        settings_file,
        brokers=("kafka.brokers", brokers),
        ray=("run.ray", ray),
        run_name=("run.name", run_name),
        group=("run.group", group),
        workers=("run.workers", workers),
        shards=("matching.shards", shards),
        replicas=("matching.replicas", replicas),
    )
    from pipeline.runtime import run as job

    raise typer.Exit(job.run(settings, verbose))


def cameras(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Video files or folders of images, instead of synthetic scenes."),
    ] = None,
    brokers: Brokers = None,
    count: CameraCount = None,
    fps: Fps = None,
    seed: Seed = None,
    seconds: Annotated[float | None, typer.Option(help="How long to send; until interrupted if not given.")] = None,
    loop: Annotated[bool | None, typer.Option("--loop", help="Begin a source again at its end.")] = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Send frames and nothing else: synthetic street scenes, video files, or folders of images."""
    settings = settings_of(
        settings_file,
        SOURCE=("cameras.sources", tuple(sources) if sources else None),
        brokers=("kafka.brokers", brokers),
        cameras=("cameras.count", count),
        fps=("cameras.fps", fps),
        seed=("cameras.seed", seed),
        seconds=("cameras.seconds", seconds),
        loop=("cameras.loop", loop),
    )
    from pipeline.runtime import cameras as job

    raise typer.Exit(job.cameras(settings, verbose))


def start_kafka(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1, of three nodes the first's; 0 takes free ones.")] = 9092,
    nodes: Annotated[
        int | None, typer.Option("--nodes", metavar="1|3", help="Nodes; of three one may be lost.")
    ] = None,
    secured: Annotated[
        Path | None,
        typer.Option(
            "--secured", metavar="FOLDER", help="With TLS, passwords and ACLs; settings files for the roles go there."
        ),
    ] = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Start Apache Kafka on this machine, in the foreground, and print its address; Ctrl-C ends and removes it.

    The first start downloads Kafka and checks it against the sums that Lamppost carries.
    """
    settings = settings_of(settings_file, nodes=("kafka.nodes", nodes))
    from pipeline.cli.progress import fetching_progress
    from pipeline.runtime import kafka as job

    with fetching_progress() as progress:

        def ready(address: str, nodes: "Mapping[int, Node]", files: list[Path]) -> None:
            typer.echo(f"Kafka answers at {address}; Ctrl-C ends it and removes what it holds")
            for node in nodes.values():
                typer.echo(f"node {node.id}: {node.address}, process {node.pid}, log {node.log}")
            for file in files:
                typer.echo(f"settings of {file.stem}: {file}")

        notice = partial(typer.echo, err=True)
        job.start(settings, port, secured=secured, progress=progress, notice=notice, ready=ready)


def train(
    network: Annotated[Network, typer.Argument(help="Which network.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where weights and checkpoints go.")] = Path(
        "weights"
    ),
    seed: Annotated[int, typer.Option(help="Seed of people, scenes and first weights.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps; those of the shipped weights if not given.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that render the training scenes.")] = 1,
    backbone: Annotated[
        Backbone, typer.Option(help="The embedder's network; resnet50 is that of published systems, for a GPU.")
    ] = "compact",
    distil: Annotated[
        bool,
        typer.Option("--distil", help="Have resnet50 repeat the shipped embedder's templates: a tenth of the work."),
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Train a network on people who do not exist, and write its weights.

    The same command after an interruption goes on where it was.
    """
    settings = settings_of(settings_file, device=("vision.device", device))
    from pipeline.cli.progress import stage_progress
    from pipeline.runtime import training as job

    chosen = job.Plan(network.value, out, seed, steps, processes, backbone, distil)
    with stage_progress() as progress:
        path = job.train(settings, chosen, progress)
    typer.echo(f"{path} written")


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(
        epilog=examples(
            "lamppost demo",
            "lamppost demo --seed 7 --cameras 5 --fps 4 --seconds 30",
            "lamppost demo --kafka-nodes 3",
            "lamppost demo --brokers kafka:9092 --out results",
        )
    )(demo)
    app.command(
        epilog=examples(
            "lamppost run --brokers kafka:9092 --ray auto --run-name north --group city",
            "lamppost run --brokers 127.0.0.1:9092 --workers 1",
        )
    )(run)
    app.command(
        epilog=examples(
            "lamppost cameras --brokers 127.0.0.1:9092 --cameras 12 --fps 2 --seconds 60",
            "lamppost cameras --brokers 127.0.0.1:9092 --loop street.mp4",
        )
    )(cameras)
    app.command(
        epilog=examples(
            "lamppost train detector --out weights",
            "lamppost train embedder --out weights --processes 2",
            "lamppost train embedder --backbone resnet50 --device cuda --out weights-resnet50",
            "lamppost train embedder --backbone resnet50 --distil --out weights-resnet50",
        )
    )(train)
    kafka = typer.Typer(
        no_args_is_help=True, help="A Kafka on this machine, to try things.", epilog=examples("lamppost kafka start")
    )
    kafka.callback()(_kafka)
    kafka.command(
        "start",
        epilog=examples(
            "lamppost kafka start",
            "lamppost kafka start --port 0",
            "lamppost kafka start --nodes 3",
            "lamppost kafka start --secured keys",
        ),
    )(start_kafka)
    app.add_typer(kafka, name="kafka")


def _kafka() -> None:
    """A Kafka on this machine, to try things."""
