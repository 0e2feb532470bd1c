"""One round: frames flow, a fault is inflicted, its recovery is seen, all is drained, and the oracle is asked."""

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
import psutil

import pipeline
from loadtest.faults_kinds import BACK, CONSUMING, FAULTS, Fault, Inflicted, Stage
from loadtest.faults_network import LOOK_SECONDS, SHARDS, await_whole
from loadtest.faults_oracle import Outage, judge
from loadtest.faults_results import Round, Wanted
from loadtest.faults_watch import Watch
from pipeline.core.sharding import shard_of
from pipeline.errors import ClusterError

MOMENT_SECONDS: Final = (2.0, 9.0)
"""When the fault comes, after the frames begin to flow."""
PATIENCE_SECONDS: Final = 45.0
"""Beyond the limit of a sign: late is told from never."""
TAIL_SECONDS: Final = 2.0
"""Of frames after everything is whole again."""
WHOLE_SECONDS: Final = 90.0
DRAIN_SECONDS: Final = 60.0
SEARCH_SECONDS: Final = 1.0
"""A search that had its answers before a shard was killed has been decided on after so long."""


class Recovery:
    """Looks for the signs of recovery after a fault until all are seen or the patience is over."""

    def __init__(self, stage: Stage, watch: Watch, fault: Fault, inflicted: Inflicted, began: float) -> None:
        self._stage, self._watch = stage, watch
        self._inflicted = inflicted
        self._began = began
        self._after_ns = time.time_ns()
        self._patience = max(fault.limits.values()) + PATIENCE_SECONDS
        self._signs: dict[str, Callable[[], bool]] = {CONSUMING: self._consuming, **inflicted.signs}
        self._lost = None if inflicted.lost_shard is None else stage.network.lost(inflicted.lost_shard)
        if self._lost is not None:
            # the last, since an answer may be waited for
            self._signs[BACK] = self._lost.serving
        self._lifted = False
        self._limit = fault.limits[CONSUMING]
        self.seen: dict[str, float | None] = dict.fromkeys(self._signs)
        self.stalled: list[str] = []
        """What frames were wanting at the limit of their consumption, a sentence each."""

    def wait(self) -> None:
        """Look until it is over, and lift the fault in its time; at once if looking raises an error."""
        try:
            while not self._over():
                time.sleep(LOOK_SECONDS)
        finally:
            self._lift()

    def outage(self, entries: list[str]) -> Outage | None:
        """When no replica of the lost shard can have answered, if one was lost."""
        if self._lost is None:
            return None
        self._lost.hear()  # of the replica that came up last
        held = [entry for entry in entries if shard_of(entry, SHARDS) == self._inflicted.lost_shard]
        return Outage(held, self._after_ns + int(SEARCH_SECONDS * 1e9), self._lost.away_ns)

    def _over(self) -> bool:
        """Look once; whether every sign was seen or the patience is over, and the fault lifted."""
        self._look()
        now = time.monotonic() - self._began
        over = None not in self.seen.values() or now > self._patience
        after = self._inflicted.lifted_after
        due = over if after is None else now >= after
        if due:
            self._lift()
        return over and self._lifted

    def _lift(self) -> None:
        if not self._lifted:
            self._lifted = True
            self._inflicted.lift()

    def _look(self) -> None:
        self._stage.feed.check()
        self._watch.look()
        for name, sign in self._signs.items():
            if self.seen[name] is None and sign():
                self.seen[name] = time.monotonic() - self._began
        if self.seen[CONSUMING] is None and not self.stalled and time.monotonic() - self._began > self._limit:
            self.stalled = self._wanting()

    def _consuming(self) -> bool:
        return not self._wanting()

    def _wanting(self) -> list[str]:
        first = self._stage.feed.first_after(self._after_ns)
        wanted = range(self._stage.network.settings.run.partitions)
        return [f"no frame of partition {each} was acknowledged since" for each in wanted if each not in first] + [
            f"no frame of partition {each} was accounted for since"
            for each in first
            if not self._watch.covers({each: first[each]})
        ]


class Play:
    """A round on its way; what is known of it so far can be told at any time."""

    def __init__(self, wanted: Wanted, seed: int) -> None:
        self.fault = FAULTS[wanted.fault]
        self._rng = random.Random(f"{seed}/{wanted.fault}/{wanted.number}")
        self._moment = self._rng.uniform(*MOMENT_SECONDS)
        self._round = Round(
            fault=wanted.fault,
            number=wanted.number,
            seed=seed,
            version=pipeline.__version__,
            began=datetime.now(UTC).isoformat(timespec="milliseconds"),
            moment=round(self._moment, 3),
            victim="",
            seen={},
            whole=None,
            sent=0,
            failed=0,
            expected=0,
            alerts=0,
            problems=[],
        )

    def lost(self, why: BaseException) -> Round:
        """The round whose network was beyond repair, for which it says why."""
        told = " ".join(str(why).split())
        return self._noting(problems=[*self._round.problems, f"the network was beyond repair: {told}"])

    def impossible(self, why: str) -> Round:
        """The round that this machine does not allow."""
        return self._noting(impossible=why)

    def run(self, stage: Stage, watch: Watch, entries: list[str], threshold: float) -> Round:
        """Play it; raises LamppostError if the network does not come back from it."""
        before = stage.network.status()
        watch.begin()
        stage.feed.play()
        _idle(self._moment, stage, watch)
        began = time.monotonic()
        try:
            inflicted = self.fault.inflict(stage, self._rng)
        except (ProcessLookupError, psutil.NoSuchProcess) as error:
            raise ClusterError(f"a process of the run was gone before it was hit: {error}") from error
        self._noting(victim=inflicted.victim)
        recovery = Recovery(stage, watch, self.fault, inflicted, began)
        recovery.wait()
        seen = {name: None if at is None else round(at, 2) for name, at in recovery.seen.items()}
        self._noting(seen=seen, problems=[*late(seen, self.fault.limits), *recovery.stalled])
        await_whole(stage.network, WHOLE_SECONDS, inflicted.touched)
        self._noting(whole=round(time.monotonic() - began, 2))
        _idle(TAIL_SECONDS, stage, watch)
        stage.feed.pause()
        unaccounted = _drained(watch)
        shown, after = stage.feed.shown(), stage.network.status()
        outage = recovery.outage(entries) if self.fault.policy == "degrade" else None
        verdict = judge(shown, watch.alerts, watch.receipts, threshold, outage)
        return self._noting(
            sent=sum(frame.offset is not None for frame in shown),
            failed=sum(frame.offset is None for frame in shown),
            expected=verdict.expected,
            alerts=len(watch.alerts),
            # another supervisor counts anew
            replaced=after.replaced - (before.replaced if after.pid == before.pid else 0),
            last_replaced=after.last_replaced,
            problems=[*self._round.problems, *unaccounted, *verdict.problems],
        )

    def _noting(self, **news: object) -> Round:
        self._round = msgspec.structs.replace(self._round, **news)
        return self._round


def late(seen: Mapping[str, float | None], limits: Mapping[str, float]) -> list[str]:
    """The signs of recovery that were not seen within their limits, a sentence each."""
    return [
        f"{name}: {'never' if (at := seen.get(name)) is None else f'after {at:.1f} s'}, the limit is {limit:g} s"
        for name, limit in limits.items()
        if (at := seen.get(name)) is None or at > limit
    ]


def _idle(seconds: float, stage: Stage, watch: Watch) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stage.feed.check()
        watch.look()
        time.sleep(LOOK_SECONDS)


def _drained(watch: Watch) -> list[str]:
    """Wait until every frame has an outcome; what is wrong with custody then, or after all patience."""
    deadline = time.monotonic() + DRAIN_SECONDS
    watch.look()
    while watch.audit().gaps and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        watch.look()
    watch.finish()
    return watch.audit().problems()
