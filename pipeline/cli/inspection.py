"""Commands that look and change nothing."""

from typing import Annotated

import typer

from pipeline.cli.options import Brokers, Ray, SettingsFile, Verbose, examples


def settings(
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print a settings file instead; secrets are left out.")
    ] = False,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Show every setting with its value and where the value came from; a secret's value is never shown."""
    from pipeline.runtime.settings_reference import as_settings_file
    from pipeline.runtime.settings_sources import resolve

    resolved = resolve(file=settings_file)
    if as_toml:
        typer.echo(as_settings_file(resolved.settings), nl=False)
        return
    from pipeline.cli.tables import show

    show(("setting", "value", "origin"), resolved.rows())


def doctor(
    brokers: Brokers = None,
    ray: Ray = None,
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Look at this machine, and at Kafka and Ray if addresses are given: what will not work, and what to do.

    Ends with code 1 if something will not work; a warning is no failure.
    """
    from pipeline.cli.options import settings_of

    chosen = settings_of(settings_file, brokers=("kafka.brokers", brokers), ray=("run.ray", ray))
    from pipeline.cli.tables import show
    from pipeline.runtime.doctor import Status, examine

    findings = list(examine(chosen))
    show(("check", "state", "found", "what to do"), [(f.check, f.status, f.found, f.advice) for f in findings])
    raise typer.Exit(1 if any(finding.status is Status.FAIL for finding in findings) else 0)


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command(
        epilog=examples(
            "lamppost settings",
            "LAMPPOST_CAMERAS__FPS=4 lamppost settings --settings city.toml",
            "lamppost settings --toml > city.toml",
        )
    )(settings)
    app.command(epilog=examples("lamppost doctor", "lamppost doctor --brokers kafka:9092 --ray auto"))(doctor)
