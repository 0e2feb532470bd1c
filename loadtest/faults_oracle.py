"""What has to have come of the frames of a round, whatever was inflicted meanwhile: pure."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from pipeline.catalog.outcomes import Outcome
from pipeline.records import Alert, Receipt

MARGIN: Final = 0.05
"""Cosine. A network's output depends on what else is in its batch, so that a pass this near to the threshold may alert
or not; one that is clearer must, and one that is further below must not."""
WHOLE: Final = 1.0


class Pass(NamedTuple):
    """One entry at one camera in one showing of the recording: one alert at most, as it is shorter than a cool-down."""

    camera: str
    """The camera's id, which no other showing has."""
    entry: str


class Shown(msgspec.Struct, frozen=True):
    """A frame that was sent, and what a run without a fault finds in it."""

    camera: str
    scores: Mapping[str, float]
    """The best score of every entry that comes near the threshold."""
    faces: int
    partition: int
    offset: int | None
    """None: Kafka never acknowledged it, so whether it is there is not known."""


class Outage(msgspec.Struct, frozen=True):
    """A time in which no replica of a shard can have answered, in ns since the Unix epoch."""

    entries: Collection[str]
    """Those that the shard holds."""
    began_ns: int
    ended_ns: int


class Fractions:
    """How much of the watchlist was searched for each offset, by the receipts."""

    def __init__(self, receipts: Iterable[Receipt]) -> None:
        spans: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
        for receipt in receipts:
            for piece in receipt.ranges:
                spans[piece.partition].append((piece.first, piece.end, receipt.fraction_searched))
        self._spans = {partition: sorted(each) for partition, each in spans.items()}

    def of(self, partition: int, offset: int) -> float | None:
        """The fraction searched for a frame; None if no receipt accounts for it."""
        spans = self._spans.get(partition, [])
        at = bisect_right(spans, (offset, float("inf"), 0.0)) - 1
        return spans[at][2] if at >= 0 and spans[at][1] > offset else None


class Verdict(msgspec.Struct, frozen=True):
    """What the oracle says of a round."""

    expected: int
    problems: Sequence[str]


def judge(
    shown: Sequence[Shown],
    alerts: Sequence[Alert],
    receipts: Sequence[Receipt],
    threshold: float,
    outage: Outage | None = None,
) -> Verdict:
    """Hold the alerts of a round against what its frames show, and its receipts against the outage of a shard.

    Without `outage` all of the watchlist has to have been searched for each frame. With it, a pass of an entry that the
    shard holds counts by those frames for which all was searched.
    """
    searched = Fractions(receipts)
    certain: dict[Pass, float] = defaultdict(float)
    possible: dict[Pass, float] = defaultdict(float)
    for frame in shown:
        whole = frame.offset is not None and searched.of(frame.partition, frame.offset) == WHOLE
        for entry, score in frame.scores.items():
            key = Pass(frame.camera, entry)
            possible[key] = max(possible[key], score)
            lost = outage is not None and entry in outage.entries and not whole
            if frame.offset is not None and not lost:
                certain[key] = max(certain[key], score)
    expected = {key: score for key, score in certain.items() if score >= threshold + MARGIN}
    counts = Counter(Pass(alert.camera, alert.entry) for alert in alerts)
    problems = [
        f"{_told(key)} (score {score:.3f}) did not alert" for key, score in expected.items() if key not in counts
    ]
    problems += [
        f"{_told(key)} alerted {count} times: {_each(key, alerts)}" for key, count in counts.items() if count > 1
    ]
    problems += [
        f"{_told(key)} alerted, though its frames score {possible.get(key, 0.0):.3f} at most"
        for key in counts
        if possible.get(key, 0.0) < threshold - MARGIN
    ]
    stated = sum(receipt.alerts for receipt in receipts)
    if stated != len(alerts):
        problems.append(f"the receipts speak of {stated} alerts, and {len(alerts)} were read")
    problems += _outcomes(receipts)
    problems += _unstamped(receipts) if outage is None else _stamps(shown, alerts, receipts, outage)
    return Verdict(len(expected), problems)


def _told(key: Pass) -> str:
    return f"{key.entry} at {key.camera}"


def _each(key: Pass, alerts: Iterable[Alert]) -> str:
    """Which frames raised the alerts of a pass, when by the cool-down's clock, and which worker decided so when."""
    of_pass = [alert for alert in alerts if (alert.camera, alert.entry) == key]
    first_ns = min(alert.cooldown_ns for alert in of_pass)
    return ", ".join(
        f"frame {alert.sequence} (offset {alert.frame_offset}) after {(alert.cooldown_ns - first_ns) / 1e9:.2f} s, "
        f"decided by slot {alert.slot} after {(alert.decided_ns - first_ns) / 1e9:.2f} s"
        for alert in of_pass
    )


def _outcomes(receipts: Iterable[Receipt]) -> list[str]:
    """Under ``block`` and within retention every frame is processed; all of these are frames."""
    counts: Counter[Outcome] = Counter()
    for receipt in receipts:
        for piece in receipt.ranges:
            counts[piece.outcome] += piece.end - piece.first
    return [f"{count} frames {outcome}" for outcome, count in counts.items() if outcome is not Outcome.PROCESSED]


def _unstamped(receipts: Iterable[Receipt]) -> list[str]:
    partial = sum(receipt.fraction_searched < WHOLE for receipt in receipts)
    return [f"{partial} receipts of searches without a shard, though the run was to wait for it"] if partial else []


def _stamps(shown: Iterable[Shown], alerts: Iterable[Alert], receipts: Iterable[Receipt], outage: Outage) -> list[str]:
    """What was decided in the outage on faces has to say that not all was searched."""
    faces = {(frame.partition, frame.offset): frame.faces for frame in shown}

    def within(decided_ns: int) -> bool:
        return outage.began_ns <= decided_ns <= outage.ended_ns

    concerned = [
        receipt
        for receipt in receipts
        if within(receipt.decided_ns)
        and any(
            faces.get((piece.partition, offset), 0)
            for piece in receipt.ranges
            for offset in range(piece.first, piece.end)
        )
    ]
    unmarked = sum(receipt.fraction_searched == WHOLE for receipt in concerned)
    silent = sum(alert.fraction_searched == WHOLE for alert in alerts if within(alert.decided_ns))
    problems = []
    if not concerned:
        problems.append("no receipt of a search was decided in the outage, so nothing shows how they are stamped")
    if unmarked:
        problems.append(f"{unmarked} of {len(concerned)} receipts of the outage do not say that a shard was missing")
    if silent:
        problems.append(f"{silent} alerts of the outage do not say that a shard was missing")
    return problems
