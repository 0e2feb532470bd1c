"""The label that says where a frame was taken: the camera while there are few, its district when there are many."""

from typing import Final

DISTRICT_SEPARATOR: Final = "/"


def district(camera: str) -> str:
    """The part of a camera id before the first slash; the whole id if it has none."""
    return camera.partition(DISTRICT_SEPARATOR)[0]


class Places:
    """Chooses the value of the ``place`` label, so that no metric is labelled by more than `per_camera_limit` cameras.

    With `cameras`, the number there will be, the choice is made once and holds. Without it, cameras are counted as
    they appear, and the first one above the limit turns all of them to districts for good. Each process counts what
    it sees itself: give each worker its share of the run's limit (the limit ÷ workers).
    """

    def __init__(self, per_camera_limit: int, cameras: int | None = None) -> None:
        self._limit = per_camera_limit
        self._fixed = cameras is not None
        self._by_district = cameras is not None and cameras > per_camera_limit
        self._seen: set[str] = set()

    @property
    def by_district(self) -> bool:
        """Whether labels are districts from now on."""
        return self._by_district

    def label(self, camera: str) -> str:
        """The place of `camera`: its id, or its district."""
        if not self._by_district and not self._fixed and camera not in self._seen:
            self._seen.add(camera)
            self._by_district = len(self._seen) > self._limit
        return district(camera) if self._by_district else camera
