"""The label that says where a frame was taken: the camera while there are few, its district when there are many."""

from threading import Lock
from typing import Final

from pipeline.catalog.metrics import OTHER_PLACES, UNKNOWN_PLACE
from pipeline.core.sharding import district

DISTRICTS_WITHOUT_CAMERAS: Final = 64
"""Districts that are told apart at a limit of 0, which switches labels by camera off."""


class Places:
    """Chooses the value of the ``place`` label, so that a process exports no more than `per_camera_limit` places.

    Above the limit a camera is labelled by its district, the part of its id before the first slash. Districts beyond
    the limit, and cameras whose ids name none, share the place ``other``. The place ``unknown`` counts as no camera.

    With `cameras`, the number there will be, the choice is made once and holds. Without it, cameras are counted as
    they appear, and the first one above the limit turns all of them to districts for good. Each process counts what
    it sees itself. Safe to call from several threads.
    """

    def __init__(self, per_camera_limit: int, cameras: int | None = None) -> None:
        self._limit = per_camera_limit
        self._fixed = cameras is not None
        self._by_district = cameras is not None and cameras > per_camera_limit
        self._cameras: set[str] = set()
        self._districts: set[str] = set()
        self._lock = Lock()

    @property
    def by_district(self) -> bool:
        """Whether labels are districts from now on."""
        return self._by_district

    def label(self, camera: str) -> str:
        """The place of `camera`: its id, or its district."""
        if camera == UNKNOWN_PLACE:
            return camera
        with self._lock:
            if not self._by_district and not self._fixed and camera not in self._cameras:
                self._cameras.add(camera)
                self._by_district = len(self._cameras) > self._limit
            return self._district_place(camera) if self._by_district else camera

    def _district_place(self, camera: str) -> str:
        name = district(camera)
        if name == camera:
            return OTHER_PLACES
        if name not in self._districts and len(self._districts) < (self._limit or DISTRICTS_WITHOUT_CAMERAS):
            self._districts.add(name)
        return name if name in self._districts else OTHER_PLACES
