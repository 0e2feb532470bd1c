"""What counts as found and as false when the detector is measured."""

import numpy as np
import pytest

from loadtest.detector import Tally, by_size, from_score, judge, landmark_error, plot, report
from pipeline.records import Detections
from pipeline.synthetic.street import FaceTruth, Street, StreetSpec
from pipeline.vision.eyes import load_detector

LANDMARKS = ((10.0, 10.0), (20.0, 10.0), (15.0, 16.0), (11.0, 22.0), (19.0, 22.0))


def face(box: tuple[float, float, float, float], yaw: float = 0.0, occlusion: float = 0.0) -> FaceTruth:
    """A face of the truth."""
    return FaceTruth(1, False, "", "a/0/1", box, LANDMARKS, yaw, occlusion, box[3] - box[1])


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    """Detections of these boxes, the best first, with the landmarks of the truth."""
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.tile(np.array(LANDMARKS, np.float32), (count, 1, 1)),
        np.linspace(0.9, 0.7, count).astype(np.float32),
    )


def test_a_box_that_lies_on_a_face_finds_it_once() -> None:
    """The second box on the same face is false, and a face without a box is not found."""
    near, far = face((0.0, 0.0, 30.0, 40.0)), face((100.0, 0.0, 130.0, 40.0))
    hit, false = judge(found((1.0, 1.0, 31.0, 41.0), (0.0, 0.0, 30.0, 38.0)), [near, far], [])
    assert hit == [True, False]
    assert false == 1


def test_a_box_that_overlaps_too_little_misses_and_is_false() -> None:
    """Intersection over union below a half is no find."""
    hit, false = judge(found((15.0, 0.0, 45.0, 40.0)), [face((0.0, 0.0, 30.0, 40.0))], [])
    assert (hit, false) == ([False], 1)


@pytest.mark.parametrize("excused", ["turned", "hidden", "other head"])
def test_boxes_on_heads_that_need_not_be_found_are_not_false(excused: str) -> None:
    """Profiles, hidden faces and backs of heads are neither right nor wrong."""
    box = (0.0, 0.0, 30.0, 40.0)
    faces = {"turned": [face(box, yaw=85.0)], "hidden": [face(box, occlusion=0.8)], "other head": []}[excused]
    others = [box] if excused == "other head" else []
    assert judge(found((16.0, 2.0, 30.0, 30.0)), faces, others)[1] == 0


def test_a_picture_without_anything_gives_nothing() -> None:
    """No boxes and no faces are no error."""
    assert judge(found(), [], []) == ([], 0)


def test_sizes_fall_into_their_bins_and_small_faces_are_not_in_the_recall() -> None:
    """Recall counts faces of 16 px and taller; the bins hold all."""
    tally = Tally(sizes=[9.0, 15.9, 16.0, 30.0], found=[False, False, True, True], frames=10, false_boxes=0)
    figures = report(tally, "street", [1], 0.5)
    assert figures["recall"]["events"] == figures["recall"]["trials"] == 2
    assert figures["ok"]
    assert sum(row["trials"] for row in by_size(tally)) == 4
    assert plot([figures]).axes


def test_a_tally_without_faces_is_not_ok() -> None:
    """What was not measured meets no target."""
    assert not report(Tally(frames=3), "street", [1], 0.5)["ok"]


def test_the_landmark_error_is_relative_to_the_face() -> None:
    """Landmarks that are all off by a twelfth of the distance from eyes to mouth give a twelfth."""
    shifted = Detections(
        np.array([[5.0, 5.0, 25.0, 27.0]], np.float32),
        np.array([LANDMARKS], np.float32) + np.array([1.0, 0.0], np.float32),
        np.array([0.9], np.float32),
    )
    assert np.isclose(landmark_error(face((5.0, 5.0, 25.0, 27.0)), shifted), 1 / 12)


def test_boxes_from_a_higher_score_are_those_that_the_detector_gives_with_that_score() -> None:
    """Several scores are compared on one look, so a box that is left out must not bring back one that it suppressed."""
    image = Street(StreetSpec(seed=3, camera="detector/0", fps=1.0, difficulty="crowd")).render(12)
    (all_boxes,) = load_detector("cpu", "fp32", least_score=0.1).detect([image])
    (few,) = load_detector("cpu", "fp32", least_score=0.5).detect([image])
    kept = from_score(all_boxes, 0.5)
    assert 0 < len(few.boxes) < len(all_boxes.boxes)
    np.testing.assert_array_equal(kept.boxes, few.boxes)
    np.testing.assert_array_equal(kept.landmarks, few.landmarks)
