"""The skin map: a texture painted over the grid of azimuth and elevation for one person and one look."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled, inlined
from pipeline.synthetic.geometry import azimuth, blend, bump, elevation, hair_cover, level
from pipeline.synthetic.identities import Identity, Shape, skin_colour
from pipeline.synthetic.looks import Look, Style
from pipeline.synthetic.strokes import FADED, FADED_STEEP, mix, scale
from pipeline.synthetic.worn import paint_glasses, paint_scarf, paint_top

TEXTURE_ROWS: Final = 144
TEXTURE_COLUMNS: Final = 176
SPECKLE_SIZE: Final = 64
PIGMENT_STRENGTH: Final = 0.085
PIGMENT_TOP, PIGMENT_BOTTOM, PIGMENT_SIDE = 0.75, -1.3, 0.85


@compiled()
def field(grid: NDArray[np.float64], row: float, column: float) -> float:
    """Sample a coarse grid with smooth interpolation; outside it the edge goes on."""
    row = min(grid.shape[0] - 1.001, max(0.0, row))
    column = min(grid.shape[1] - 1.001, max(0.0, column))
    i, j = int(row), int(column)
    p, q = blend(row - i, 0.0, 1.0), blend(column - j, 0.0, 1.0)
    top = grid[i, j] * (1 - q) + grid[i, j + 1] * q
    bottom = grid[i + 1, j] * (1 - q) + grid[i + 1, j + 1] * q
    return float(top * (1 - p) + bottom * p)


@inlined
def paint_complexion(  # noqa: PLR0917  # compiled code is called by position
    colour: NDArray[np.float64],
    x: float,
    y: float,
    s: Shape,
    flush: float,
    pigment: NDArray[np.float64],
    moles: NDArray[np.float64],
    speckle: float,
) -> None:
    """Pigment, redness, freckles, moles, folds and shade of the skin."""
    side = abs(x)
    row = (PIGMENT_TOP - y) / (PIGMENT_TOP - PIGMENT_BOTTOM) * (pigment.shape[0] - 1)
    column = (x + PIGMENT_SIDE) / (2 * PIGMENT_SIDE) * (pigment.shape[1] - 1)
    dark = 1.0 - PIGMENT_STRENGTH * field(pigment, row, column) + 0.05 * (speckle - 0.5)
    if speckle > 0.8:
        dark -= 0.35 * s.freckles * bump(side - 0.35, y + 0.3, 0.4, 0.22)
    red = flush * (bump(side - 0.5, y + 0.42, 0.22, 0.18) + 0.7 * bump(x, y - s.eye_y + s.nose_length, 0.14, 0.14))
    scale(colour, dark * (1 - 0.16 * red), dark * (1 - 0.18 * red), dark * (1 + 0.04 * red))
    for m in range(moles.shape[0]):
        dx, dy, reach = x - moles[m, 0], y - moles[m, 1], 2.0 * moles[m, 2]
        if abs(dx) > reach or abs(dy) > reach:
            continue
        distance = (dx**2 + dy**2) / moles[m, 2] ** 2
        if distance > 3.0:
            continue
        spot = moles[m, 3] * math.exp(-distance * distance)
        scale(colour, 1 - 0.8 * spot, 1 - 0.8 * spot, 1 - 0.65 * spot)
    shade = 0.25 * s.socket_depth / 0.1 * bump(side - s.eye_spacing + 0.1, y - s.eye_y - 0.08, 0.17, 0.07)
    shade += 0.22 * s.eye_bags * bump(side - s.eye_spacing + 0.02, y - s.eye_y + 0.13, 0.14, 0.035)
    tip_y = s.eye_y - s.nose_length
    shade += 0.2 * bump(side - s.nose_width, y - tip_y + 0.02, 0.035, 0.09)
    shade += 0.55 * s.nostrils * bump(side - s.nose_width * 0.5, y - tip_y + 0.105, 0.055, 0.028)
    shade += 0.16 * bump(x, y - s.mouth_y + 0.05 + s.lower_lip + 0.06, 0.2, 0.035)
    fold = s.nose_width + 0.04 + (s.mouth_width + 0.05 - s.nose_width) * blend(tip_y - y, 0.0, tip_y - s.mouth_y)
    if s.mouth_y - 0.1 < y < tip_y + 0.06:
        shade += 0.3 * s.nasolabial_fold * math.exp(-(((side - fold) / 0.035) ** 2))
    if y > 0.36 and side < 0.55:
        lines = math.exp(-(((y - 0.45) / 0.018) ** 2)) + math.exp(-(((y - 0.56) / 0.018) ** 2))
        shade += 0.2 * s.forehead_lines * lines * (1 - blend(side, 0.3, 0.55))
    shade = min(0.8, shade)
    scale(colour, 1 - shade, 1 - 0.95 * shade, 1 - 0.85 * shade)


@inlined
def paint_mouth(colour: NDArray[np.float64], x: float, y: float, s: Shape, lip: NDArray[np.float64]) -> None:
    """Lips with a bow and a dark line between them."""
    side = abs(x) / s.mouth_width
    if side > 1.15:
        return
    line = s.mouth_y + s.lip_corner * side * side
    if abs(y - line) > FADED * 0.014 + max(s.upper_lip + abs(s.lip_bow), s.lower_lip):
        return
    taper = max(0.0, 1.0 - side**2.2)
    bow = s.lip_bow * (math.exp(-(((side - 0.3) / 0.2) ** 2)) - 0.7 * math.exp(-((side / 0.14) ** 2)))
    top = line + (s.upper_lip + bow) * taper
    bottom = line - s.lower_lip * max(0.0, 1.0 - side**2.8)
    inside = blend(y, bottom - 0.012, bottom + 0.012) * (1 - blend(y, top - 0.012, top + 0.012))
    mix(colour, lip, inside * 0.9)
    gap = 0.75 * math.exp(-(((y - line) / 0.014) ** 2)) * (1 - blend(side, 0.95, 1.12))
    scale(colour, 1 - gap, 1 - gap, 1 - 0.9 * gap)


@inlined
def paint_eye(  # noqa: PLR0917  # compiled code is called by position
    colour: NDArray[np.float64], x: float, y: float, s: Shape, w: Style, iris: NDArray[np.float64]
) -> None:
    """White, iris, pupil, lash line and lid fold of the eye on this side."""
    dx, dy = abs(x) - s.eye_spacing, y - s.eye_y
    across = dx / s.eye_width
    if abs(across) > 1.3 or abs(dy) > 0.24:
        return
    dy -= s.eye_tilt * dx
    arch = max(0.0, 1.0 - across * across)
    open_height = s.eye_height * (1.0 - 0.75 * w.eye_closure)
    top, bottom = open_height * arch, -0.62 * s.eye_height * arch
    inside = blend(dy, bottom - 0.008, bottom + 0.012) * (1 - blend(dy, top - 0.012, top + 0.008))
    inside *= 1 - blend(abs(across), 0.95, 1.0)
    if inside > 0:
        distance = math.sqrt(dx * dx + (dy - 0.005) ** 2)
        white = np.array([0.82, 0.84, 0.86])
        mix(white, iris, 1 - blend(distance, 0.06, 0.075))
        mix(white, np.array([0.02, 0.02, 0.02]), 1 - blend(distance, 0.026, 0.038))
        lid_shadow = 1 - 0.35 * blend(dy, top - 0.05, top)
        scale(white, lid_shadow, lid_shadow, lid_shadow)
        mix(colour, white, inside)
    lash = 0.8 * math.exp(-(((dy - top) / 0.016) ** 2)) * (1 - blend(abs(across), 0.95, 1.15))
    lash += 0.25 * math.exp(-(((dy - bottom) / 0.012) ** 2)) * (1 - blend(abs(across), 0.9, 1.1))
    fold = 0.35 * s.lid_fold * math.exp(-(((dy - top - 0.05) / 0.014) ** 2)) * (1 - blend(abs(across), 0.8, 1.2))
    dark = min(0.9, lash + fold)
    scale(colour, 1 - dark, 1 - dark, 1 - dark)


@inlined
def paint_brow(colour: NDArray[np.float64], x: float, y: float, s: Shape, hair: NDArray[np.float64], n: float) -> None:  # noqa: PLR0917  # compiled code is called by position
    """The eyebrow on this side."""
    t = (abs(x) - s.eye_spacing + 0.02) / s.brow_length
    if abs(t) > 1.2:
        return
    centre = s.brow_y + s.brow_arch * (1 - (t - 0.25) ** 2 * 1.4) + s.brow_tilt * t * s.brow_length
    thick = s.brow_thickness * (1 - 0.55 * blend(t, 0.0, 1.1))
    if abs(y - centre) > FADED_STEEP * thick:
        return
    cover = math.exp(-(((y - centre) / thick) ** 4)) * (1 - blend(abs(t), 0.85, 1.15))
    mix(colour, hair, min(1.0, cover * s.brow_density * (0.75 + 0.4 * n)), 0.8)


@inlined
def paint_beard(  # noqa: PLR0917  # compiled code is called by position
    colour: NDArray[np.float64], x: float, y: float, a: float, s: Shape, w: Style, hair: NDArray[np.float64], n: float
) -> None:
    """Beard on jaw and chin, moustache above the lip."""
    side = abs(x)
    edge = s.mouth_y + 0.02 + 0.75 * max(0.0, side - s.mouth_width - 0.02)
    jaw = 1 - blend(y, edge - 0.06, edge + 0.08)
    above = y - s.mouth_y - s.upper_lip
    if jaw == 0.0 and abs(above - 0.05) > FADED * 0.05:
        return
    jaw *= 1 - 0.9 * bump(x, y - s.mouth_y + 0.02, s.mouth_width * 1.02, 0.1)
    jaw *= 1 - blend(abs(a), 1.5, 1.75)
    moustache = math.exp(-(((above - 0.05) / 0.05) ** 2)) * (1 - blend(side, s.mouth_width * 0.85, s.mouth_width * 1.1))
    cover = max(jaw * w.beard, moustache * w.moustache)
    mix(colour, hair, min(0.95, cover * (0.7 + 0.4 * n)), 0.9)


@inlined
def strand_speckle(speckle: NDArray[np.float64], i: int, j: int, w: Style) -> float:
    """The grain of hair at a texel: long down the strand, short across it."""
    across = (j * 2 + int(6 * w.hair_wave * i)) % SPECKLE_SIZE
    return float(speckle[(i // 5) % SPECKLE_SIZE, across])


@compiled()
def paint(  # noqa: PLR0917  # compiled code is called by position
    s: Shape,
    w: Style,
    skin: NDArray[np.float64],
    flush: float,
    hair: NDArray[np.float64],
    brow: NDArray[np.float64],
    iris: NDArray[np.float64],
    cap: NDArray[np.float64],
    scarf: NDArray[np.float64],
    rim: NDArray[np.float64],
    pigment: NDArray[np.float64],
    moles: NDArray[np.float64],
    speckle: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the texture, float32[TEXTURE_ROWS, TEXTURE_COLUMNS, 3] BGR in linear light, 0 … 1."""
    out = np.empty((TEXTURE_ROWS, TEXTURE_COLUMNS, 3), np.float32)
    lip = skin * np.array([1 - 0.45 * s.lip_red, 1 - 0.5 * s.lip_red, 1 - 0.12 * s.lip_red])
    colour = np.empty(3)
    turns = np.array([azimuth(2.0 * j / (TEXTURE_COLUMNS - 1) - 1.0) for j in range(TEXTURE_COLUMNS)])
    sines = np.sin(turns)
    for i in range(TEXTURE_ROWS):
        y, reach = level(elevation(i / (TEXTURE_ROWS - 1)), s)
        for j in range(TEXTURE_COLUMNS):
            a, x = turns[j], reach * sines[j]
            n = speckle[i % SPECKLE_SIZE, j % SPECKLE_SIZE]
            for c in range(3):
                colour[c] = skin[c]
            cover = hair_cover(x, y, a, s, w, 0.12)
            if cover < 1.0:
                if abs(a) < 1.7:
                    paint_complexion(colour, x, y, s, flush, pigment, moles, n)
                if abs(a) < 1.5:
                    paint_mouth(colour, x, y, s, lip)
                    paint_eye(colour, x, y, s, w, iris)
                    paint_brow(colour, x, y, s, brow, n)
                if w.beard > 0.02 and y < s.mouth_y + 0.5:
                    paint_beard(colour, x, y, a, s, w, brow, n)
            if cover > 0:
                paint_top(colour, y, a, w, hair, cap, cover, n, strand_speckle(speckle, i, j, w))
            if w.scarf > 0 and y < 0.0:
                paint_scarf(colour, x, y, s, scarf, n)
            if w.glasses > 0 and abs(a) < 1.8:
                paint_glasses(colour, x, y, a, s, w, rim)
            for c in range(3):
                value = min(1.0, max(0.0, colour[c]))
                out[i, j, c] = value * value
    return out


def todays_skin(person: Identity, look: Look) -> NDArray[np.float64]:
    """Return the BGR colour of a person's skin on a day, float64[3] in 0 … 1."""
    # The darkest tones are lifted a little: a camera's exposure keeps a face from clipping to black.
    skin: NDArray[np.float64] = np.clip(0.08 + 0.9 * skin_colour(person.tone + look.tone_shift), 0.0, 1.0)
    return skin


def face_texture(person: Identity, look: Look) -> NDArray[np.float32]:
    """Return the texture of a person's head on a day, float32[rows, columns, 3] BGR in linear light, 0 … 1."""
    speckle = np.random.Generator(np.random.Philox(person.speckle_seed)).random((SPECKLE_SIZE, SPECKLE_SIZE))
    return paint(
        person.shape,
        look.style,
        todays_skin(person, look),
        max(0.0, person.shape.flush + look.flush_shift),
        look.hair_colour,
        person.hair_colour,
        person.iris,
        look.cap_colour,
        look.scarf_colour,
        look.rim_colour,
        person.pigment,
        person.moles,
        speckle,
    )
