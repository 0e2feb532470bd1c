"""One pass is one alert: after an alert the same entry at the same camera stays quiet for a while.

The cool-down counts from the alerted frame, not from the last sighting, and its clock is the frames' own (capture time,
or append time for a clock-untrusted camera), so that a replay of the same frames decides the same whenever it happens.

The state is not stored anywhere: the alerts are its log. A worker rebuilds it from the alerts of all its partitions
when it is assigned partitions and after each aborted transaction, since an aborted alert never happened.
"""

from collections import ChainMap
from collections.abc import Iterable, MutableMapping

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
        self._alerted: MutableMapping[tuple[str, str], int] = {}

    @property
    def size(self) -> int:
        """Pairs of camera and entry that are remembered."""
        return len(self._alerted)

    def admits(self, camera: str, entry: str, at_ns: int) -> bool:
        """Whether a frame of `camera` at `at_ns` may alert for `entry`."""
        last_ns = self._alerted.get((camera, entry))
        return last_ns is None or abs(at_ns - last_ns) >= self._length_ns

    def note(self, camera: str, entry: str, at_ns: int) -> None:
        """Start the cool-down anew: a frame of `camera` at `at_ns` alerted for `entry`."""
        self._alerted[camera, entry] = at_ns

    def draft(self) -> "Cooldown":
        """A cool-down that starts from this one and leaves it unchanged.

        It is for deciding on a batch whose transaction may still be aborted; it is good until this one changes.
        """
        draft = Cooldown(0)
        draft._length_ns = self._length_ns
        draft._alerted = ChainMap({}, self._alerted)
        return draft

    def rebuild(self, history: Iterable[tuple[str, str, int]]) -> None:
        """Replace the state by what committed alerts say: (camera, entry, instant), in the order of the log.

        The history must reach back over the cool-down and the longest life of a frame.
        """
        self._alerted = {(camera, entry): at_ns for camera, entry, at_ns in history}

    def prune(self, before_ns: int) -> None:
        """Drop alerts from before `before_ns`, to stay bounded.

        Changes no decision if `before_ns` lies at least one cool-down before the oldest frame that can still come.
        """
        self._alerted = {pair: at_ns for pair, at_ns in self._alerted.items() if at_ns >= before_ns}
