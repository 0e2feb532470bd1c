"""Holding alerts against what was planted: the ground truth is recomputed from seed, camera and sequence."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pipeline.records import Alert
from pipeline.synthetic.street import PlantedPass, Street


class Verdict(msgspec.Struct, frozen=True):
    """How the alerts of a run compare with the passes that were planted in the frames that were sent."""

    planted_passes: int
    """Passes of listed people within the working distance that were over before the last frame."""
    alerted_passes: int
    """Of those, the ones with an alert for the right entry."""
    doubled_passes: int
    """Passes with more than one alert."""
    false_alerts: int
    """Alerts that no pass of that entry explains."""
    non_mated_passes: int
    """Passes of people who are not listed."""
    faces: int
    """Faces in the frames sent, by ground truth."""

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            *(a + b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True))
        )


NOTHING = Verdict(0, 0, 0, 0, 0, 0)


class Joined(NamedTuple):
    """One camera's passes in the frames that were sent, and its alerts by what explains them."""

    street: Street
    frames_sent: int
    passes: list[PlantedPass]
    of_pass: dict[str, list[Alert]]
    """By pass id the alerts for the person's own entry while the pass lasted."""
    unexplained: list[Alert]

    def counts(self, planted: PlantedPass) -> bool:
        """Whether it should have alerted: listed, within working distance, and over before the last frame."""
        return planted.listed and planted.within_working_distance and planted.last_sequence < self.frames_sent - 1


def join(street: Street, frames_sent: int, alerts: Iterable[Alert]) -> Joined:
    """Return the alerts of one camera run beside the passes of its street, frames 0 to `frames_sent` − 1."""
    passes = street.passes(0, frames_sent - 1) if frames_sent else []
    by_entry: dict[str, list[PlantedPass]] = defaultdict(list)
    for planted in passes:
        if planted.listed:
            by_entry[planted.entry].append(planted)
    of_pass: dict[str, list[Alert]] = defaultdict(list)
    unexplained = []
    for alert in alerts:
        explained = [p for p in by_entry[alert.entry] if p.first_sequence <= alert.sequence <= p.last_sequence]
        if explained:
            of_pass[explained[0].pass_id].append(alert)
        else:
            unexplained.append(alert)
    return Joined(street, frames_sent, passes, dict(of_pass), unexplained)


def join_all(
    streets: Mapping[str, Street], frames_sent: Mapping[str, int], alerts: Iterable[Alert]
) -> tuple[list[Joined], list[Alert]]:
    """Return all cameras of a run, and the alerts of cameras that are not in `streets`."""
    by_camera: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_camera[alert.camera].append(alert)
    joined = [join(streets[name], frames_sent.get(name, 0), by_camera.pop(name, [])) for name in sorted(streets)]
    return joined, [alert for each in by_camera.values() for alert in each]


def judge(joined: Joined) -> Verdict:
    """Compare the alerts of one camera run with its street."""
    counted = [planted for planted in joined.passes if joined.counts(planted)]
    return Verdict(
        planted_passes=len(counted),
        alerted_passes=sum(1 for planted in counted if planted.pass_id in joined.of_pass),
        doubled_passes=sum(1 for alerts in joined.of_pass.values() if len(alerts) > 1),
        false_alerts=len(joined.unexplained),
        non_mated_passes=sum(1 for planted in joined.passes if not planted.listed),
        faces=sum(len(joined.street.truth(sequence).faces) for sequence in range(joined.frames_sent)),
    )


def judge_all(joined: Iterable[Joined], elsewhere: Sequence[Alert] = ()) -> Verdict:
    """Compare all cameras of a run; alerts `elsewhere`, of cameras without a street, are counted as false."""
    start = msgspec.structs.replace(NOTHING, false_alerts=len(elsewhere))
    return sum((judge(each) for each in joined), start)
