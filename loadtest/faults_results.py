"""What rounds of faults are wanted, what became of those that ran, and the table of it; a JSON line for each."""

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from pipeline.errors import InputError


class Wanted(msgspec.Struct, frozen=True):
    """A round to run."""

    fault: str
    number: int
    """Of this fault's rounds, from 1."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """A round that ran; durations in seconds, counted from the moment at which the fault was inflicted."""

    fault: str
    number: int
    seed: int
    version: str
    """Lamppost's."""
    began: str
    """Wall-clock time (ISO 8601, UTC) at which frames began to flow."""
    moment: float
    """Seconds from then to the fault."""
    victim: str
    """What was hit."""
    seen: Mapping[str, float | None]
    """When each sign of recovery was seen; None: not within the patience."""
    whole: float | None
    """When all that the run consists of was there again; None: never."""
    sent: int
    """Frames that Kafka acknowledged."""
    failed: int
    """Frames that the cameras gave up."""
    expected: int
    """Passes that had to alert."""
    alerts: int
    replaced: int = 0
    """Processes that the supervisor replaced."""
    last_replaced: str = ""
    """Which was the latest, and why."""
    problems: Sequence[str]
    """What was not as it has to be, a sentence each."""
    impossible: str = ""
    """Why this fault cannot be inflicted on this machine; empty if it was."""

    @property
    def passed(self) -> bool:
        """Whether the fault was inflicted and survived."""
        return not self.problems and not self.impossible


def of_run(done: Iterable[Round], seed: int, version: str) -> list[Round]:
    """The rounds that this version played with this seed: others say nothing of a run that asks for these."""
    return [each for each in done if each.seed == seed and each.version == version]


def schedule(faults: Sequence[str], times: int, seed: int, done: Iterable[Round]) -> list[Wanted]:
    """The rounds that are missing, in an order that depends on the seed alone, whatever was `done` of those counted."""
    wanted = [Wanted(fault, number) for number in range(1, times + 1) for fault in faults]
    random.Random(seed).shuffle(wanted)
    there = {(each.fault, each.number) for each in done if not each.impossible}
    return [each for each in wanted if (each.fault, each.number) not in there]


def append(file: Path, result: Round) -> None:
    """Add a line and have it on the disk when this returns.

    A last line that an earlier run was ended in the middle of is cut off first.
    """
    with file.open("ab+") as out:
        out.seek(0)
        whole = out.read().rfind(b"\n") + 1
        out.truncate(whole)
        out.write(msgspec.json.encode(result) + b"\n")
        out.flush()
        os.fsync(out.fileno())


def read(file: Path) -> list[Round]:
    """The rounds of a file, none if it is not there; a torn last line is no round.

    Raises InputError if it cannot be read, and with the number of a whole line that is none.
    """
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); name another --results") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=Round))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{file}, line {number} is no round of this command ({error}); remove it") from error
    return found


def missed(faults: Sequence[str], times: int, done: Iterable[Round]) -> list[str]:
    """The faults of which fewer than `times` rounds passed, of those counted."""
    passed = [each.fault for each in done if each.passed and each.number <= times]
    return [fault for fault in faults if passed.count(fault) < times]


def report(limits: Mapping[str, Mapping[str, float]], done: Sequence[Round]) -> list[tuple[str, ...]]:
    """Rows of a table, its head first: a row for each sign of recovery of each fault; `limits` by fault and sign.

    A fault that could not be inflicted has a row that says so, and no number.
    """
    rows: list[tuple[str, ...]] = [("fault", "runs", "failed", "seen", "min", "median", "max", "limit")]
    for fault, signs in limits.items():
        ran = [each for each in done if each.fault == fault and not each.impossible]
        reasons = [each.impossible for each in done if each.fault == fault and each.impossible]
        if not ran:
            said = f"not possible here: {reasons[-1]}" if reasons else "not run"
            rows.append((fault, "0", "–", said, "–", "–", "–", "–"))
            continue
        counted = (str(len(ran)), str(sum(not each.passed for each in ran)))
        for sign, limit in signs.items():
            times = [each.seen.get(sign) for each in ran]
            rows.append((fault, *counted, sign, *_spread(times), f"{limit:g} s"))
        rows.append((fault, *counted, "whole again", *_spread([each.whole for each in ran]), ""))
    return rows


def _spread(seconds: Sequence[float | None]) -> tuple[str, str, str]:
    """Least, median and greatest; what was never seen is the greatest there is."""
    known = [each for each in seconds if each is not None]
    if not known:
        return ("never", "never", "never")
    greatest = f"{max(known):.1f} s" if len(known) == len(seconds) else "never"
    ranked = [float("inf") if each is None else each for each in seconds]
    middle = median(ranked)
    return (f"{min(known):.1f} s", "never" if middle == float("inf") else f"{middle:.1f} s", greatest)
