"""A street with listed people, and an alert on its camera: for tests that hold alerts against the truth."""

from functools import cache

from pipeline.records import Alert
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street, StreetSpec

CAMERA = "north/cam-000"
ALERT = Alert(
    id="0123456789abcdef", camera=CAMERA, camera_run="r", sequence=0, entry="", score=0.71, threshold=0.5,
    capture_ns=0, cooldown_ns=0, append_ns=0, decided_ns=0, box=(0.0, 0.0, 1.0, 1.0), frame_partition=0, frame_offset=0,
    watchlist_version=1, embedder_version="e", run="run", slot=0,
)  # fmt: skip


@cache
def listed_street() -> Street:
    """A street on which listed people and others walk."""
    listed = group(Population.WATCHLIST, 2, 40)
    return Street(StreetSpec(seed=2, camera=CAMERA, listed=listed, listed_share=0.5, density=30.0))
