"""The fakes say what their pictures, entries and calls hold, and refuse what the real things refuse."""

import cv2
import numpy as np
import pytest

from pipeline.catalog import metrics
from pipeline.errors import ShardUnavailable
from pipeline.ports import Clock, Detector, Embedder, Gallery, Shard, Telemetry
from pipeline.records import Probes, WatchlistEntry
from pipeline.testing.clock import FakeClock
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.gallery import FakeGallery
from pipeline.testing.pictures import IDENTITIES, blank, identity_of, paint_face
from pipeline.testing.shard import FakeShard
from pipeline.testing.telemetry import FakeTelemetry


def test_fakes_fit_their_ports() -> None:
    """The type checker holds the signatures together; this names the pairs."""
    clock: Clock = FakeClock()
    detector: Detector = FakeDetector()
    embedder: Embedder = FakeEmbedder()
    shard: Shard = FakeShard()
    gallery: Gallery = FakeGallery()
    telemetry: Telemetry = FakeTelemetry()
    assert all((clock, detector, embedder, shard, gallery, telemetry))


def test_the_detector_finds_the_painted_faces_through_a_jpeg() -> None:
    """Each at its place, the larger first, with landmarks inside."""
    image = blank()
    paint_face(image, 8, 16, 24, identity=3)
    paint_face(image, 64, 16, 32, identity=7)
    coded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert coded
    (found,) = FakeDetector().detect([cv2.imdecode(jpeg, cv2.IMREAD_COLOR)])
    assert np.abs(found.boxes - [[64, 16, 96, 48], [8, 16, 32, 40]]).max() <= 2
    assert found.landmarks.shape == (2, 5, 2)
    assert (found.scores[:-1] >= found.scores[1:]).all()


def test_a_picture_without_faces_has_none() -> None:
    """The arrays keep their shapes."""
    (found,) = FakeDetector().detect([blank()])
    assert (found.boxes.shape, found.landmarks.shape, found.scores.shape) == ((0, 4), (0, 5, 2), (0,))


@pytest.mark.parametrize("identity", range(IDENTITIES))
def test_everybody_is_told_apart_after_a_jpeg(identity: int) -> None:
    """The colour that says who it is survives compression."""
    image = blank()
    paint_face(image, 32, 32, 32, identity)
    coded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert coded
    assert identity_of(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[34:62, 34:62]) == identity


def test_templates_are_normalised_and_differ_between_people() -> None:
    """One person's are equal, two people's are far below a threshold of 0.5."""
    embedder = FakeEmbedder()
    templates = np.stack([embedder.template(identity) for identity in range(IDENTITIES)])
    similar = templates @ templates.T
    assert np.allclose(np.diag(similar), 1.0, atol=1e-6)
    assert (similar - np.eye(IDENTITIES)).max() < 0.5


def test_a_face_outside_the_picture_is_refused() -> None:
    """A test that plants it has a mistake."""
    with pytest.raises(ValueError, match="does not fit"):
        paint_face(blank(40, 40), 30, 0, 20, 1)


def test_the_shard_leaves_out_who_expired_before_the_capture() -> None:
    """An entry may match frames captured before its expiry."""
    embedder = FakeEmbedder()
    shard = FakeShard([WatchlistEntry("a", embedder.template(1), expires_ns=100)])
    probes = Probes(np.stack([embedder.template(1)] * 2), np.array([99, 100], np.int64))
    reply = shard.search(probes, 3)
    assert [[c.entry for c in candidates] for candidates in reply.candidates] == [["a"], []]


def test_equal_scores_are_ordered_by_entry() -> None:
    """As the merge of real shards orders them."""
    template = FakeEmbedder().template(1)
    shard = FakeShard([WatchlistEntry(entry, template) for entry in ("b", "c", "a")])
    reply = shard.search(Probes(template[None], np.zeros(1, np.int64)), 2)
    assert [c.entry for c in reply.candidates[0]] == ["a", "b"]


def test_the_gallery_stays_away_as_often_as_told() -> None:
    """And answers again after that."""
    gallery = FakeGallery()
    probes = Probes(np.zeros((0, 128), np.float32), np.zeros(0, np.int64))
    gallery.stay_away(1)
    with pytest.raises(ShardUnavailable):
        gallery.search(probes, 1)
    assert gallery.search(probes, 1).candidates == ()


def test_a_step_of_the_wall_clock_leaves_the_monotonic_clock_alone() -> None:
    """As when a time server corrects a machine."""
    clock = FakeClock(now_ns=10**18)
    clock.advance(2.0)
    clock.step(-1.0)
    assert (clock.now_ns(), clock.monotonic()) == (10**18 + 10**9, 2.0)


def test_telemetry_refuses_what_a_registry_would() -> None:
    """A wrong kind, a missing label, and a falling counter."""
    telemetry = FakeTelemetry()
    telemetry.count(metrics.FACES, 2, place="a")
    telemetry.count(metrics.FACES, place="a")
    assert telemetry.value(metrics.FACES, place="a") == 3
    with pytest.raises(ValueError, match="labels"):
        telemetry.count(metrics.FACES)
    with pytest.raises(ValueError, match="not a gauge"):
        telemetry.set(metrics.FACES, 1, place="a")
    with pytest.raises(ValueError, match="cannot fall"):
        telemetry.count(metrics.FACES, -1, place="a")
