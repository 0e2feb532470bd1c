"""Commands about the topics."""

from typing import TYPE_CHECKING

import typer

from pipeline.cli.acls import AclPrefix, AclPrincipals, Acls, acl_options, create_acls, excess_told
from pipeline.cli.options import Brokers, Partitions, Replication, SettingsFile, Verbose, examples, settings_of
from pipeline.errors import LamppostError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.runtime.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Create the topics, show them, and check that they and their brokers are as designed.",
    epilog=examples("lamppost topics create --brokers kafka:9092", "lamppost topics check --brokers kafka:9092"),
)


@app.command(
    epilog=examples(
        "lamppost topics create --brokers kafka:9092",
        "lamppost topics create --brokers kafka:9092 --partitions 8 --replication 3",
        "lamppost topics create --settings admin.toml --acls --acl-principal camera=User:cam-1",
    )
)
def create(
    brokers: Brokers = None,
    partitions: Partitions = None,
    replication: Replication = None,
    acls: Acls = False,
    acl_principals: AclPrincipals = None,
    acl_prefix: AclPrefix = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Create the topics that are missing; those that exist are left as they are.

    Ends with code 1 if one of those is not as it would have been created, or with --acls if more is allowed than
    the roles need.
    """
    settings = _settings(
        settings_file, brokers, partitions, replication, **acl_options(acls, acl_principals, acl_prefix)
    )
    from pipeline.runtime import topics as job

    if acls:
        create_acls(settings)
    for topic, made in job.create(settings):
        typer.echo(f"{topic} made" if made else f"{topic} was there")
    wrong = []
    if differences := job.differences(settings):
        said = "; ".join(f"{line.topic} has {line.found}" for line in differences)
        wrong.append(
            f"{said}. Kafka's kafka-topics.sh --alter adds partitions (nothing takes them away), kafka-configs.sh "
            f"--alter changes a setting and kafka-reassign-partitions.sh the replicas; or delete the topic, with what "
            f"it holds, and create it again"
        )
    if acls and (excess := excess_told(settings)):
        wrong.append(excess)
    if wrong:
        raise LamppostError(". ".join(wrong))


@app.command(
    epilog=examples(
        "lamppost topics check --brokers kafka:9092",
        "lamppost topics check --brokers kafka:9092 --partitions 8 --replication 3",
    )
)
def check(
    brokers: Brokers = None,
    partitions: Partitions = None,
    replication: Replication = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Check topics and brokers: everything that is not as designed, and what that means for pictures and templates.

    Ends with code 1 if there is anything, a topic that is missing or a broker that does not tell its settings among it.
    Tab-separated where the output is no terminal.
    """
    settings = _settings(settings_file, brokers, partitions, replication)
    from pipeline.cli import tables
    from pipeline.runtime import topics as job

    found = job.check(settings)
    tables.show(("place", "state", "setting", "found", "wanted", "what it means"), found)
    raise typer.Exit(0 if all(each.state == job.OK for each in found) else 1)


@app.command(epilog=examples("lamppost topics show --brokers kafka:9092"))
def show(
    brokers: Brokers = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Show each topic's partitions and replicas, and every setting that is not the design's; never fails for it."""
    settings = settings_of(settings_file, brokers=("kafka.brokers", brokers))
    from pipeline.cli import tables
    from pipeline.runtime import topics as job

    tables.show(("topic", "state", "found"), job.show(settings))


def _settings(
    file: "Path | None",
    brokers: str | None,
    partitions: int | None,
    replication: int | None,
    **others: tuple[str, object],
) -> "Settings":
    return settings_of(
        file,
        brokers=("kafka.brokers", brokers),
        partitions=("run.partitions", partitions),
        replication=("kafka.replication", replication),
        # no worker is started here, and a fixed pool of one fits every number of partitions
        workers=("run.workers", 1),
        min=("scaling.min", "none"),
        max=("scaling.max", "none"),
        **others,
    )
