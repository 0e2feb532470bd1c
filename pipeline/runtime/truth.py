"""Holding alerts against what was planted: the ground truth is recomputed from seed, camera and sequence."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

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


def judge(street: Street, frames_sent: int, alerts: Iterable[Alert]) -> Verdict:
    """Compare the alerts of one camera run with its street, frames 0 to `frames_sent` − 1."""
    passes = street.passes(0, frames_sent - 1) if frames_sent else []
    listed = [planted for planted in passes if planted.listed]
    by_entry: dict[str, list[PlantedPass]] = defaultdict(list)
    for planted in listed:
        by_entry[planted.entry].append(planted)
    alerts_of_pass: Counter[str] = Counter()
    false_alerts = 0
    for alert in alerts:
        explained = [p for p in by_entry[alert.entry] if p.first_sequence <= alert.sequence <= p.last_sequence]
        if explained:
            alerts_of_pass[explained[0].pass_id] += 1
        else:
            false_alerts += 1
    counted = [p for p in listed if p.within_working_distance and p.last_sequence < frames_sent - 1]
    return Verdict(
        planted_passes=len(counted),
        alerted_passes=sum(1 for planted in counted if alerts_of_pass[planted.pass_id]),
        doubled_passes=sum(1 for count in alerts_of_pass.values() if count > 1),
        false_alerts=false_alerts,
        non_mated_passes=len(passes) - len(listed),
        faces=sum(len(street.truth(sequence).faces) for sequence in range(frames_sent)),
    )


def judge_all(streets: Mapping[str, Street], frames_sent: Mapping[str, int], alerts: Iterable[Alert]) -> Verdict:
    """Compare all cameras of a run; alerts of cameras that are not in `streets` are counted as false."""
    by_camera: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_camera[alert.camera].append(alert)
    total = NOTHING
    for camera in sorted({*streets, *by_camera}):
        if camera in streets:
            total += judge(streets[camera], frames_sent.get(camera, 0), by_camera[camera])
        else:
            total += msgspec.structs.replace(NOTHING, false_alerts=len(by_camera[camera]))
    return total
