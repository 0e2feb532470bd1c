"""Training pictures of single faces, kept as the JPEG bytes that a camera would have sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.faces import CROP_LANDMARKS, enrolment_views, head
from pipeline.synthetic.identities import identity
from pipeline.synthetic.looks import look
from pipeline.synthetic.seeds import Purpose, generator
from pipeline.synthetic.views import single_view
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.training.rendering import rendering_pool
from pipeline.vision.trials import encode

LOOKS: Final = 3
VIEWS_PER_LOOK: Final = 2
VIEWS: Final = 1 + LOOKS * VIEWS_PER_LOOK
"""Pictures of each person: one as for enrolment, the others as cameras of all kinds of places see them."""
CHUNK: Final = 40
BACKDROPS: Final = 6
MIXTURE: Final = {"studio": 0.15, "street": 0.45, "night": 0.2, "crowd": 0.2}
"""Share of each difficulty among the looks of the training pictures."""


@dataclass(frozen=True)
class Patches:
    """JPEG pictures of faces: bytes uint8[B] cut at ends int64[M], landmarks float32[M, 5, 2], labels int64[M]."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    labels: NDArray[np.int64]

    def crop(self, index: int, jitter: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return one picture, aligned at its landmarks moved by `jitter`, float32[5, 2] in pixels."""
        start = int(self.ends[index - 1]) if index else 0
        image = decode_jpeg(self.data[start : int(self.ends[index])].tobytes())
        crop: NDArray[np.uint8] = align(image, (self.landmarks[index] + jitter)[None])[0]
        return crop

    def jittered_crop(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return one picture, aligned with an error like the detector's: shift, turn, scale, and each point's own."""
        points = self.landmarks[index]
        size = float(np.linalg.norm(points[:2].mean(axis=0) - points[3:].mean(axis=0)))
        centre = points.mean(axis=0)
        turn = np.exp(complex(rng.normal(0.0, 0.06), rng.normal(0.0, 0.05)))
        matrix = np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])
        moved = centre + (points - centre) @ matrix + rng.normal(0.0, 0.06 * size, 2)
        moved += rng.normal(0.0, 0.3 + 0.045 * size, (5, 2))
        return self.crop(index, (moved - points).astype(np.float32))


def _encoded(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return the JPEG of an image, uint8[B]."""
    return np.frombuffer(encode(image, quality), np.uint8)


def _render(task: tuple[int, Sequence[int], int]) -> Patches:
    """Render all pictures of a few people; runs in a worker process."""
    seed, people, first_label = task
    rng = generator(Purpose.TRAINING, seed, first_label)
    scenes = [backdrop(generator(Purpose.TRAINING, seed, 1 << 32, k), 480, 854) for k in range(BACKDROPS)]
    data, landmarks, labels = [], [], []
    for offset, person_seed in enumerate(people):
        person = identity(person_seed)
        data.append(_encoded(enrolment_views(person, 1)[0], 95))
        landmarks.append(np.array(CROP_LANDMARKS, np.float32))
        for _ in range(LOOKS):
            place = DIFFICULTIES[str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))]
            subject = head(person, look(person, rng, place))
            for _ in range(VIEWS_PER_LOOK):
                image, points = single_view(subject, rng, scenes, place)
                data.append(_encoded(image, int(rng.integers(*place.jpeg_quality))))
                landmarks.append(points)
        labels += [first_label + offset] * VIEWS
    return Patches(
        np.concatenate(data), np.cumsum([len(d) for d in data]), np.stack(landmarks), np.array(labels, np.int64)
    )


def render_patches(
    people: Sequence[int], seed: int, processes: int, progress: Callable[[str, int, int], None]
) -> Patches:
    """Render `VIEWS` pictures of each person; the result depends on people and seed, not on the processes."""
    tasks = [(seed, people[i : i + CHUNK], i) for i in range(0, len(people), CHUNK)]
    parts: list[Patches] = []
    with rendering_pool(processes) as pool:
        for part in pool.map(_render, tasks):
            parts.append(part)
            progress("render", min(len(parts) * CHUNK, len(people)), len(people))
    sizes = np.cumsum([0, *(int(part.ends[-1]) for part in parts)])
    return Patches(
        data=np.concatenate([part.data for part in parts]),
        ends=np.concatenate([part.ends + size for part, size in zip(parts, sizes[:-1], strict=True)]),
        landmarks=np.concatenate([part.landmarks for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )


def load_or_render(
    path: Path, people: Sequence[int], seed: int, processes: int, progress: Callable[[str, int, int], None]
) -> Patches:
    """Return the patches of a file; if it is not there or damaged they are rendered and written first."""
    kept = _kept(path, len(people))
    if kept is not None:
        return kept
    made = render_patches(people, seed, processes, progress)
    part = path.with_suffix(".part.npz")
    np.savez(part, data=made.data, ends=made.ends, landmarks=made.landmarks, labels=made.labels)
    part.replace(path)
    return made


def _kept(path: Path, people: int) -> Patches | None:
    """The patches of a file; None if it is not there, damaged, or of another number of people."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            patches = Patches(stored["data"], stored["ends"], stored["landmarks"], stored["labels"])
    except (FileNotFoundError, BadZipFile, EOFError, KeyError, ValueError):
        return None
    return patches if len(patches.labels) == len(patches.ends) == people * VIEWS else None
