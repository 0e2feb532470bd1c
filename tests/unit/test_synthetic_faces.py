"""Pictures of faces: aligned, with a look that changes and a person who stays."""

import numpy as np

from pipeline.catalog.difficulties import STREET
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.faces import CROP_LANDMARKS, Pose, aligned_pose, enrolment_views, face_box, head, project
from pipeline.synthetic.geometry import TRIANGLES, VERTICES
from pipeline.synthetic.identities import identity
from pipeline.synthetic.looks import enrolment_look, look
from pipeline.synthetic.seeds import Population, person_seed
from pipeline.synthetic.views import single_view

PERSON = identity(person_seed(Population.VALIDATION, 3))


def test_enrolment_views_are_small_bgr_pictures() -> None:
    """Views have the crop's shape, vary, and are the same when made again."""
    views = enrolment_views(PERSON, 3)
    assert views.shape == (3, 112, 112, 3)
    assert views.dtype == np.uint8
    assert not np.array_equal(views[0], views[1])
    assert np.array_equal(views, enrolment_views(PERSON, 3))


def test_aligned_pose_puts_landmarks_near_the_template() -> None:
    """A frontal head lies within a few pixels of the crop's landmarks."""
    subject = head(PERSON, enrolment_look(PERSON, np.random.default_rng(0)))
    points = project(subject.landmarks, aligned_pose(subject, 5.0, 5.0))
    assert np.abs(points - np.array(CROP_LANDMARKS)).mean() < 4.0


def test_landmarks_lie_inside_the_face_box() -> None:
    """All five landmarks of a frontal face are inside its box, eyes above the mouth, left before right."""
    subject = head(PERSON, look(PERSON, np.random.default_rng(1), STREET))
    pose = Pose(yaw=10.0, pitch=5.0, roll=0.0, x=50.0, y=60.0, unit=20.0)
    box, points = face_box(subject, pose), project(subject.landmarks, pose)
    assert (points > box[:2]).all()
    assert (points < box[2:]).all()
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
    assert points[0, 0] < points[1, 0]
    assert points[3, 0] < points[4, 0]


def test_face_height_follows_the_unit() -> None:
    """Twice the pixels for a head unit make a face twice as tall."""
    subject = head(PERSON, look(PERSON, np.random.default_rng(1), STREET))
    near, far = (face_box(subject, Pose(0, 0, 0, 0, 0, unit)) for unit in (20.0, 10.0))
    assert np.isclose(near[3] - near[1], 2 * (far[3] - far[1]), rtol=1e-4)


def test_mesh_refers_to_existing_vertices() -> None:
    """No triangle points outside the mesh."""
    assert TRIANGLES.min() == 0
    assert TRIANGLES.max() < VERTICES


def test_looks_of_one_person_differ() -> None:
    """Hair, beard or accessories change between sightings."""
    rng = np.random.default_rng(2)
    assert len({look(PERSON, rng, STREET).style for _ in range(20)}) == 20


def test_street_view_holds_its_landmarks() -> None:
    """The eyes and the nose of a training picture lie inside it."""
    rng = np.random.default_rng(4)
    scene = backdrop(rng, 240, 320)
    subject = head(PERSON, look(PERSON, rng, STREET))
    for _ in range(10):
        image, points = single_view(subject, rng, [scene], STREET)
        assert image.shape[0] == image.shape[1]
        assert (points[:3] >= 0).all()
        assert (points[:3] < image.shape[0]).all()
