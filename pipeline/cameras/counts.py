"""What a camera's producer counts."""

from collections.abc import Mapping

import msgspec


class CameraCounts(msgspec.Struct, frozen=True):
    """Frames of one camera, or of several; once a fleet has ended, intended = sent + failed."""

    intended: int = 0
    """Capture instants that came due before the end or the stop."""
    sent: int = 0
    """Frames that the broker acknowledged."""
    failed: int = 0
    """Frames that were too large or refused, or not acknowledged in time."""
    too_large: int = 0
    """Of the failed, those larger than a frame may be; they were not sent."""

    def __add__(self, other: "CameraCounts") -> "CameraCounts":
        return CameraCounts(
            self.intended + other.intended,
            self.sent + other.sent,
            self.failed + other.failed,
            self.too_large + other.too_large,
        )

    @property
    def under_way(self) -> int:
        """Frames whose end is not known yet."""
        return self.intended - self.sent - self.failed


def summed(counts: Mapping[str, CameraCounts]) -> CameraCounts:
    """The sum over cameras."""
    return sum(counts.values(), CameraCounts())
