"""The detector's contract, and that the shipped one finds faces of people it never saw."""

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision.detector import TorchDetector, best_boxes
from pipeline.vision.networks import DetectorNetwork
from pipeline.vision.trials import match
from pipeline.vision.weights import load_weights


@pytest.fixture(scope="module")
def detector() -> TorchDetector:
    """The shipped detector."""
    return TorchDetector(load_weights("detector").tensors)


@pytest.fixture(scope="module")
def street() -> Street:
    """A street of passers-by."""
    return Street(StreetSpec(seed=77, camera="test/1", fps=1.0, density=40.0))


def test_clear_faces_are_found_with_their_landmarks(detector: TorchDetector, street: Street) -> None:
    """Of clear faces of 40 px and more nine of ten are found, with eyes and mouth near the truth."""
    wanted = found = 0
    errors = []
    for index in range(4, street.frames_per_loop, 4):
        detections = detector.detect([street.render(index)])[0]
        faces = street.truth(index).faces
        matched = match(detections.boxes, faces)
        clear = [f for f in faces if f.height >= 40 and f.occlusion == 0 and abs(f.yaw) <= 40]
        wanted += len(clear)
        found += sum(face in clear for face in matched)
        for points, face in zip(detections.landmarks, matched, strict=True):
            if face in clear:
                errors.append(np.abs(points - np.array(face.landmarks)).mean() / face.height)
    assert wanted >= 8
    assert found >= 0.9 * wanted
    assert np.mean(errors) < 0.06


def test_cameras_of_different_sizes_share_a_call(detector: TorchDetector, street: Street) -> None:
    """A batch of mixed sizes gives, per image, the same faces as that image alone."""
    large = street.render(20)
    images = [large, np.ascontiguousarray(large[:480, :640]), np.zeros((31, 17, 3), np.uint8)]
    together = detector.detect(images)
    assert len(together) == 3
    for image, detections in zip(images, together, strict=True):
        alone = detector.detect([image])[0]
        assert detections.boxes.shape == (len(detections.scores), 4)
        assert detections.landmarks.shape == (len(detections.scores), 5, 2)
        assert detections.boxes.dtype == detections.landmarks.dtype == detections.scores.dtype == np.float32
        assert np.allclose(detections.boxes, alone.boxes, atol=0.05)
    assert len(together[2].scores) == 0


def test_scores_fall_and_boxes_lie_in_the_image(detector: TorchDetector, street: Street) -> None:
    """Detections come best first, inside the picture."""
    detections = detector.detect([street.render(15)])[0]
    assert (np.diff(detections.scores) <= 0).all()
    assert (detections.boxes >= 0).all()
    assert (detections.boxes <= [1280, 720, 1280, 720]).all()


def test_no_image_gives_no_detections(detector: TorchDetector) -> None:
    """An empty batch is answered with an empty list."""
    assert detector.detect([]) == []


def test_foreign_weights_are_a_model_error() -> None:
    """Weights of another network are refused."""
    with pytest.raises(ModelError, match="detector"):
        TorchDetector(DetectorNetwork(widths=(8, 8, 8)).state_dict())


def test_best_box_of_a_heap_stays() -> None:
    """Of overlapping boxes the best score stays, and a box apart is kept."""
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [40, 40, 50, 50]], np.float32)
    assert best_boxes(boxes, np.array([0.5, 0.9, 0.7], np.float32), 0.4).tolist() == [1, 2]


def test_touching_boxes_both_stay() -> None:
    """Boxes that only share an edge do not suppress each other."""
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10]], np.float32)
    assert len(best_boxes(boxes, np.array([0.5, 0.9], np.float32), 0.4)) == 2
