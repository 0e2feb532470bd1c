"""A street as one camera sees it: pictures of a loop, and the ground truth of every frame of every round."""

import math
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.bodies import HAND_RADIUS, HAND_X, HAND_Y, Clothes, clothes, draw_body, draw_hand
from pipeline.synthetic.faces import Head, Pose, draw, head, project
from pipeline.synthetic.geometry import landmark_points, outline_points
from pipeline.synthetic.grain import add_grain
from pipeline.synthetic.identities import Identity, identity
from pipeline.synthetic.light import Light, own_light, place_light
from pipeline.synthetic.looks import Look, look
from pipeline.synthetic.passes import StreetSpec, Walk, plan
from pipeline.synthetic.seeds import Purpose, entry_id, generator, text_key
from pipeline.synthetic.weather import draw_rain, smear

__all__ = ["FaceTruth", "FrameTruth", "PlantedPass", "Street", "StreetSpec"]

VISIBLE_YAW: Final = 95.0
"""A head turned further than this, in degrees, shows no face."""
PASS_SAMPLES: Final = 5
SCARF_DROP: Final = 0.56
"""Head units from the head's origin down to the edge of a scarf over the mouth."""


class FaceTruth(msgspec.Struct, frozen=True):
    """One face in one frame: box xyxy and landmarks in pixels, yaw in degrees, occlusion as a share 0 … 1."""

    identity: int
    listed: bool
    entry: str
    pass_id: str
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    yaw: float
    occlusion: float
    height: float
    """Height of the box in pixels."""


class FrameTruth(msgspec.Struct, frozen=True):
    """All faces of one frame; heads that show no face, or lie mostly outside the picture, are not among them."""

    camera: str
    sequence: int
    faces: tuple[FaceTruth, ...]


class PlantedPass(msgspec.Struct, frozen=True):
    """One person's pass in one round: the first and last sequence with a face, the tallest face, the least |yaw|."""

    pass_id: str
    identity: int
    entry: str
    listed: bool
    first_sequence: int
    last_sequence: int
    largest_face: float
    least_yaw: float
    within_working_distance: bool
    """Whether some frame of it has a face of 40 px and more within 30° of yaw, at most a quarter hidden."""


def walk_of(pass_id: str) -> int:
    """Return the index of the walk that a pass is of: the end of its id."""
    return int(pass_id.rsplit("/", 1)[1])


def appearance(walk: Walk, spec: StreetSpec) -> tuple[Identity, Look, np.random.Generator]:
    """Return who walks, how they look today, and the walker's own stream, from which the rest of them is drawn."""
    rng = generator(Purpose.LOOK, spec.seed, text_key(spec.camera), walk.index)
    person = identity(walk.identity)
    return person, look(person, rng, spec.place), rng


class _Walker:
    """A walk with the person's appearance; the picture part is built when it is first drawn."""

    def __init__(self, walk: Walk, spec: StreetSpec, street_light: Light) -> None:
        self.walk = walk
        self.person, self.look, rng = appearance(walk, spec)
        self.clothes: Clothes = clothes(rng)
        self.light = own_light(rng, street_light, spec.place)
        self.landmarks = landmark_points(self.person.shape, self.look.style)
        self.outline = outline_points(self.person.shape, self.look.style)

    @cached_property
    def head(self) -> Head:
        """The drawable head."""
        return head(self.person, self.look)


class Street:
    """A looping street scene, a function of its spec alone.

    Pictures repeat after `frames_per_loop`; sequence numbers go on, and each round of the loop is a set of new passes.
    """

    def __init__(self, spec: StreetSpec) -> None:
        self.spec = spec
        self.frames_per_loop: int = max(1, round(spec.loop_seconds * spec.fps))
        self._rng_keys = (spec.seed, text_key(spec.camera))
        rng, place = generator(Purpose.BACKDROP, *self._rng_keys, 1), spec.place
        self._light = place_light(rng, place)
        self._shutter_seconds = float(rng.uniform(*place.shutter_ms)) / 1000.0
        self._noise = float(rng.uniform(*place.noise))
        self._rain = float(rng.uniform(0.3, 1.0)) if rng.random() < place.rain else 0.0
        self._walkers = tuple(_Walker(walk, spec, self._light) for walk in plan(spec))
        self._truth_of_index: dict[int, tuple[FaceTruth, ...]] = {}

    @cached_property
    def _backdrop(self) -> NDArray[np.uint8]:
        picture = backdrop(generator(Purpose.BACKDROP, *self._rng_keys), self.spec.height, self.spec.width)
        gain = math.sqrt(self._light.level)
        lit: NDArray[np.uint8] = np.clip(picture * np.float32(gain), 0, 255).astype(np.uint8)
        return lit

    def _present(self, index: int) -> list[tuple[_Walker, Pose]]:
        """Return the walkers of a frame and their poses, the farthest first."""
        time = index / self.spec.fps
        here = [walker for walker in self._walkers if walker.walk.present(time)]
        here.sort(key=lambda walker: -walker.walk.depth(time))
        return [(walker, walker.walk.pose(time, self.spec.width, self.spec.height)) for walker in here]

    def render(self, index: int) -> NDArray[np.uint8]:
        """Return picture `index` of the loop, uint8[height, width, 3] BGR.

        Raises IndexError outside 0 … frames_per_loop - 1.
        """
        if not 0 <= index < self.frames_per_loop:
            raise IndexError(f"picture {index} is outside the loop of {self.frames_per_loop}")
        image: NDArray[np.uint8] = self._backdrop.copy()
        time = index / self.spec.fps
        for walker, pose in self._present(index):
            self._draw(image, walker, pose, time)
        if self._rain > 0.0:
            draw_rain(image, generator(Purpose.WEATHER, *self._rng_keys, index), self._rain, self._light.level)
        add_grain(image, index * 799_819 + self.spec.seed, self._noise)
        return image

    def _draw(self, image: NDArray[np.uint8], walker: _Walker, pose: Pose, time: float) -> None:
        """Draw one person, in place, smeared over the way of the head while the shutter is open."""
        brightness = min(1.2, math.sqrt(walker.light.level))
        draw_body(
            image,
            walker.clothes,
            x=pose.x,
            y=pose.y,
            unit=pose.unit,
            stride=walker.walk.stride(time),
            yaw=walker.walk.body_yaw,
            light=brightness,
        )
        draw(image, walker.head, pose, walker.light)
        if (side := walker.walk.hand(time)) != 0.0:
            draw_hand(image, pose.x, pose.y, pose.unit, side, walker.head.skin, walker.clothes.top, brightness)
        later = walker.walk.pose(time + self._shutter_seconds, self.spec.width, self.spec.height)
        reach = 1.6 * pose.unit
        left, top, right, bottom = pose.x - reach, pose.y - reach, pose.x + reach, pose.y + reach
        smear(image, int(left), int(top), int(right), int(bottom), later.x - pose.x, later.y - pose.y)

    def truth(self, sequence: int) -> FrameTruth:
        """Return the faces of frame `sequence` (from 0, beyond one loop it counts rounds)."""
        if sequence < 0:
            raise IndexError(f"sequence {sequence} is negative")
        round_, index = divmod(sequence, self.frames_per_loop)
        named = tuple(
            msgspec.structs.replace(face, pass_id=f"{self.spec.camera}/{round_}/{face.pass_id}")
            for face in self._faces(index)
        )
        return FrameTruth(self.spec.camera, sequence, named)

    def passes(self, first_sequence: int, last_sequence: int) -> list[PlantedPass]:
        """Return the passes with a face between two sequences (both inclusive), seen within those bounds only."""
        views: dict[str, list[tuple[int, FaceTruth]]] = {}
        for sequence in range(first_sequence, last_sequence + 1):
            for face in self.truth(sequence).faces:
                views.setdefault(face.pass_id, []).append((sequence, face))
        return [
            PlantedPass(
                pass_id=pass_id,
                identity=seen[0][1].identity,
                entry=seen[0][1].entry,
                listed=seen[0][1].listed,
                first_sequence=seen[0][0],
                last_sequence=seen[-1][0],
                largest_face=max(face.height for _, face in seen),
                least_yaw=min(abs(face.yaw) for _, face in seen),
                within_working_distance=any(within_working_distance(face) for _, face in seen),
            )
            for pass_id, seen in views.items()
        ]

    def turned_away(self, index: int) -> tuple[tuple[float, float, float, float], ...]:
        """Return the boxes, xyxy in pixels, of the heads of picture `index` that are not among its faces.

        They are turned too far, almost hidden, or lie mostly outside the picture: a detector may find them or not.
        """
        faces = {face.pass_id for face in self._faces(index)}
        return tuple(_box(walker, pose) for walker, pose in self._present(index) if str(walker.walk.index) not in faces)

    def _faces(self, index: int) -> tuple[FaceTruth, ...]:
        """Return the faces of picture `index`, found once; their pass ids are still the walk's index."""
        faces = self._truth_of_index.get(index)
        if faces is None:
            faces = self._truth_of_index[index] = self._found_faces(index)
        return faces

    def _found_faces(self, index: int) -> tuple[FaceTruth, ...]:
        here = self._present(index)
        faces = []
        for place, (walker, pose) in enumerate(here):
            yaw = (pose.yaw + 180.0) % 360.0 - 180.0
            left, top, right, bottom = _box(walker, pose)
            inside_x = min(right, self.spec.width) - max(left, 0.0)
            inside_y = min(bottom, self.spec.height) - max(top, 0.0)
            area = (right - left) * (bottom - top)
            if abs(yaw) > VISIBLE_YAW or min(inside_x, inside_y) <= 0 or inside_x * inside_y < 0.6 * area:
                continue
            nearer = [other for _, other in here[place + 1 :]]
            hidden = hidden_share(
                (left, top, right, bottom),
                pose,
                nearer,
                walker.walk.hand(index / self.spec.fps),
                walker.look.style.scarf,
            )
            if hidden > 0.9:
                continue
            points = project(walker.landmarks, pose)
            faces.append(
                FaceTruth(
                    identity=walker.walk.identity,
                    listed=walker.walk.listed,
                    entry=entry_id(walker.walk.identity) if walker.walk.listed else "",
                    pass_id=str(walker.walk.index),
                    box=(left, top, right, bottom),
                    landmarks=tuple((float(x), float(y)) for x, y in points),
                    yaw=yaw,
                    occlusion=max(hidden, 1.0 - inside_x * inside_y / area),
                    height=bottom - top,
                )
            )
        return tuple(faces)


def _box(walker: _Walker, pose: Pose) -> tuple[float, float, float, float]:
    """Return the box of a face, xyxy in pixels, from chin to the top of the forehead."""
    edge = project(walker.outline, pose)
    left, top, right, bottom = (float(v) for v in (*edge.min(axis=0), *edge.max(axis=0)))
    return left, top, right, bottom


def within_working_distance(face: FaceTruth) -> bool:
    """Whether a face is near and frontal enough to be recognised: 40 px, 30° of yaw, at most a quarter hidden."""
    return face.height >= 40.0 and abs(face.yaw) <= 30.0 and face.occlusion <= 0.25


def hidden_share(
    box: tuple[float, float, float, float], own: Pose, nearer: list[Pose], hand_side: float = 0.0, scarf: float = 0.0
) -> float:
    """Return the share of a face's box, 0 … 1, that nearer people's heads and torsos, a hand or a scarf cover."""
    steps = (np.arange(PASS_SAMPLES) + 0.5) / PASS_SAMPLES
    x, y = np.meshgrid(box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1]))
    right, down = (x - own.x) / own.unit, (y - own.y) / own.unit
    covered = np.full(x.shape, scarf > 0) & (down > SCARF_DROP)
    if hand_side:
        covered |= (right - hand_side * HAND_X) ** 2 + (down - HAND_Y) ** 2 < HAND_RADIUS**2
    for pose in nearer:
        right, down = (x - pose.x) / pose.unit, (y - pose.y) / pose.unit
        covered |= (right / 1.0) ** 2 + (down / 1.3) ** 2 < 1.0
        covered |= (np.abs(right) < 2.4) & (down > 2.0) & (down < 9.0)
        covered |= (np.abs(right) < 1.6) & (down >= 9.0) & (down < 17.0)
    return float(covered.mean())
