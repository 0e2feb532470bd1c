"""What the user sees when a command fails: one line, and an exit code per kind of failure."""

import errno
import sys
import traceback
from typing import Final

import typer

from pipeline.errors import InputError, LamppostError, ResourceError

INTERRUPTED: Final = 130
INTERNAL: Final = 70
"""EX_SOFTWARE of sysexits.h: a fault of Lamppost, not of its use."""

_LACKS: Final = {
    errno.ENOSPC: "no space is left on the disk; free some, or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some, or choose another folder",
    errno.EMFILE: "too many files are open; raise the limit with ulimit -n",
    errno.ENFILE: "too many files are open on this machine; end other programs",
    errno.ENOMEM: "memory has run out; end other programs, or use fewer workers",
    errno.EAGAIN: "the limit of processes or threads is reached; raise it with ulimit -u",
    errno.EADDRINUSE: "the address is in use; choose another port",
    errno.EROFS: "the file system is read-only; choose another folder",
}


def report(error: BaseException, verbose: bool) -> int:
    """Tell the user on stderr what went wrong; returns the exit code. `verbose` adds the traceback."""
    if isinstance(error, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    known = translated(error)
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    if known is None:
        advice = "" if verbose else "; --verbose shows where"
        typer.echo(f"lamppost: this is a fault of Lamppost: {_one_line(repr(error))}{advice}", err=True)
        return INTERNAL
    typer.echo(f"lamppost: {_one_line(str(known))}", err=True)
    return known.exit_code


def translated(error: BaseException) -> LamppostError | None:
    """The error as one of Lamppost's own; None if it is a fault of the program."""
    if isinstance(error, LamppostError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError("memory has run out; end other programs, or use fewer workers")
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename is not None else ""
    if error.errno in _LACKS:
        return ResourceError(where + _LACKS[error.errno])
    return InputError(f"{where}{error.strerror or error}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
