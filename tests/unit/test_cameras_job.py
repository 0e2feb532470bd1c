"""What the command makes of settings, and what it says."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.cameras.counts import CameraCounts
from pipeline.cameras.plan import FleetPlan, FolderCamera, SyntheticCamera, VideoCamera
from pipeline.cameras.source import Absence
from pipeline.errors import BrokerError, InputError, ResourceError
from pipeline.runtime.camera_job import CameraJob, CameraStatus, Patience, require_memory
from pipeline.runtime.cameras import damage_lines, described, progress_line, synthetic_cameras, totals_line
from pipeline.runtime.settings import Cameras, Demo, Settings
from pipeline.synthetic.seeds import Population, entry_id, group
from pipeline.synthetic.street import Street
from pipeline.testing.telemetry import FakeTelemetry


def test_synthetic_cameras_are_the_settings() -> None:
    """Count, size, rate, seed and districts reach the streets; no two cameras see the same one."""
    said = Cameras(count=5, fps=4.0, width=1920, height=1080, seed=7, districts=("a", "b"))
    cameras = described(Settings(cameras=said, demo=Demo(watchlist_size=30)))
    assert [camera.id for camera in cameras] == ["a/cam-000", "b/cam-001", "a/cam-002", "b/cam-003", "a/cam-004"]
    streets = [camera.street for camera in cameras if isinstance(camera, SyntheticCamera)]
    assert [street.camera for street in streets] == [camera.id for camera in cameras]
    assert {(street.width, street.height, street.fps, street.seed) for street in streets} == {(1920, 1080, 4.0, 7)}


def test_people_on_the_watchlist_walk_through_the_streets() -> None:
    """Listed passes are by people of the run's own watchlist group, and there are some."""
    entries = {entry_id(seed) for seed in group(Population.WATCHLIST, 7, 30)}
    streets = [Street(camera.street) for camera in synthetic_cameras(Cameras(count=4, seed=7), 30)]
    seen = {planted.entry for street in streets for planted in street.passes(0, 71) if planted.listed}
    assert seen
    assert seen <= entries


def test_sources_are_told_apart_by_what_they_are(tmp_path: Path) -> None:
    """A folder is a camera of images, a file one of video; both get the settings' size and loop."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "street.mp4").write_bytes(b"")
    said = Cameras(
        sources=(str(tmp_path / "photos"), str(tmp_path / "street.mp4")), fps=3.0, width=640, height=360, loop=True
    )
    assert described(Settings(cameras=said)) == (
        FolderCamera("north/cam-000", tmp_path / "photos", 3.0, 640, 360, True),
        VideoCamera("east/cam-001", tmp_path / "street.mp4", 640, 360, True),
    )


def test_source_that_does_not_exist_is_named() -> None:
    """A wrong path is found before anything is started."""
    with pytest.raises(InputError, match=r"nowhere\.mp4 does not exist"):
        described(Settings(cameras=Cameras(sources=("nowhere.mp4",))))


def test_loops_that_do_not_fit_are_refused() -> None:
    """The message states both sizes and names the settings."""
    require_memory(6_000_000_000, 10_000_000_000)
    with pytest.raises(ResourceError, match=r"8\.0 GB and 10\.0 GB.*cameras\.fps"):
        require_memory(8_000_000_000, 10_000_000_000)


def test_short_outage_is_borne_and_a_long_one_is_not() -> None:
    """Cameras go on while Kafka is away for a moment, and end with its address when it stays away."""
    patience = Patience()
    patience.check(sent=10, failed=0, unreachable_seconds=0.0, trouble="")
    patience.check(sent=10, failed=40, unreachable_seconds=14.0, trouble="Kafka at k:9092: refused")
    with pytest.raises(BrokerError, match=r"Kafka at k:9092: refused; no frame could be sent for 16 s"):
        patience.check(sent=10, failed=44, unreachable_seconds=16.0, trouble="Kafka at k:9092: refused")


def test_idle_connection_that_was_closed_is_no_outage() -> None:
    """A camera of a frame per minute is not ended by a closed connection, since none of its frames failed."""
    patience = Patience()
    patience.check(sent=10, failed=2, unreachable_seconds=0.0, trouble="")
    patience.check(sent=10, failed=2, unreachable_seconds=50.0, trouble="Kafka at k:9092: closed")
    patience.check(sent=11, failed=2, unreachable_seconds=60.0, trouble="Kafka at k:9092: closed")


def test_lines_say_how_far_it_is() -> None:
    """Rendering, sending and the end each have one line."""
    begun = CameraStatus(to_render=45_500)
    assert progress_line(begun, 0, CameraCounts()) == "rendering 0 of 45,500 pictures"
    rendering = CameraStatus(since_ns=10**18, rendered=4, to_render=10)
    assert progress_line(rendering, 10**18 + 8 * 10**9, CameraCounts()) == "rendering 4 of 10 pictures, about 12 s left"
    ready = CameraStatus(state="sending", start_ns=10**18)
    assert progress_line(ready, 10**18 - 1_500_000_000, CameraCounts()) == "the first frame is due in 1.5 s"
    status = CameraStatus(
        state="sending",
        camera_run="run-1",
        start_ns=10**18,
        counts={"a": CameraCounts(1000, 990, 2), "b": CameraCounts(1000, 1000, 0)},
        trouble="Kafka at k:9092: refused",
    )
    line = " ".join(progress_line(status, 10**18 + 12_340_000_000, CameraCounts(1900, 1890, 0)).split())
    assert line == "12.3 s intended 2,000 sent 1,990 failed 2 100 frames/s Kafka at k:9092: refused"
    assert totals_line(status) == "camera run run-1: intended 2,000, sent 1,990, failed 2"


def test_pictures_that_are_too_large_are_told_by_camera() -> None:
    """With how many, the limit, and what makes them smaller."""
    counts = {"b": CameraCounts(9, 7, 2, 2), "a": CameraCounts(9, 8, 1, 1), "c": CameraCounts(9, 8, 1)}
    first, second = damage_lines(CameraStatus(counts=counts))
    assert first.startswith("a: 1 picture of more than 4,194,304 bytes not sent; lower cameras.width")
    assert second.startswith("b: 2 pictures of")


def test_pictures_that_were_passed_over_are_told_with_the_first(tmp_path: Path) -> None:
    """A folder that is half damaged would look like a short one."""
    assert damage_lines(CameraStatus()) == []
    one = CameraStatus(damaged=("photos/b.jpg",))
    assert damage_lines(one) == ["skipped 1 picture that cannot be decoded: photos/b.jpg"]
    assert damage_lines(CameraStatus(losses=("a.avi states 9",), damaged=one.damaged))[0] == "a.avi states 9"
    two = CameraStatus(damaged=("photos/b.jpg", "photos/c.jpg"))
    assert damage_lines(two) == ["skipped 2 pictures that cannot be decoded: first photos/b.jpg"]
    assert "skipped 2 pictures" in progress_line(
        CameraStatus(state="sending", start_ns=0, damaged=two.damaged), 10**9, CameraCounts()
    )


def test_a_jobs_status_names_the_pictures_of_its_folders_that_are_damaged(tmp_path: Path) -> None:
    """By their names, not by the camera that came upon them."""
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    job = CameraJob(FleetPlan((FolderCamera("north/cam-000", tmp_path),)), FakeTelemetry())
    job.prepare()
    source = job._sources[0]
    while source.take() is not Absence.ENDED:
        pass
    source.close()
    assert job.status().damaged == (str(tmp_path / "b.jpg"),)
