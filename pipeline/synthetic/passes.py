"""Who walks past a camera, when and where: the plan that pictures and ground truth are both made from.

The rule of planting: a person appears at most once in a loop on one camera, every pass lies inside the loop, lasts
less than the cool-down, and the loop is longer than the cool-down; so passes of one person at one camera always start
more than a cool-down apart, and one pass is one alert.
"""

import math
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from pipeline.catalog.difficulties import DIFFICULTIES, Difficulty
from pipeline.errors import SettingsError
from pipeline.synthetic.backdrop import HORIZON
from pipeline.synthetic.faces import Pose
from pipeline.synthetic.seeds import POPULATION_SIZE, Population, Purpose, generator, person_seed, text_key

COOLDOWN_SECONDS: Final = 30.0
UNIT_METRES: Final = 0.09
FOCAL_HEIGHTS: Final = 1.9
"""Focal length as a multiple of the frame's height."""
FAR_METRES: Final = 15.0


class StreetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one camera looks at. `listed` holds identity seeds on the watchlist; `listed_share` of the passes are by
    them (a person passes once in a loop, so a short list gives fewer); `density` is in people per minute, None for that
    of the difficulty, which is one of `pipeline.catalog.difficulties`."""

    seed: int
    camera: str
    width: int = 1280
    height: int = 720
    fps: float = 2.0
    loop_seconds: float = 36.0
    listed: tuple[int, ...] = ()
    listed_share: float = 0.2
    density: float | None = None
    difficulty: str = "street"
    strangers: Population = Population.PASSERS_BY
    """The population that people who are not listed come from."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a street; raises SettingsError."""
        if self.width < 64 or self.height < 64:
            raise SettingsError(f"a street of {self.width}x{self.height} pixels is too small: use at least 64x64")
        if self.fps <= 0:
            raise SettingsError(f"fps is {self.fps}: use a rate above 0")
        if self.loop_seconds <= COOLDOWN_SECONDS:
            raise SettingsError(
                f"loop_seconds is {self.loop_seconds}: use more than the cool-down of {COOLDOWN_SECONDS:g} s, "
                "or two passes of one person would be one alert"
            )
        if not 0.0 <= self.listed_share <= 1.0:
            raise SettingsError(f"listed_share is {self.listed_share}: use a share between 0 and 1")
        if self.density is not None and self.density < 0:
            raise SettingsError(f"density is {self.density}: use 0 or more people per minute")
        if self.difficulty not in DIFFICULTIES:
            raise SettingsError(f"difficulty is {self.difficulty!r}: use one of {', '.join(DIFFICULTIES)}")

    @property
    def place(self) -> Difficulty:
        """The nuisances of the place."""
        return DIFFICULTIES[self.difficulty]


@dataclass(frozen=True, slots=True)
class Walk:
    """One person's way through the scene; times in seconds from the start of the loop, lengths in metres."""

    index: int
    identity: int
    listed: bool
    start: float
    seconds: float
    depth_from: float
    depth_to: float
    side_from: float
    side_to: float
    tallness: float
    body_yaw: float
    glance: float
    glance_rate: float
    glance_phase: float
    nod: float
    lean: float
    step_rate: float
    mount: float
    """Height of the camera."""
    hand_side: float
    """-1 or 1: a hand goes to that cheek between the shares `hand_from` and `hand_to` of the way; 0: it does not."""
    hand_from: float
    hand_to: float

    def pose(self, time: float, width: int, height: int) -> Pose:
        """Return the head's pose at a time of the loop, as the camera sees it."""
        progress = (time - self.start) / self.seconds
        depth = self.depth_from + (self.depth_to - self.depth_from) * progress
        stride = self.stride(time)
        side = self.side_from + (self.side_to - self.side_from) * progress + 0.02 * math.sin(stride / 2)
        eyes = self.tallness - 0.11 + 0.018 * math.cos(stride)
        focal = FOCAL_HEIGHTS * height
        glance = self.glance * math.sin(self.glance_rate * (time - self.start) + self.glance_phase)
        return Pose(
            yaw=self.body_yaw + glance - math.degrees(math.atan2(side, depth)) * 0.8,
            pitch=math.degrees(math.atan2(self.mount - eyes, depth)) + self.nod * math.sin(0.9 * time + self.start),
            roll=self.lean * math.sin(stride / 2),
            x=width / 2 + focal * side / depth,
            y=HORIZON * height + focal * (self.mount - eyes) / depth,
            unit=focal * UNIT_METRES / depth,
        )

    def stride(self, time: float) -> float:
        """Return the phase of the walk in radians."""
        return self.step_rate * (time - self.start)

    def hand(self, time: float) -> float:
        """Return the side of the cheek that a hand is held to, -1 or 1, or 0."""
        progress = (time - self.start) / self.seconds
        return self.hand_side if self.hand_from <= progress < self.hand_to else 0.0

    def depth(self, time: float) -> float:
        """Return the distance from the camera in metres."""
        return self.depth_from + (self.depth_to - self.depth_from) * (time - self.start) / self.seconds

    def present(self, time: float) -> bool:
        """Whether the person is in the scene at a time of the loop."""
        return self.start <= time < self.start + self.seconds


def _walk(  # noqa: PLR0917  # the parts of one draw
    rng: np.random.Generator, index: int, person: int, listed: bool, spec: StreetSpec, mount: float
) -> Walk:
    """Draw a way: mostly towards the camera, some across, some away."""
    aspect = spec.width / spec.height
    kind = rng.random()
    reach = 0.5 * aspect / FOCAL_HEIGHTS
    if kind < 0.72:
        near, far = rng.uniform(2.5, 3.6), rng.uniform(9.0, FAR_METRES)
        depths, yaw = (far, near), float(rng.normal(0, 9))
        sides = (rng.uniform(-0.75, 0.75) * reach * min(far, 9.0), rng.uniform(-0.75, 0.75) * reach * near)
        speed = rng.uniform(0.95, 1.5)
    elif kind < 0.88:
        depth = rng.uniform(3.2, 8.0)
        direction = 1.0 if rng.random() < 0.5 else -1.0
        depths, yaw = (depth, depth + rng.uniform(-1.0, 1.0)), direction * rng.uniform(35, 85)
        edge = reach * depth + 0.35
        sides = (-direction * edge, direction * edge)
        speed = rng.uniform(0.7, 1.3)
    else:
        near, far = rng.uniform(2.8, 4.0), rng.uniform(9.0, FAR_METRES)
        depths, yaw = (near, far), 180.0 + float(rng.normal(0, 12))
        sides = (rng.uniform(-0.8, 0.8) * reach * near, rng.uniform(-0.7, 0.7) * reach * min(far, 9.0))
        speed = rng.uniform(0.95, 1.5)
    length = math.hypot(depths[1] - depths[0], sides[1] - sides[0])
    seconds = min(length / speed, 0.8 * COOLDOWN_SECONDS)
    raised = rng.random() < spec.place.hand
    hand_from = float(rng.uniform(0.0, 0.5))
    return Walk(
        index=index,
        identity=person,
        listed=listed,
        start=float(rng.uniform(0.0, spec.loop_seconds - seconds - 1.0 / spec.fps)),
        seconds=float(seconds),
        depth_from=float(depths[0]),
        depth_to=float(depths[1]),
        side_from=float(sides[0]),
        side_to=float(sides[1]),
        tallness=float(rng.normal(1.72, 0.08)),
        body_yaw=yaw,
        glance=float(abs(rng.normal(0, spec.place.glance_degrees))),
        glance_rate=float(rng.uniform(0.5, 1.6)),
        glance_phase=float(rng.uniform(0, 2 * math.pi)),
        nod=float(rng.uniform(0, 6)),
        lean=float(rng.uniform(0, 4)),
        step_rate=float(rng.uniform(8.5, 11.5)),
        mount=mount,
        hand_side=float(rng.choice([-1.0, 1.0])) if raised else 0.0,
        hand_from=hand_from,
        hand_to=hand_from + float(rng.uniform(0.3, 0.6)),
    )


def plan(spec: StreetSpec) -> tuple[Walk, ...]:
    """Return the walks of one loop of a street, in the order of their index."""
    rng = generator(Purpose.PASSES, spec.seed, text_key(spec.camera))
    density = spec.place.density if spec.density is None else spec.density
    count = int(rng.poisson(density * spec.loop_seconds / 60.0)) if density > 0 else 0
    mount = float(rng.uniform(*spec.place.mount_metres))
    waiting = list(rng.permutation(np.array(spec.listed, dtype=np.int64))) if spec.listed else []
    walks = []
    seen: set[int] = set()
    for index in range(count):
        listed = bool(rng.random() < spec.listed_share) and bool(waiting)
        if listed:
            person = int(waiting.pop())
        else:
            person = person_seed(spec.strangers, int(rng.integers(POPULATION_SIZE)))
            while person in seen:
                person = person_seed(spec.strangers, int(rng.integers(POPULATION_SIZE)))
            seen.add(person)
        walks.append(_walk(rng, index, person, listed, spec, mount))
    return tuple(walks)
