"""What the load tests have in common as commands: what they refuse, how they end, and what they leave."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import typer

from pipeline.errors import InputError, LamppostError


class Judged(Protocol):
    """A figure that may have a target."""

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""


Figure = TypeVar("Figure", bound=Judged)
Number = TypeVar("Number", int, float)
Shape = TypeVar("Shape", bound=msgspec.Struct)


def between(kind: type[Number], least: Number, most: Number) -> Callable[[str], Number]:
    """What argparse reads a number of these bounds with."""

    def read(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"is {text}; give {what} from {least:,} to {most:,}")
        return value

    return read


def require_writable(path: Path, option: str = "--json") -> None:
    """Raise InputError before minutes of measuring end in nothing."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise InputError(f"{option} {path} cannot be written ({error.strerror}); name a file that can") from error


def decoded(path: Path, shape: type[Shape]) -> Shape:
    """Return the record of a JSON file; raises InputError, naming the file, if it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise InputError(f"{path} is not what it should be: {error}") from error


def writable(json: Path | None) -> Path | None:
    """Refuse a ``--json`` that cannot be written, as a callback of typer's, with the code of a wrong file."""
    if json is not None:
        try:
            require_writable(json)
        except InputError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(error.exit_code) from error
    return json


def conclude(
    measure: Callable[[], Sequence[Figure]],
    line: Callable[[Figure], str],
    run: Mapping[str, object],
    json: Path | None,
) -> int:
    """Measure, print a line for each figure, and write them to `json` with what was `run`.

    Returns 0 if every target was reached, 1 if not, and the error's code if it failed, before anything is measured if
    `json` cannot be written. SIGTERM ends it with 143.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if json is not None:
            require_writable(json)
        found = measure()
    except LamppostError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    for each in found:
        print(line(each))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode({"run": run, "figures": found}), indent=2))
    return 0 if all(each.reached is not False for each in found) else 1
