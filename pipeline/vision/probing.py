"""Probes: what detector and embedder make of single faces, and of everybody who passes along a street."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import Difficulty
from pipeline.ports import Detector, Embedder
from pipeline.records import Detections
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.cohorts import Cohorts, cohorts, cohorts_of_street
from pipeline.synthetic.faces import CROP_SIZE, head
from pipeline.synthetic.identities import identity
from pipeline.synthetic.looks import Look, look
from pipeline.synthetic.passes import StreetSpec
from pipeline.synthetic.seeds import Purpose, generator, text_key
from pipeline.synthetic.street import Street, walk_of
from pipeline.synthetic.views import single_view
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.trials import Stopwatch, encode, watch

FRAME_HEIGHT: Final = 720
FRAME_WIDTH: Final = 1280
BACKDROPS: Final = 4
BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class Probes:
    """Faces that were found, by pass; a pass without any is a failure to acquire.

    `templates` is float32[F, d] and `passage` int64[F], the pass of each; `people` is int64[S], the identity seed of
    each pass, and `cohorts` has S. A single picture is a pass of one frame.
    """

    templates: NDArray[np.float32]
    passage: NDArray[np.int64]
    people: NDArray[np.int64]
    cohorts: tuple[Cohorts, ...]

    def __len__(self) -> int:
        """How many passes."""
        return len(self.people)


@dataclass(frozen=True, slots=True)
class StreetProbes:
    """One loop of a street: listed people within working distance, all others, and what was on no face.

    `on_no_face` is float32[B, d]. `beyond` counts passes of listed people who never came within working distance; they
    are in neither kind of search.
    """

    mated: Probes
    non_mated: Probes
    on_no_face: NDArray[np.float32]
    beyond: int
    frames: int


def together(parts: Sequence[Probes]) -> Probes:
    """Return several sets of probes as one; passes are numbered on. Raises ValueError without a set."""
    if not parts:
        raise ValueError("no probes to put together")
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return Probes(
        np.concatenate([part.templates for part in parts]),
        np.concatenate([part.passage + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([part.people for part in parts]),
        tuple(each for part in parts for each in part.cohorts),
    )


def probe_faces(
    people: Sequence[tuple[int, int]], place: Difficulty, seed: int, detector: Detector, embedder: Embedder
) -> Probes:
    """Look at single pictures of people, (identity seed, number of the picture), as a camera of a place sees them."""
    crops, passages, labels = [], [], []
    for first in range(0, len(people), BATCH):
        frames, centres = [], []
        for person, number in people[first : first + BATCH]:
            rng = generator(Purpose.VIEW, seed, text_key(place.name), person, number)
            appearance = look(identity(person), rng, place)
            frame, centre = picture(person, appearance, rng, place, seed)
            quality = int(rng.integers(place.jpeg_quality[0], place.jpeg_quality[1] + 1))
            frames.append(decode_jpeg(encode(frame, quality)))
            centres.append(centre)
            labels.append(cohorts(identity(person), appearance))
        for offset, (frame, found) in enumerate(zip(frames, detector.detect(frames), strict=True)):
            chosen = _on(found, centres[offset])
            if chosen is not None:
                crops.append(align(frame, found.landmarks[chosen : chosen + 1]))
                passages.append(first + offset)
    return Probes(
        embedder.embed(np.concatenate([np.empty((0, CROP_SIZE, CROP_SIZE, 3), np.uint8), *crops])),
        np.array(passages, np.int64),
        np.array([person for person, _ in people], np.int64),
        tuple(labels),
    )


def picture(
    person: int, appearance: Look, rng: np.random.Generator, place: Difficulty, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a frame uint8[720, 1280, 3] with one face in it, and the middle of the face, float32[2] in pixels.

    A frame as large as a camera's, so that the detector sees the face at the scale that it has on a street.
    """
    scenes = _scenes(seed)
    patch, landmarks = single_view(head(identity(person), appearance), rng, scenes, place)
    frame = scenes[int(rng.integers(len(scenes)))].copy()
    side = len(patch)
    top, left = int(rng.integers(FRAME_HEIGHT - side + 1)), int(rng.integers(FRAME_WIDTH - side + 1))
    frame[top : top + side, left : left + side] = patch
    middle: NDArray[np.float32] = landmarks.mean(axis=0) + np.array([left, top], np.float32)
    return frame, middle


@lru_cache(maxsize=4)
def _scenes(seed: int) -> tuple[NDArray[np.uint8], ...]:
    """Return the backdrops of an evaluation's single pictures."""
    keys = [text_key(f"probing/{number}") for number in range(BACKDROPS)]
    return tuple(backdrop(generator(Purpose.BACKDROP, seed, key), FRAME_HEIGHT, FRAME_WIDTH) for key in keys)


def _on(found: Detections, centre: NDArray[np.float32]) -> int | None:
    """Return the best detection whose box holds the middle of the true face, None if the face was not found."""
    inside = (found.boxes[:, :2] <= centre).all(axis=1) & (centre <= found.boxes[:, 2:]).all(axis=1)
    return int(inside.argmax()) if inside.any() else None


def probe_street(spec: StreetSpec, quality: int, detector: Detector, embedder: Embedder) -> StreetProbes:
    """Watch one loop of a street through JPEG of a quality, and sort the faces by pass and truth."""
    trial = watch(Street(spec), detector, embedder, Stopwatch(), quality=quality)
    labels = cohorts_of_street(spec)
    walks = np.array([-1 if truth is None else walk_of(truth.pass_id) for truth in trial.truths], np.int64)
    mated, others, beyond = [], [], 0
    for each in trial.passes:
        if not each.listed:
            others.append((walk_of(each.pass_id), each.identity))
        elif each.within_working_distance:
            mated.append((walk_of(each.pass_id), each.identity))
        else:
            beyond += 1
    return StreetProbes(
        _of(mated, walks, trial.templates, labels),
        _of(others, walks, trial.templates, labels),
        trial.templates[walks < 0],
        beyond,
        trial.frames,
    )


def _of(
    passes: list[tuple[int, int]],
    walks: NDArray[np.int64],
    templates: NDArray[np.float32],
    labels: dict[int, Cohorts],
) -> Probes:
    """Return the probes of some passes, (walk, identity seed), out of all faces of a street."""
    numbers = {walk: number for number, (walk, _) in enumerate(passes)}
    rows = np.array([row for row, walk in enumerate(walks) if int(walk) in numbers], np.int64)
    return Probes(
        templates[rows],
        np.array([numbers[int(walk)] for walk in walks[rows]], np.int64),
        np.array([person for _, person in passes], np.int64),
        tuple(labels[walk] for walk, _ in passes),
    )
