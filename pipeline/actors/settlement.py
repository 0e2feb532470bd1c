"""The last stage of a batch: search, decide, and commit alerts, dead letters, receipt and offsets at once."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pipeline.actors.batch import Seen, Trace
from pipeline.actors.report import Ledger
from pipeline.catalog.outcomes import Outcome
from pipeline.core.alerting import Criteria, Sighting, decide
from pipeline.core.clocks import MOST_TOLERANCE_SECONDS
from pipeline.core.cooldown import Cooldown
from pipeline.core.custody import check_batch, receipt_ranges
from pipeline.errors import BrokerError, Fenced, ShardUnavailable, TransactionAborted
from pipeline.ports import AlertHistory, Clock, Gallery, Outbox
from pipeline.records import Alert, OutgoingRecord, Probes, Receipt, SearchResult
from pipeline.wire import alerts as alert_wire
from pipeline.wire import dead_letters as dead_letter_wire
from pipeline.wire import receipts as receipt_wire

FRAME_LIFETIME_SECONDS = 180.0
"""The longest a frame can live in Kafka's files; a successor may have to replay one as old as this."""
HUNG_SECONDS = 7.0
"""A transaction that takes as long is given up, and its worker replaced: Kafka ends it after 10 s, and the client may
never return from it. One that waits for a broker that stands still takes 3 to 6 s."""
PRUNE_SECONDS = 60.0
"""How often alerts that no frame can meet any more are dropped from the cool-down."""


class Settlement:
    """Owns what changes only with a committed transaction: the cool-down and the next offset of each partition.

    `assigned`, `revoked` and `settle` exclude each other, so a revocation waits for the transaction in flight, and a
    batch that became stale meanwhile is dropped unseen.
    """

    def __init__(
        self,
        *,
        gallery: Gallery,
        outbox: Outbox,
        history: AlertHistory,
        criteria: Criteria,
        cooldown_seconds: float,
        clock: Clock,
        ledger: Ledger,
        trace: Trace,
    ) -> None:
        self._gallery = gallery
        self._outbox = outbox
        self._history = history
        self._criteria = criteria
        self._cooldown_seconds = cooldown_seconds
        self._cooldown = Cooldown(cooldown_seconds)
        self._clock = clock
        self._ledger = ledger
        self._trace = trace
        self._lock = threading.RLock()
        self._next: dict[int, int] = {}
        self._committing_since: float | None = None
        self._pruned = clock.monotonic()

    @property
    def remembered(self) -> int:
        """Pairs of camera and entry that the cool-down knows of."""
        return self._cooldown.size

    @property
    def hang(self) -> BrokerError | None:
        """What is wrong if a transaction takes too long, if it does; it may be asked for in any thread."""
        since = self._committing_since
        if since is None or time.monotonic() - since < HUNG_SECONDS:
            return None
        return BrokerError(
            f"Kafka's client has not returned from a transaction for {time.monotonic() - since:.0f} s; what was not "
            f"committed is read again by a successor"
        )

    def assigned(self, starts: Mapping[int, int]) -> None:
        """Take over partitions at the offsets they will be read from, and rebuild the cool-down from their alerts."""
        with self._lock:
            self._next.update(starts)
            since = self._horizon_ns()
            for camera, entry, at_ns in self._history.recent(sorted(starts), since):
                self._cooldown.note(camera, entry, at_ns)
            self._cooldown.prune(since)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Forget partitions, once the transaction in flight has ended."""
        with self._lock:
            for partition in partitions:
                self._next.pop(partition, None)

    def rewound(self, starts: Mapping[int, int]) -> None:
        """Begin again at the committed offsets, with a cool-down rebuilt from the log alone.

        Raises BrokerError if one lies before what this worker has committed, which would be worked on again.
        """
        with self._lock:
            for partition, start in starts.items():
                if start < (committed := self._next.get(partition, start)):
                    raise BrokerError(
                        f"Kafka says that partition {partition} of frames is committed up to offset {start}, and this "
                        f"worker has committed offset {committed}; a coordinator that is none any more has answered"
                    )
            self._cooldown = Cooldown(self._cooldown_seconds)
            self.assigned(starts)

    def search(self, seen: Seen, keep_waiting: Callable[[], bool]) -> SearchResult | None:
        """Search every face of the batch; None if shards stayed away and `keep_waiting` ended it."""
        probes = Probes(seen.templates, seen.capture_ns)
        while True:
            try:
                return self._gallery.search(probes, self._criteria.top_k)
            except ShardUnavailable:
                if not keep_waiting():
                    return None

    def settle(self, seen: Seen, found: SearchResult, current: Callable[[], int]) -> bool:
        """Decide and commit; returns False if the batch was stale and dropped.

        Raises TransactionAborted after a rollback, Fenced and BrokerError when the worker must end, CustodyError when
        the batch's outcomes do not cover the offsets it claims.
        """
        with self._lock:
            if seen.extent.assignment != current():
                return False
            alerts = self._decide(seen, found)
            offsets = seen.extent.ends
            spans = {partition: (self._next[partition], end) for partition, end in offsets.items()}
            receipt = self._receipt(seen, found, len(alerts))
            check_batch(spans, receipt.ranges)
            self._committing_since = began = time.monotonic()
            try:
                self._outbox.commit(self._outgoing(seen, alerts, receipt), offsets, seen.extent.membership)
            except TransactionAborted:
                self._ledger.aborted()
                raise
            except Fenced as error:
                run, slot = self._criteria.run, self._criteria.slot
                raise Fenced(
                    f"worker slot {slot} of run {run} was fenced, since another run uses the name {run} on this Kafka; "
                    f"stop that one, or choose another --run-name ({error})"
                ) from error
            finally:
                self._committing_since = None
            self._trace.add(seen.number, "commit", began, time.monotonic())
            self._next.update(offsets)
            for alert in alerts:
                self._cooldown.note(alert.camera, alert.entry, alert.cooldown_ns)
            self._prune(seen)
            self._ledger.settled(seen, receipt, alerts, self._clock.now_ns())
            return True

    def _horizon_ns(self) -> int:
        """No frame that can still come from Kafka meets an alert from before this instant."""
        reserve = FRAME_LIFETIME_SECONDS + MOST_TOLERANCE_SECONDS
        return self._clock.now_ns() - int((self._cooldown_seconds + reserve) * 1e9)

    def _prune(self, seen: Seen) -> None:
        """Drop what neither frames from Kafka can meet nor those behind this batch, which may have waited in memory."""
        now = self._clock.monotonic()
        if seen.frames and now - self._pruned >= PRUNE_SECONDS:
            oldest_ns = min(facts.matching_ns for facts in seen.frames)
            self._cooldown.prune(min(self._horizon_ns(), oldest_ns - int(self._cooldown_seconds * 1e9)))
            self._pruned = now

    def _decide(self, seen: Seen, found: SearchResult) -> list[Alert]:
        faces: list[list[Sighting]] = [[] for _ in seen.frames]
        for index, candidates in enumerate(found.candidates):
            if candidates and candidates[0].score >= self._criteria.threshold:
                faces[int(seen.face_frame[index])].append(Sighting(seen.box(index), candidates))
        fresh = self._cooldown.draft()
        alerts: list[Alert] = []
        for facts, sightings in zip(seen.frames, faces, strict=True):
            if sightings:
                alerts.extend(
                    decide(
                        facts,
                        sightings,
                        self._criteria,
                        fresh,
                        self._clock.now_ns(),
                        fraction_searched=found.fraction_searched,
                    )
                )
        return alerts

    def _receipt(self, seen: Seen, found: SearchResult, alerts: int) -> Receipt:
        outcomes = [(facts.partition, facts.offset, Outcome.PROCESSED) for facts in seen.frames]
        outcomes += [(ending.partition, ending.offset, ending.outcome) for ending in seen.endings]
        shed = Counter(ending.camera for ending in seen.endings if ending.outcome is Outcome.SHED and ending.camera)
        return Receipt(
            run=self._criteria.run,
            slot=self._criteria.slot,
            batch=seen.number,
            decided_ns=self._clock.now_ns(),
            ranges=receipt_ranges(outcomes, seen.extent.expired),
            alerts=alerts,
            watchlist_version_lowest=found.version_lowest,
            watchlist_version_greatest=found.version_greatest,
            fraction_searched=found.fraction_searched,
            shed_by_camera=shed,
        )

    def _outgoing(self, seen: Seen, alerts: Sequence[Alert], receipt: Receipt) -> list[OutgoingRecord]:
        records = [alert_wire.encode(alert) for alert in alerts]
        records += [dead_letter_wire.encode(letter) for letter in seen.dead_letters]
        records.append(receipt_wire.encode(receipt))
        return records
