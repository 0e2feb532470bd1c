"""The head as a mesh: a displaced ellipsoid over a fixed grid of azimuth and elevation, with ears and a neck.

The grid is the same for everybody, so triangles and texture coordinates are constants and only positions differ.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled, inlined
from pipeline.synthetic.identities import Shape
from pipeline.synthetic.looks import Style

ROWS: Final = 56
COLUMNS: Final = 64
EAR_ROWS: Final = 7
EAR_COLUMNS: Final = 7
NECK_ROWS: Final = 4
NECK_COLUMNS: Final = 20
HEAD_VERTICES: Final = ROWS * (COLUMNS + 1)
EAR_VERTICES: Final = EAR_ROWS * EAR_COLUMNS
VERTICES: Final = HEAD_VERTICES + 2 * EAR_VERTICES + NECK_ROWS * (NECK_COLUMNS + 1)
NOSE_START_Y: Final = 0.08


@compiled()
def azimuth(t: float) -> float:
    """Map -1 … 1 to -π … π, denser at the front."""
    return float(math.pi * t * (0.5 + 0.5 * abs(t) ** 1.5))


@compiled()
def elevation(t: float) -> float:
    """Map 0 … 1 to π/2 … -π/2."""
    return math.pi * (0.5 - t)


@compiled()
def bump(x: float, y: float, width: float, height: float) -> float:
    """Gaussian of two widths; 0 where it is below 1e-4."""
    square = (x * x) / (width * width) + (y * y) / (height * height)
    return math.exp(-square) if square < 9.2 else 0.0


@compiled()
def blend(value: float, low: float, high: float) -> float:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = min(1.0, max(0.0, (value - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


@compiled()
def half_width(y: float, s: Shape) -> float:
    """Half the width of the head before rounding, at height y."""
    if y > 0.35:
        return s.temple_width + (s.crown_width - s.temple_width) * blend(y, 0.35, 1.0)
    if y > -0.3:
        return s.cheek_width + (s.temple_width - s.cheek_width) * blend(y, -0.3, 0.35)
    if y > -0.8:
        return s.jaw_width + (s.cheek_width - s.jaw_width) * blend(y, -0.8, -0.3)
    return s.chin_width + (s.jaw_width - s.chin_width) * blend(y, -1.25, -0.8)


@compiled()
def level(e: float, s: Shape) -> tuple[float, float]:
    """Return the height of the smooth head at elevation e, and half its width there."""
    sine = math.sin(e)
    y = sine * (s.upper_height if sine > 0 else s.lower_height)
    return y, max(0.0, math.cos(e)) ** s.roundness * half_width(y, s)


@inlined
def face_point(a: float, e: float, s: Shape) -> tuple[float, float, float]:
    """Return x, y and z of the smooth head (no features) at azimuth a and elevation e."""
    sine = math.sin(e)
    y = sine * (s.upper_height if sine > 0 else s.lower_height)
    radius = max(0.0, math.cos(e)) ** s.roundness
    x = radius * half_width(y, s) * math.sin(a)
    cosine = math.cos(a)
    if cosine > 0:
        z = radius * s.front_depth * cosine**0.8
        z -= s.forehead_slope * max(0.0, y - 0.3) * cosine
    else:
        z = radius * s.back_depth * cosine
    return x, y, z


@inlined
def relief(x: float, y: float, s: Shape, w: Style) -> float:
    """Forward displacement by brow, sockets, nose, cheeks, mouth and chin at a frontal point."""
    side = abs(x)
    d = s.brow_ridge * bump(side - 0.33, y - s.brow_y + 0.02, 0.32, 0.1)
    d -= s.socket_depth * bump(side - s.eye_spacing, y - s.eye_y, 0.24, 0.14)
    d += 0.06 * bump(side - s.eye_spacing, y - s.eye_y, 0.14, 0.09)
    d += s.cheekbone * bump(side - 0.56, y - s.cheekbone_y, 0.2, 0.17)
    d += s.cheek_fullness * bump(side - 0.45, y + 0.62, 0.24, 0.25)
    d += s.chin_projection * bump(x, y + s.lower_height - 0.15, 0.28, 0.2)
    d -= s.chin_cleft * bump(x, y + s.lower_height - 0.2, 0.05, 0.12)
    tip_y = s.eye_y - s.nose_length
    along = (NOSE_START_Y - y) / (NOSE_START_Y - tip_y)
    if -0.4 < along < 1.5:
        if along <= 1.0:
            up = blend(along, -0.4, 0.35)
            height = s.bridge_height * up + (s.nose_protrusion - s.bridge_height) * blend(along, 0.15, 1.0)
            height += s.bridge_hump * math.exp(-(((along - 0.45) / 0.2) ** 2))
        else:
            height = s.nose_protrusion * (1.0 - blend(along, 1.0, 1.28 - s.tip_lift))
        width = s.bridge_width + (s.tip_size - s.bridge_width) * blend(along, 0.3, 1.0)
        d += height * math.exp(-((side / width) ** 2.2))
    d += 0.1 * bump(side - s.nose_width * 0.8, y - tip_y + 0.03, 0.075, 0.075)
    mouth = y - s.mouth_y
    d += s.lip_protrusion * bump(x, mouth, s.mouth_width * 1.15, 0.2)
    fall = math.exp(-((side / s.mouth_width) ** 4))
    d += fall * 0.035 * (math.exp(-(((mouth - 0.04) / 0.045) ** 2)) + math.exp(-(((mouth + 0.055) / 0.05) ** 2)))
    d -= fall * 0.03 * math.exp(-((mouth / 0.02) ** 2))
    d -= 0.04 * bump(x, mouth + 0.17, 0.2, 0.06)
    d += 0.05 * max(0.0, w.smile) * bump(side - 0.5, y + 0.45, 0.16, 0.16)
    return d


@inlined
def hair_cover(x: float, y: float, a: float, s: Shape, w: Style, softness: float) -> float:  # noqa: PLR0917  # compiled code is called by position
    """How much hair or cap covers a point of the scalp, 0 … 1; the edge is about `softness` wide."""
    side = abs(x)
    if w.headscarf > 0:
        oval = math.sqrt((side / 0.8) ** 2 + ((y + 0.3) / 0.93) ** 2)
        return max(blend(abs(a), 1.2, 1.4), blend(oval, 1.0 - 0.2 * softness, 1.0 + 0.4 * softness))
    if w.cap > 0:
        line = 0.5 + 0.05 * side
        if y > line:
            return 1.0
    if w.baldness > 0.5:
        return 0.0
    turn = abs(a)
    line = s.hairline - s.hairline_peak * math.exp(-((side / 0.14) ** 2)) - w.fringe
    line += s.hairline_recession * math.exp(-(((side - 0.42) / 0.18) ** 2))
    line -= 0.9 * blend(turn, 0.9, 1.6)
    nape = -0.75 - 0.8 * w.hair_length
    behind = blend(turn, 1.4, 1.75) if w.hair_length < 0.2 else blend(turn, 1.1, 1.5)
    low = line + (nape - line) * behind
    return blend(y, low - 0.4 * softness, low + 0.6 * softness)


@inlined
def surface(a: float, e: float, s: Shape, w: Style) -> tuple[float, float, float]:
    """Return the point of the finished head at azimuth a and elevation e."""
    x, y, z = face_point(a, e, s)
    front = math.cos(a)
    if front > 0:
        z += relief(x, y, s, w) * blend(front, 0.0, 0.35)
        side = abs(x)
        mouth = y - s.mouth_y
        if mouth < 0.0:
            y -= 0.16 * w.jaw_open * blend(-mouth, 0.0, 0.03) * blend(front, 0.0, 0.6)
        corner = bump(side - s.mouth_width, mouth, 0.16, 0.13)
        y += 0.07 * w.smile * corner
        x += math.copysign(0.05 * w.smile * corner, x)
        y += 0.04 * w.brow_raise * bump(side - 0.35, y - s.brow_y, 0.35, 0.12)
    cover = hair_cover(x, y, a, s, w, 0.28)
    if cover > 0:
        thick = 0.1 if w.headscarf > 0 else 0.09 if w.cap > 0 and y > 0.45 else w.hair_volume
        if max(w.hair_length, w.headscarf) > 0.2 and abs(a) > 1.1:
            thick += 0.14 * blend(-y, -0.4, 0.6)
        grow = 1.0 + thick * cover
        x, y, z = x * grow, y * (1.0 + 0.8 * thick * cover * (1.0 if y > 0 else 0.3)), z * grow
    return x, y, z


@compiled()
def place_ears(out: NDArray[np.float32], s: Shape, w: Style) -> None:
    """Write the vertices of both ears; under a headscarf they lie inside the head."""
    root = 0.93 if w.headscarf == 0 else 0.4
    for ear in range(2):
        sign = 1.0 - 2.0 * ear
        for i in range(EAR_ROWS):
            for j in range(EAR_COLUMNS):
                up = 1.0 - 2.0 * i / (EAR_ROWS - 1)
                across = 1.0 - 2.0 * j / (EAR_COLUMNS - 1)
                edge = math.sqrt(max(0.0, 1.0 - 0.85 * up * up))
                rim = across * across
                x = half_width(s.ear_y, s) * root + s.ear_flare * (0.35 + 0.65 * blend(-across, -1.0, 1.0)) * edge
                x += 0.03 * rim
                index = HEAD_VERTICES + ear * EAR_VERTICES + i * EAR_COLUMNS + j
                out[index, 0] = sign * x
                out[index, 1] = s.ear_y + up * s.ear_size
                out[index, 2] = -0.02 + across * 0.19 * edge * (1.0 + 0.3 * up)


@compiled()
def place_neck(out: NDArray[np.float32], s: Shape) -> None:
    """Write the vertices of the neck."""
    start = HEAD_VERTICES + 2 * EAR_VERTICES
    for i in range(NECK_ROWS):
        for j in range(NECK_COLUMNS + 1):
            a = 2.0 * math.pi * j / NECK_COLUMNS - math.pi
            index = start + i * (NECK_COLUMNS + 1) + j
            radius = 0.62 * s.jaw_width + 0.06 * i
            out[index, 0] = radius * math.sin(a)
            out[index, 1] = -0.7 - 0.45 * i
            out[index, 2] = -0.22 + radius * math.cos(a)


@compiled()
def head_vertices(s: Shape, w: Style) -> NDArray[np.float32]:
    """Return the mesh of a head, float32[VERTICES, 3] in head units."""
    out = np.empty((VERTICES, 3), np.float32)
    for i in range(ROWS):
        e = elevation(i / (ROWS - 1))
        for j in range(COLUMNS + 1):
            a = azimuth(2.0 * j / COLUMNS - 1.0)
            x, y, z = surface(a, e, s, w)
            index = i * (COLUMNS + 1) + j
            out[index, 0], out[index, 1], out[index, 2] = x, y, z
    place_ears(out, s, w)
    place_neck(out, s)
    return out


@compiled()
def surface_at(x: float, y: float, s: Shape, w: Style) -> tuple[float, float, float]:
    """Return the point of the finished head whose smooth base lies at a frontal (x, y)."""
    e = math.asin(min(1.0, max(-1.0, y / (s.upper_height if y > 0 else s.lower_height))))
    reach = max(1e-6, math.cos(e) ** s.roundness * half_width(y, s))
    return surface(math.asin(min(1.0, max(-1.0, x / reach))), e, s, w)


@compiled()
def landmark_points(s: Shape, w: Style) -> NDArray[np.float32]:
    """Return the five landmarks, float32[5, 3]: eyes (image left first), nose tip, mouth corners (image left first)."""
    out = np.empty((5, 3), np.float32)
    tip_y = s.eye_y - s.nose_length
    out[0, 0], out[0, 1], out[0, 2] = surface_at(-s.eye_spacing, s.eye_y, s, w)
    out[1, 0], out[1, 1], out[1, 2] = surface_at(s.eye_spacing, s.eye_y, s, w)
    out[2, 0], out[2, 1], out[2, 2] = surface_at(0.0, tip_y, s, w)
    out[3, 0], out[3, 1], out[3, 2] = surface_at(-s.mouth_width, s.mouth_y, s, w)
    out[4, 0], out[4, 1], out[4, 2] = surface_at(s.mouth_width, s.mouth_y, s, w)
    return out


@compiled()
def outline_points(s: Shape, w: Style) -> NDArray[np.float32]:
    """Return points of the face's edge, float32[N, 3], from forehead to chin; their box is the face's."""
    heights = (0.66, 0.4, 0.1, -0.3, -0.7, -1.0, -0.985 * s.lower_height)
    turns = (-1.25, -0.9, -0.45, 0.0, 0.45, 0.9, 1.25)
    jaw_drop = np.float32(0.16 * w.jaw_open)
    out = np.empty((len(heights) * len(turns), 3), np.float32)
    for i, y in enumerate(heights):
        e = math.asin(max(-1.0, y / (s.upper_height if y > 0 else s.lower_height)))
        for j, a in enumerate(turns):
            point = out[i * len(turns) + j]
            point[0], point[1], point[2] = face_point(a, e, s)
            if point[1] < s.mouth_y:
                point[1] -= jaw_drop
    return out


def _grid_triangles(rows: int, columns: int, start: int) -> list[tuple[int, int, int]]:
    """Return the two triangles of each cell of a grid of vertices."""
    cells = []
    for i in range(rows - 1):
        for j in range(columns - 1):
            corner = start + i * columns + j
            cells.append((corner, corner + columns, corner + 1))
            cells.append((corner + 1, corner + columns, corner + columns + 1))
    return cells


def _topology() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return triangles int32[T, 3] and texture coordinates float32[VERTICES, 2] (u, v in 0 … 1)."""
    triangles = _grid_triangles(ROWS, COLUMNS + 1, 0)
    for ear in range(2):
        cells = _grid_triangles(EAR_ROWS, EAR_COLUMNS, HEAD_VERTICES + ear * EAR_VERTICES)
        triangles += cells + [(p, r, q) for p, q, r in cells]
    triangles += _grid_triangles(NECK_ROWS, NECK_COLUMNS + 1, HEAD_VERTICES + 2 * EAR_VERTICES)
    coordinates = np.empty((VERTICES, 2), np.float32)
    v, u = np.mgrid[0 : 1 : ROWS * 1j, 0 : 1 : (COLUMNS + 1) * 1j]
    coordinates[:HEAD_VERTICES] = np.stack([u.ravel(), v.ravel()], axis=1)
    coordinates[HEAD_VERTICES:] = (0.64, 0.595)  # the skin of a cheek, above any scarf
    return np.array(triangles, np.int32), coordinates


TRIANGLES, TEXTURE_COORDINATES = _topology()
