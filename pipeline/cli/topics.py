"""Commands about the topics."""

import typer

from pipeline.cli.acls import AclPrefix, AclPrincipals, Acls, acl_options, check_excess, create_acls
from pipeline.cli.options import Brokers, Partitions, SettingsFile, Verbose, examples, settings_of
from pipeline.errors import LamppostError

app = typer.Typer(
    no_args_is_help=True,
    help="Create the topics, and show them with what departs from the design.",
    epilog=examples("lamppost topics create --brokers kafka:9092", "lamppost topics show --brokers kafka:9092"),
)


@app.command(
    epilog=examples(
        "lamppost topics create --brokers kafka:9092 --partitions 8",
        "lamppost topics create --settings admin.toml --acls --acl-principal camera=User:cam-1",
    )
)
def create(
    brokers: Brokers = None,
    partitions: Partitions = None,
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
    settings = settings_of(
        settings_file,
        brokers=("kafka.brokers", brokers),
        partitions=("run.partitions", partitions),
        workers=("run.workers", 1),  # none is started here, and one fits every number of partitions
        **acl_options(acls, acl_principals, acl_prefix),
    )
    from pipeline.runtime import topics as job

    if acls:
        create_acls(settings)
    for topic, made in job.create(settings):
        typer.echo(f"{topic} made" if made else f"{topic} was there")
    if differences := job.differences(settings):
        said = "; ".join(f"{line.topic} has {line.found}" for line in differences)
        raise LamppostError(
            f"{said}. Kafka's kafka-topics.sh --alter adds partitions (nothing takes them away) and kafka-configs.sh "
            f"--alter changes a setting; or delete the topic, with what it holds, and create it again"
        )
    if acls:
        check_excess(settings)


@app.command(epilog=examples("lamppost topics show --brokers kafka:9092"))
def show(
    brokers: Brokers = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Show each topic's partitions and replicas, and every setting that is not the design's."""
    settings = settings_of(settings_file, brokers=("kafka.brokers", brokers))
    from pipeline.cli import tables
    from pipeline.runtime import topics as job

    tables.show(("topic", "state", "found"), job.show(settings))
