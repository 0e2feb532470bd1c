"""Faults survived: ``python -m loadtest.faults``.

On one running network (three brokers, a Ray of three nodes, two shards with two replicas, two workers) that is fed by
eight cameras, it inflicts one fault after another, at random moments: kills of processes, nodes and brokers, pauses, a
full disk, a stepped clock. After each, every pass that a run without a fault is sure of must have alerted exactly once,
none twice, and custody must balance. A line for each round is appended to a file; started again with the same file, it
goes on with what is missing. Rounds of another seed or another version of Lamppost in that file do not count.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.faults_disk import SmallDisk
from loadtest.faults_feed import Feed
from loadtest.faults_kinds import FAULTS, Stage
from loadtest.faults_network import PARTITIONS, Policy, network
from loadtest.faults_recording import PEOPLE, Recording, recording
from loadtest.faults_results import Round, Wanted, append, missed, of_run, read, report, schedule
from loadtest.faults_round import Play
from loadtest.faults_watch import Watch
from pipeline import __version__
from pipeline.errors import LamppostError, ResourceError
from pipeline.records import WatchlistEntry
from pipeline.runtime.enrolment import Enrolment
from pipeline.runtime.words import counted

LOOK_SECONDS = 0.05
FAILED = 1
INTERRUPTED = 130


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20, help="rounds of each fault (20)")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="this one only; may be given again")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the street, of the order and of the moments; only its rounds count (1)"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("out/faults.jsonl"), help="a line per round; only this version's count"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no round after so long (no limit)")
    parser.add_argument("--report", action="store_true", help="print the table of all in the file, and run nothing")
    chosen = parser.parse_args(arguments)
    if chosen.times < 1:
        parser.error(f"--times is {chosen.times}; give 1 or more")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing; returns 0 if each fault has its rounds and none failed, 1 if not, else the error's code.

    Rounds of another seed or version do not count, and are in the table of ``--report`` alone.
    """
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    faults = chosen.fault or list(FAULTS)
    try:
        if not chosen.report:
            _Session(chosen, faults).run()
        done = read(chosen.results)
    except LamppostError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    ours = of_run(done, chosen.seed, __version__)
    _show(faults, done if chosen.report else ours)
    if others := len(done) - len(ours):
        what = f"of another seed than {chosen.seed} or version than {__version__}"
        _say(f"not counted, {what}: {counted(others, 'round')}")
    failed = [each for each in ours if each.fault in faults and each.problems]
    return FAILED if failed or missed(faults, chosen.times, ours) else 0


class _Session:
    """The rounds that one start of the command runs."""

    def __init__(self, chosen: argparse.Namespace, faults: Sequence[str]) -> None:
        self._file: Path = chosen.results
        self._seed: int = chosen.seed
        self._until = time.monotonic() + chosen.seconds
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.open("ab").close()
        except OSError as error:
            raise ResourceError(f"{self._file} cannot be written ({error.strerror}); name another --results") from error
        done = of_run(read(self._file), self._seed, __version__)
        self._missing = schedule(faults, chosen.times, self._seed, done)
        self._disk: SmallDisk | None = None

    def run(self) -> None:
        """All that are missing, those of one kind of network after those of the other."""
        if not self._missing:
            return
        with ExitStack() as stack:
            self._mount(stack)
            entries = _enrolled(self._seed)
            shown = recording(self._seed, entries)
            for policy in ("wait", "degrade"):
                rounds = [each for each in self._missing if FAULTS[each.fault].policy == policy]
                while rounds and time.monotonic() < self._until:
                    rounds = self._on_one_network(policy, rounds, entries, shown)

    def _mount(self, stack: ExitStack) -> None:
        """Mount the disk that is filled, if a round needs it; first of all, as it takes a process without threads."""
        needing = [each for each in self._missing if FAULTS[each.fault].needs_disk]
        if not needing:
            return
        try:
            self._disk = SmallDisk()
        except ResourceError as error:
            _say(f"{needing[0].fault} is not possible here: {error}")
            append(self._file, Play(needing[0], self._seed).impossible(str(error)))
            self._missing = [each for each in self._missing if each not in needing]
            return
        stack.callback(self._disk.close)

    def _on_one_network(
        self, policy: Policy, rounds: list[Wanted], entries: list[WatchlistEntry], shown: Recording
    ) -> list[Wanted]:
        """Rounds until all are done, the time is over, or one failed; returns those that are left."""
        with self._stage(policy, entries, shown) as (stage, watch):
            for number, wanted in enumerate(rounds):
                if time.monotonic() >= self._until:
                    return rounds[number:]
                play = Play(wanted, self._seed)
                try:
                    done = play.run(stage, watch, [entry.entry for entry in entries], shown.threshold)
                except LamppostError as error:
                    self._note(play.lost(error))
                    return rounds[number + 1 :]
                self._note(done)
                if done.problems:
                    return rounds[number + 1 :]  # what is wrong with custody once stays so
        return []

    @contextmanager
    def _stage(self, policy: Policy, entries: list[WatchlistEntry], shown: Recording) -> Iterator[tuple[Stage, Watch]]:
        folders = None if self._disk is None else self._disk.folder
        with network(policy, entries, folders, _say) as up, Feed(up.connection, shown, PARTITIONS) as feed:
            watch = Watch(up.connection)
            try:
                yield Stage(up, feed, self._disk), watch
            finally:
                watch.close()

    def _note(self, done: Round) -> None:
        append(self._file, done)
        seen = ", ".join(f"{name} {'never' if at is None else f'{at:.1f} s'}" for name, at in done.seen.items())
        said = "; ".join(done.problems) or f"{done.expected} passes, {done.alerts} alerts"
        _say(f"{done.fault} {done.number}, {done.victim}: {seen or 'no sign'}; {done.failed} frames failed; {said}")


def _enrolled(seed: int) -> list[WatchlistEntry]:
    enrolment = Enrolment(seed, PEOPLE)
    try:
        while not enrolment.complete:
            time.sleep(LOOK_SECONDS)
    finally:
        enrolment.stop()
    return enrolment.entries


def _show(faults: Sequence[str], done: Sequence[Round]) -> None:
    rows = report({name: FAULTS[name].limits for name in faults}, done)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for each in done:
        for problem in each.problems if each.fault in faults else ():
            _say(f"{each.fault} {each.number}: {problem}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
