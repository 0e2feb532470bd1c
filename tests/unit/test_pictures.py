"""The sample frame shows what is known and what was alerted; the plot shows latencies."""

from collections.abc import Iterator

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.records import Alert
from pipeline.runtime.canvas import LEGEND, Canvas
from pipeline.runtime.pictures import ALERTED, EARLIER, LISTED, STRANGER, WRONG, annotated_frame, best_alert
from pipeline.runtime.plots import LatencySeries, latency_plot
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import FaceTruth, Street, StreetSpec

ALERT = Alert(
    id="0123456789abcdef", camera="north/cam-000", camera_run="r", sequence=0, entry="", score=0.71, threshold=0.5,
    capture_ns=0, cooldown_ns=0, append_ns=0, decided_ns=0, box=(0.0, 0.0, 1.0, 1.0), frame_partition=0, frame_offset=0,
    watchlist_version=1, embedder_version="e", run="run", slot=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def street() -> Street:
    """A street on which listed people walk."""
    listed = group(Population.WATCHLIST, 2, 40)
    return Street(StreetSpec(seed=2, camera="north/cam-000", listed=listed, listed_share=0.5, density=30.0))


def listed_faces(street: Street) -> Iterator[tuple[int, FaceTruth]]:
    """Faces of listed people that are tall enough to be drawn well, and their frames."""
    for sequence in range(street.frames_per_loop):
        for face in street.truth(sequence).faces:
            if face.listed and face.height > 40 and face.occlusion == 0:
                yield sequence, face


def alert_for(sequence: int, face: FaceTruth, **changes: object) -> Alert:
    """A right alert for a face."""
    return msgspec.structs.replace(ALERT, sequence=sequence, entry=face.entry, box=face.box, **changes)


def decoded(png: bytes) -> NDArray[np.uint8]:
    """The picture in a PNG."""
    assert png.startswith(b"\x89PNG")
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(np.uint8)


def colour_pixels(image: NDArray[np.uint8], face: FaceTruth, colour: tuple[int, int, int]) -> int:
    """Pixels of exactly a colour in the face's box and a little around it."""
    left, top, right, bottom = (round(v) for v in face.box)
    area = image[max(0, top - 3) : bottom + 4, max(0, left - 3) : right + 4]
    return int((area == np.array(colour)).all(axis=2).sum())


def test_alerted_face_is_marked_in_its_own_colour(street: Street) -> None:
    """The face that alerted is red, others are not, and the picture is the street's beside the drawings."""
    sequence, face = next(listed_faces(street))
    image = decoded(annotated_frame(street, sequence, [alert_for(sequence, face)]))
    assert image.shape == (720, 1280, 3)
    assert colour_pixels(image, face, ALERTED) > 10
    others = [other for other in street.truth(sequence).faces if other.pass_id != face.pass_id]
    for other in others:
        if other.occlusion == 0 and abs(other.box[0] - face.box[0]) > 200:
            assert colour_pixels(image, other, ALERTED) == 0
    changed = (image != street.render(sequence)).any(axis=2)[: -LEGEND - 1]
    assert 0.001 < changed.mean() < 0.25


def test_faces_without_an_alert_have_the_colours_of_the_truth(street: Street) -> None:
    """Listed people who have not alerted and people who are not listed are told apart."""
    sequence, face = next(listed_faces(street))
    image = decoded(annotated_frame(street, sequence, []))
    assert colour_pixels(image, face, LISTED) > 10
    assert colour_pixels(image, face, ALERTED) == 0
    strangers = [each for each in street.truth(sequence).faces if not each.listed and each.occlusion == 0]
    assert all(colour_pixels(image, each, STRANGER) for each in strangers)


def test_alert_earlier_in_a_pass_is_remembered(street: Street) -> None:
    """On a later frame of the same pass the face says that it has alerted; in the next round it does not."""
    sequence, face = next(listed_faces(street))
    later, same = next(
        (number, each) for number, each in listed_faces(street) if each.entry == face.entry and number > sequence
    )
    alerts = [alert_for(sequence, face)]
    assert colour_pixels(decoded(annotated_frame(street, later, alerts)), same, EARLIER) > 10
    next_round = later + street.frames_per_loop
    assert colour_pixels(decoded(annotated_frame(street, next_round, alerts)), same, EARLIER) == 0


def test_false_alert_is_marked_where_it_was_seen(street: Street) -> None:
    """An entry that is not in the frame is drawn at the alert's own box, as a false alert."""
    sequence, face = next(listed_faces(street))
    wrong = msgspec.structs.replace(alert_for(sequence, face), entry="watchlist-999999")
    image = decoded(annotated_frame(street, sequence, [wrong]))
    assert colour_pixels(image, face, WRONG) > 10


def test_alerts_of_other_cameras_and_later_frames_are_left_out(street: Street) -> None:
    """The picture is the same with and without them."""
    sequence, face = next(listed_faces(street))
    other = alert_for(sequence, face, camera="south/cam-001")
    assert annotated_frame(street, sequence, [other, alert_for(sequence + 1, face)]) == annotated_frame(
        street, sequence, []
    )


def test_best_alert_is_true_and_tall(street: Street) -> None:
    """Of a false alert, one of an unknown camera and true ones, a true one of a tall face is chosen."""
    true = [alert_for(sequence, face, id=f"alert-{sequence}") for sequence, face in listed_faces(street)]
    false = msgspec.structs.replace(true[0], entry="watchlist-999999", id="zzz")
    elsewhere = msgspec.structs.replace(true[0], camera="south/cam-001", id="zzzz")
    streets = {street.spec.camera: street}
    chosen = best_alert(streets, [false, elsewhere, *true])
    assert chosen in true
    assert best_alert(streets, [false, elsewhere]) is None
    assert best_alert(streets, []) is None


def test_labels_keep_clear_of_each_other() -> None:
    """Ten labels of boxes side by side do not overlap, and all lie within the picture."""
    canvas = Canvas(np.zeros((720, 1280, 3), np.uint8))
    boxes = [(100.0 + 90 * n, 300.0, 140.0 + 90 * n, 340.0) for n in range(10)]
    for box in boxes:
        canvas.corners(box, STRANGER, 2)
    for box in boxes:
        canvas.label(("watchlist-001", "alert 01234567"), box, STRANGER, bold=False)
    labels = canvas._taken[11:]
    assert len(labels) == 10
    for number, (left, top, right, bottom) in enumerate(labels):
        assert 0 <= left < right <= 1280
        assert 0 <= top < bottom <= 720
        for x, y, other_right, other_bottom in labels[:number]:
            assert min(right, other_right) <= max(left, x) or min(bottom, other_bottom) <= max(top, y)


def series(seconds: int, alerts: int = 3) -> LatencySeries:
    """A run of so many seconds, a tenth of a second p50."""
    at = np.arange(seconds) + 0.5
    p50 = np.full(seconds, 0.1)
    return LatencySeries(
        at=at, p50=p50, p95=p50 * 2, p99=p50 * 3, queue_age=p50 / 2,
        alert_at=np.arange(alerts, dtype=np.float64), alert_latency=np.full(alerts, 0.12),
    )  # fmt: skip


def test_plot_is_a_picture_with_its_curves() -> None:
    """The plot has its size, and red alerts only when there are alerts."""

    def red(image: NDArray[np.uint8]) -> int:
        return int(((image[..., 2] > 200) & (image[..., 1] < 90) & (image[..., 0] < 90)).sum())

    plotted = decoded(latency_plot(series(30), title="latency", objective=1.0))
    assert plotted.shape == (780, 1500, 3)
    assert red(plotted) > 3 * 20
    assert red(decoded(latency_plot(series(30, alerts=0), title="latency"))) == 0


@pytest.mark.parametrize("seconds", [0, 1])
def test_plot_of_hardly_anything_is_still_a_picture(seconds: int) -> None:
    """A run that ended at once, and one with a second without frames, can be plotted."""
    empty = series(seconds, alerts=0)
    assert decoded(latency_plot(empty, title="nothing")).shape == (780, 1500, 3)
    gap = msgspec.structs.replace(series(3), p50=np.array([0.1, np.nan, 0.1]), p99=np.array([0.2, np.nan, 0.2]))
    assert decoded(latency_plot(gap, title="a gap")).shape == (780, 1500, 3)
