"""One pass is one alert: after an alert the same entry at the same camera stays quiet for a while.

The cool-down counts from the alerted frame, not from the last sighting, and its clock is the frames' own (capture time,
or append time for a clock-untrusted camera), so that a replay of the same frames decides the same whenever it happens.

The state is not stored anywhere: the alerts are its log. A worker rebuilds it from the alerts of all its partitions
when it is assigned partitions and after each aborted transaction, since an aborted alert never happened.
"""

from collections.abc import Iterable

SECOND_NS = 10**9


class Cooldown:
    """When each entry was last alerted at each camera; instants are nanoseconds since the Unix epoch.

    Frames may come out of order, and a camera's clock may be set back. The distance to the last alert is what counts,
    on either side of it: a frame captured a little before the alerted one belongs to the same pass, while a clock that
    jumped by more than the cool-down starts a new one. The other choice, staying quiet until the clock has caught up,
    could silence a camera for hours.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds` is the length of the cool-down; 0 lets every frame through. Raises ValueError if negative."""
        if not seconds >= 0:
            raise ValueError(f"cool-down of {seconds} s")
        self._length_ns = round(seconds * SECOND_NS)
        self._alerted: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        """Pairs of camera and entry that are remembered."""
        return sum(map(len, self._alerted.values()))

    def admits(self, camera: str, entry: str, at_ns: int) -> bool:
        """Whether a frame of `camera` at `at_ns` may alert for `entry`."""
        last_ns = self._alerted.get(camera, {}).get(entry)
        return last_ns is None or abs(at_ns - last_ns) >= self._length_ns

    def note(self, camera: str, entry: str, at_ns: int) -> None:
        """Start the cool-down anew: a frame of `camera` at `at_ns` alerted for `entry`."""
        self._alerted.setdefault(camera, {})[entry] = at_ns

    def rebuild(self, history: Iterable[tuple[str, str, int]]) -> None:
        """Replace the state by what committed alerts say: (camera, entry, instant), in the order of the log.

        The history must reach back over the cool-down and the longest life of a frame.
        """
        self._alerted.clear()
        for camera, entry, at_ns in history:
            self.note(camera, entry, at_ns)

    def forget(self, cameras: Iterable[str]) -> None:
        """Drop the state of `cameras`, whose partitions another worker reads now."""
        for camera in cameras:
            self._alerted.pop(camera, None)

    def prune(self, before_ns: int) -> None:
        """Drop alerts from before `before_ns`, to stay bounded.

        Changes no decision if `before_ns` lies at least one cool-down before the oldest frame that can still come.
        """
        for camera, entries in list(self._alerted.items()):
            kept = {entry: at_ns for entry, at_ns in entries.items() if at_ns >= before_ns}
            if kept:
                self._alerted[camera] = kept
            else:
                del self._alerted[camera]
