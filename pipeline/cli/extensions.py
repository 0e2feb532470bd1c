"""Commands of other packages, which they announce as Typer apps in the entry-point group ``lamppost.commands``.

Nothing of such a package is imported until its command is called, so that a broken one breaks only itself.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer

from pipeline.errors import LamppostError

GROUP: Final = "lamppost.commands"


def add_extensions(app: typer.Typer, announced: Iterable[EntryPoint] | None = None) -> None:
    """Add a command for each entry point of the group; one that has the name of another command is passed over."""
    taken = set(getattr(typer.main.get_command(app), "commands", {}))
    for point in sorted(entry_points(group=GROUP) if announced is None else announced, key=lambda point: point.name):
        if point.name in taken:
            continue
        taken.add(point.name)
        app.command(
            point.name,
            help=f"From the package {_package(point)}.",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
        )(_deferred(point))


def _deferred(point: EntryPoint) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        load(point)(context.args, prog_name=f"lamppost {point.name}")

    return call


def load(point: EntryPoint) -> Callable[..., Any]:
    """The command behind an entry point; raises LamppostError naming command and package if there is none."""
    source = f"command {point.name!r} of the package {_package(point)}"
    try:
        extension = point.load()
    except Exception as error:
        raise LamppostError(
            f"{source} cannot be loaded ({type(error).__name__}: {error}); install it anew, or remove it"
        ) from error
    if not isinstance(extension, typer.Typer):
        raise LamppostError(f"{source} is {type(extension).__name__}, not a Typer app; ask its authors")
    return typer.main.get_command(extension)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module.partition(".")[0]
