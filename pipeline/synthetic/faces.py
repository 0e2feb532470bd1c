"""Pictures of one face: a person, a look and a view make a small BGR image with five landmarks."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.geometry import (
    TEXTURE_COORDINATES,
    TRIANGLES,
    head_vertices,
    landmark_points,
    outline_points,
)
from pipeline.synthetic.identities import Identity
from pipeline.synthetic.light import Light, studio_light
from pipeline.synthetic.looks import Look, enrolment_look
from pipeline.synthetic.raster import draw_head, rotation, vertex_normals
from pipeline.synthetic.seeds import Purpose, generator
from pipeline.synthetic.texture import face_texture, todays_skin

CROP_SIZE: Final = 112
CROP_LANDMARKS: Final = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Where the five landmarks lie in an aligned 112x112 crop (the convention of InsightFace's ArcFace)."""


@dataclass(frozen=True, slots=True)
class Head:
    """A person with today's look, ready to be drawn: mesh float32[V, 3], normals, texture and points in head units."""

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    texture: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    outline: NDArray[np.float32]
    skin: NDArray[np.float32]
    """BGR, float32[3] in 0 … 255, of the parts that are drawn without the mesh, such as hands."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a head is in a picture: angles in degrees, origin in pixels, and pixels for a head unit."""

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    unit: float


def head(person: Identity, appearance: Look) -> Head:
    """Build the drawable head of a person with a look."""
    vertices = head_vertices(person.shape, appearance.style)
    return Head(
        vertices=vertices,
        normals=vertex_normals(vertices, TRIANGLES),
        texture=face_texture(person, appearance),
        landmarks=landmark_points(person.shape, appearance.style),
        outline=outline_points(person.shape, appearance.style),
        skin=(255.0 * todays_skin(person, appearance)).astype(np.float32),
    )


def _turn(pose: Pose) -> NDArray[np.float32]:
    """Return the rotation of a pose."""
    matrix: NDArray[np.float32] = rotation(math.radians(pose.yaw), math.radians(pose.pitch), math.radians(pose.roll))
    return matrix


def draw(image: NDArray[np.uint8], subject: Head, pose: Pose, light: Light) -> None:
    """Draw a head into a BGR image, in place; parts outside the image are cut."""
    draw_head(
        image,
        subject.vertices,
        subject.normals,
        TRIANGLES,
        TEXTURE_COORDINATES,
        subject.texture,
        _turn(pose),
        pose.x,
        pose.y,
        pose.unit,
        light.direction,
        light.key,
        light.ambient,
    )


def project(points: NDArray[np.float32], pose: Pose) -> NDArray[np.float32]:
    """Return the pixel positions, float32[N, 2], of points of a head, float32[N, 3] in head units."""
    turned = points @ _turn(pose).T
    flat = np.array([pose.x, pose.y], np.float32) + turned[:, :2] * np.array([pose.unit, -pose.unit], np.float32)
    return flat.astype(np.float32)


def face_box(subject: Head, pose: Pose) -> NDArray[np.float32]:
    """Return the box of the face, float32[4] xyxy in pixels, from chin to the top of the forehead."""
    edge = project(subject.outline, pose)
    return np.concatenate([edge.min(axis=0), edge.max(axis=0)]).astype(np.float32)


def aligned_pose(subject: Head, yaw: float, pitch: float) -> Pose:
    """Return the pose that puts a head's landmarks as near as a similarity transform can to those of a crop."""
    flat = project(subject.landmarks, Pose(yaw, pitch, 0.0, 0.0, 0.0, 1.0)).astype(np.float64)
    source = flat[:, 0] + 1j * flat[:, 1]
    wanted = np.array([complex(x, y) for x, y in CROP_LANDMARKS])
    centred = source - source.mean()
    turn = np.vdot(centred, wanted - wanted.mean()) / np.vdot(centred, centred).real
    shift = wanted.mean() - turn * source.mean()
    roll = -math.degrees(math.atan2(turn.imag, turn.real))
    return Pose(yaw, pitch, roll, float(shift.real), float(shift.imag), abs(turn))


def enrolment_views(person: Identity, count: int) -> NDArray[np.uint8]:
    """Return aligned studio pictures of a person, uint8[count, 112, 112, 3] BGR: soft light, no glasses.

    Poses vary by what a street camera above head height sees; hair and beard are other ones in each picture.
    """
    rng = generator(Purpose.ENROLMENT, person.seed)
    views = np.empty((count, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for view in views:
        subject = head(person, enrolment_look(person, rng))
        view[:] = rng.integers(90, 200)
        draw(view, subject, aligned_pose(subject, rng.uniform(-25, 25), rng.uniform(-2, 20)), studio_light(rng))
    return views
