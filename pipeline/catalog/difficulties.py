"""How hard a place is for a camera: the distribution of everything that makes two pictures of one person differ."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Span = tuple[float, float]
"""The two ends of a uniform distribution."""

Illumination = Literal["studio", "daylight", "lamps"]


class Difficulty(msgspec.Struct, frozen=True, kw_only=True):
    """Nuisances of one kind of place; shares are of the people who pass, 0 … 1."""

    name: str
    purpose: str

    density: float
    """People per minute who enter a scene."""
    mount_metres: Span
    """Height of the camera."""

    glasses: float
    cap: float
    headscarf: float
    beard: float
    dyed: float
    """Whose hair has another colour than grows."""
    scarf: float
    """Who wears a scarf over mouth and chin."""
    hand: float
    """Who holds a hand to the face for a part of the pass."""
    expression: float
    """Strength of smiles, brows, eyelids and open mouths; 1 is lively."""

    glance_degrees: float
    """Standard deviation of how far a head turns from where its body goes."""
    turned: float
    """Share of single views that are turned further, by 35° (standard deviation)."""
    pitch_degrees: Span
    """Of single views; positive is seen from above. In a scene it follows from camera and distance."""
    unit_pixels: Span
    """Of single views: pixels for a head unit (9 cm), drawn evenly in its logarithm; a face is 1.9 units tall."""
    covered: float
    """Share of single views with somebody's shoulder before the face; in a scene it follows from the crowd."""

    illumination: Illumination
    exposure: Span
    """Mean and standard deviation of the logarithm of the light's strength, before the camera's exposure."""
    diffuse: Span
    """Share of the light that comes from everywhere."""
    warmth: Span
    """Mean and standard deviation of the light's shift from blue to red."""
    level: Span
    """Between these the camera's automatic exposure keeps the light on a surface that half faces it; white is 1."""
    shade: float
    """Standard deviation of the logarithm of a person's own shade."""

    shutter_ms: Span
    """Exposure time; whoever moves is smeared over their way in it."""
    noise: Span
    """Sensor noise ÷ 1.6 grey levels (standard deviation)."""
    rain: float
    """Share of scenes, and of single views, in which it rains."""
    jpeg_quality: tuple[int, int]


STUDIO: Final = Difficulty(
    name="studio",
    purpose="an upper bound: soft light from the front, near and still, nothing before the face",
    density=8.0,
    mount_metres=(1.75, 1.85),
    glasses=0.25, cap=0.0, headscarf=0.05, beard=0.3, dyed=0.1, scarf=0.0, hand=0.0, expression=0.5,
    glance_degrees=8.0, turned=0.0, pitch_degrees=(-8.0, 12.0), unit_pixels=(32.0, 60.0), covered=0.0,
    illumination="studio", exposure=(-0.22, 0.06), diffuse=(0.45, 0.55), warmth=(0.0, 0.02), level=(0.6, 1.0),
    shade=0.03,
    shutter_ms=(0.0, 2.0), noise=(0.5, 1.0), rain=0.0, jpeg_quality=(88, 95),
)  # fmt: skip

STREET: Final = Difficulty(
    name="street",
    purpose="a pavement between dawn and dusk, sun, shade and the odd shower",
    density=22.0,
    mount_metres=(2.2, 2.6),
    glasses=0.25, cap=0.1, headscarf=0.04, beard=0.3, dyed=0.1, scarf=0.02, hand=0.03, expression=1.0,
    glance_degrees=16.0, turned=0.3, pitch_degrees=(-6.0, 24.0), unit_pixels=(8.0, 52.0), covered=0.1,
    illumination="daylight", exposure=(-0.4, 0.26), diffuse=(0.3, 0.8), warmth=(0.0, 0.1), level=(0.64, 0.95),
    shade=0.18,
    shutter_ms=(0.5, 5.0), noise=(0.8, 1.4), rain=0.1, jpeg_quality=(80, 92),
)  # fmt: skip

NIGHT: Final = Difficulty(
    name="night",
    purpose="the same pavement under lamps: little light from above, a slow shutter and a noisy sensor",
    density=14.0,
    mount_metres=(2.2, 2.6),
    glasses=0.25, cap=0.14, headscarf=0.06, beard=0.3, dyed=0.1, scarf=0.06, hand=0.06, expression=1.0,
    glance_degrees=16.0, turned=0.3, pitch_degrees=(-6.0, 24.0), unit_pixels=(8.0, 52.0), covered=0.1,
    illumination="lamps", exposure=(-1.3, 0.3), diffuse=(0.15, 0.45), warmth=(0.14, 0.08), level=(0.28, 0.6),
    shade=0.3,
    shutter_ms=(12.0, 28.0), noise=(2.0, 3.6), rain=0.2, jpeg_quality=(72, 88),
)  # fmt: skip

CROWD: Final = Difficulty(
    name="crowd",
    purpose="an exit after a match: one behind the other, by day",
    density=110.0,
    mount_metres=(2.4, 2.8),
    glasses=0.25, cap=0.2, headscarf=0.06, beard=0.3, dyed=0.1, scarf=0.1, hand=0.08, expression=1.0,
    glance_degrees=20.0, turned=0.35, pitch_degrees=(-6.0, 28.0), unit_pixels=(8.0, 45.0), covered=0.35,
    illumination="daylight", exposure=(-0.4, 0.3), diffuse=(0.3, 0.8), warmth=(0.0, 0.1), level=(0.55, 0.95),
    shade=0.25,
    shutter_ms=(1.0, 8.0), noise=(0.8, 1.8), rain=0.12, jpeg_quality=(74, 90),
)  # fmt: skip

DIFFICULTIES: Final[Mapping[str, Difficulty]] = {each.name: each for each in (STUDIO, STREET, NIGHT, CROWD)}
"""By name, the easiest first."""
