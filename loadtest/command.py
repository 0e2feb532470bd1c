"""What the load tests that run the whole pipeline have in common as commands: how they end, and what they leave."""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from pipeline.errors import LamppostError


class Judged(Protocol):
    """A figure that may have a target."""

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""


Figure = TypeVar("Figure", bound=Judged)


def conclude(
    measure: Callable[[], Sequence[Figure]],
    line: Callable[[Figure], str],
    run: Mapping[str, object],
    json: Path | None,
) -> int:
    """Measure, print a line for each figure, and write them to `json` with what was `run`.

    Returns 0 if every target was reached, 1 if not, and the error's code if it failed. SIGTERM ends it with 143.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
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
