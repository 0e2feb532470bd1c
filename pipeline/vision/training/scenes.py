"""Training pictures of whole streets, kept as JPEG, with their faces."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.seeds import Population, Purpose, generator
from pipeline.synthetic.street import FaceTruth, Street, StreetSpec
from pipeline.vision.training.rendering import rendering_pool
from pipeline.vision.trials import encode

FRAMES_PER_STREET: Final = 24
MIXTURE: Final = {"studio": 0.1, "street": 0.45, "night": 0.25, "crowd": 0.2}
"""Share of each difficulty among the training streets."""
STEEPEST_YAW: Final = 75.0
MOST_HIDDEN: Final = 0.6
STREAMS: Final = {Population.TRAINING: 0, Population.VALIDATION: 1 << 16}
"""Added to the seed of the streets of a population, so that no two share places, weather or light."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One frame: JPEG bytes, boxes float32[N, 4], landmarks float32[N, 5, 2], and which faces must be found.

    The farthest face comes first.

    A face that need not be found (in profile or mostly hidden) is neither a target nor background.
    """

    jpeg: bytes
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    wanted: NDArray[np.bool_]


def _scene(image: NDArray[np.uint8], faces: Sequence[FaceTruth], quality: int) -> Scene:
    """Return a frame with its truth as arrays."""
    return Scene(
        jpeg=encode(image, quality),
        boxes=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
        landmarks=np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2),
        wanted=np.array([abs(face.yaw) <= STEEPEST_YAW and face.occlusion <= MOST_HIDDEN for face in faces], bool),
    )


def _street_scenes(task: tuple[Population, int, int]) -> list[Scene]:
    """Render frames of one street; runs in a worker process."""
    strangers, first, index = task
    seed = first + STREAMS[strangers]
    rng = generator(Purpose.TRAINING, seed, 1 << 33, index)
    difficulty = str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))
    spec = StreetSpec(
        seed=(1 << 40) + (seed << 20) + index,
        camera=f"{strangers.name.lower()}/{index}",
        fps=FRAMES_PER_STREET / 36.0,
        density=float(rng.uniform(8, 60)),
        difficulty=difficulty,
        strangers=strangers,
    )
    street = Street(spec)
    return [
        _scene(street.render(index), street.truth(index).faces, int(rng.integers(*spec.place.jpeg_quality)))
        for index in range(street.frames_per_loop)
    ]


def render_scenes(
    strangers: Population, streets: int, seed: int, processes: int, progress: Callable[[int, int], None]
) -> list[Scene]:
    """Render the frames of many streets of people of a population."""
    scenes: list[Scene] = []
    with rendering_pool(processes) as pool:
        for done, part in enumerate(pool.map(_street_scenes, [(strangers, seed, i) for i in range(streets)])):
            scenes += part
            progress(done + 1, streets)
    return scenes
