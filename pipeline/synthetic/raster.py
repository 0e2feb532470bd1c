"""A z-buffer rasteriser for one head: orthographic, one directional light, supersampled, composited in place."""

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.synthetic.geometry import COLUMNS, HEAD_VERTICES, ROWS

SUPERSAMPLING: Final = 2


@njit(cache=True)
def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float32]:
    """Return the rotation, float32[3, 3], of a head; angles in radians, yaw turns it to the viewer's right."""
    cy, sy, cp, sp, cr, sr = (
        math.cos(yaw),
        math.sin(yaw),
        math.cos(pitch),
        math.sin(pitch),
        math.cos(roll),
        math.sin(roll),
    )
    out = np.empty((3, 3), np.float32)
    out[0, 0], out[0, 1], out[0, 2] = cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy
    out[1, 0], out[1, 1], out[1, 2] = sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy
    out[2, 0], out[2, 1], out[2, 2] = -cp * sy, sp, cp * cy
    return out


@njit(cache=True)
def vertex_normals(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return unit normals, float32[V, 3], as the area-weighted mean of the faces around each vertex."""
    out = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        p, q, r = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = (
            vertices[q, 0] - vertices[p, 0],
            vertices[q, 1] - vertices[p, 1],
            vertices[q, 2] - vertices[p, 2],
        )
        bx, by, bz = (
            vertices[r, 0] - vertices[p, 0],
            vertices[r, 1] - vertices[p, 1],
            vertices[r, 2] - vertices[p, 2],
        )
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for k in range(3):
            v = triangles[t, k]
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for i in range(ROWS):  # the first and the last column are the same seam at the back of the head
        first, last = i * (COLUMNS + 1), i * (COLUMNS + 1) + COLUMNS
        for c in range(3):
            total = out[first, c] + out[last, c]
            out[first, c] = out[last, c] = total
    for v in range(out.shape[0]):
        length = math.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + 1e-9
        out[v, 0] /= length
        out[v, 1] /= length
        out[v, 2] /= length
    return out


@njit(cache=True)
def draw_head(
    image: NDArray[np.uint8],
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    triangles: NDArray[np.int32],
    coordinates: NDArray[np.float32],
    texture: NDArray[np.float32],
    turn: NDArray[np.float32],
    centre_x: float,
    centre_y: float,
    unit: float,
    light: NDArray[np.float32],
    key: NDArray[np.float32],
    ambient: NDArray[np.float32],
) -> None:
    """Draw a head into a BGR image, in place.

    `unit` is the length of a head unit in pixels and (`centre_x`, `centre_y`) the pixel of the head's origin; `light`
    is the unit direction towards the light, `key` and `ambient` its BGR strengths in linear light.
    """
    count = vertices.shape[0]
    sx, sy, sz = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    lit = np.empty(count, np.float32)
    sky = np.empty(count, np.float32)
    low_x, low_y, high_x, high_y = 1e9, 1e9, -1e9, -1e9
    for v in range(count):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        if v >= HEAD_VERTICES and y < -0.69:  # the neck stays upright while the head turns
            px, py, pz = x, y, z
        else:
            px = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z
            py = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z
            pz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        mx = turn[0, 0] * nx + turn[0, 1] * ny + turn[0, 2] * nz
        my = turn[1, 0] * nx + turn[1, 1] * ny + turn[1, 2] * nz
        mz = turn[2, 0] * nx + turn[2, 1] * ny + turn[2, 2] * nz
        toward = mx * light[0] + my * light[1] + mz * light[2]
        lit[v] = max(0.0, 0.85 * toward + 0.15)
        sky[v] = 0.75 + 0.25 * my
        sx[v] = (centre_x + px * unit) * SUPERSAMPLING
        sy[v] = (centre_y - py * unit) * SUPERSAMPLING
        sz[v] = pz
        low_x, high_x = min(low_x, sx[v]), max(high_x, sx[v])
        low_y, high_y = min(low_y, sy[v]), max(high_y, sy[v])
    left = max(0, int(low_x) // SUPERSAMPLING)
    top = max(0, int(low_y) // SUPERSAMPLING)
    right = min(image.shape[1], int(high_x) // SUPERSAMPLING + 1)
    bottom = min(image.shape[0], int(high_y) // SUPERSAMPLING + 1)
    if right <= left or bottom <= top:
        return
    width, height = (right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING
    depth = np.full((height, width), np.float32(-1e9))
    colour = np.zeros((height, width, 3), np.float32)
    off_x, off_y = np.float32(left * SUPERSAMPLING), np.float32(top * SUPERSAMPLING)
    rows, columns = texture.shape[0], texture.shape[1]
    for t in range(triangles.shape[0]):
        p, q, r = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0 = sx[p] - off_x, sy[p] - off_y
        x1, y1 = sx[q] - off_x, sy[q] - off_y
        x2, y2 = sx[r] - off_x, sy[r] - off_y
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= -1e-6:  # y points down on the image, so triangles that face the viewer have a negative area
            continue
        first_x = max(0, int(math.ceil(min(x0, x1, x2) - 0.5)))
        last_x = min(width - 1, int(math.floor(max(x0, x1, x2) - 0.5)))
        first_y = max(0, int(math.ceil(min(y0, y1, y2) - 0.5)))
        last_y = min(height - 1, int(math.floor(max(y0, y1, y2) - 0.5)))
        inverse = np.float32(1.0) / area
        for py_ in range(first_y, last_y + 1):
            yy = np.float32(py_ + 0.5)
            for px_ in range(first_x, last_x + 1):
                xx = np.float32(px_ + 0.5)
                b1 = ((xx - x0) * (y2 - y0) - (x2 - x0) * (yy - y0)) * inverse
                b2 = ((x1 - x0) * (yy - y0) - (xx - x0) * (y1 - y0)) * inverse
                b0 = np.float32(1.0) - b1 - b2
                if b0 < 0 or b1 < 0 or b2 < 0:
                    continue
                z = b0 * sz[p] + b1 * sz[q] + b2 * sz[r]
                if z <= depth[py_, px_]:
                    continue
                depth[py_, px_] = z
                u = b0 * coordinates[p, 0] + b1 * coordinates[q, 0] + b2 * coordinates[r, 0]
                v_ = b0 * coordinates[p, 1] + b1 * coordinates[q, 1] + b2 * coordinates[r, 1]
                column = min(columns - 1, int(u * (columns - 1) + np.float32(0.5)))
                row = min(rows - 1, int(v_ * (rows - 1) + np.float32(0.5)))
                shade = b0 * lit[p] + b1 * lit[q] + b2 * lit[r]
                dome = b0 * sky[p] + b1 * sky[q] + b2 * sky[r]
                for c in range(3):
                    colour[py_, px_, c] = texture[row, column, c] * (ambient[c] * dome + key[c] * shade)
    blend_down(image, colour, depth, left, top)


@njit(cache=True)
def blend_down(
    image: NDArray[np.uint8], colour: NDArray[np.float32], depth: NDArray[np.float32], left: int, top: int
) -> None:
    """Average the supersampled head and lay it over the image, in place."""
    share = np.float32(1.0 / (SUPERSAMPLING * SUPERSAMPLING))
    for i in range(depth.shape[0] // SUPERSAMPLING):
        for j in range(depth.shape[1] // SUPERSAMPLING):
            cover = np.float32(0.0)
            blue = green = red = np.float32(0.0)
            for k in range(SUPERSAMPLING):
                for m in range(SUPERSAMPLING):
                    y, x = i * SUPERSAMPLING + k, j * SUPERSAMPLING + m
                    if depth[y, x] > -1e8:
                        cover += share
                        blue += colour[y, x, 0]
                        green += colour[y, x, 1]
                        red += colour[y, x, 2]
            if cover > 0:
                rest = np.float32(1.0) - cover
                scale = share / cover
                pixel = image[top + i, left + j]
                pixel[0] = int(min(255.0, cover * 255.0 * math.sqrt(blue * scale) + rest * pixel[0]))
                pixel[1] = int(min(255.0, cover * 255.0 * math.sqrt(green * scale) + rest * pixel[1]))
                pixel[2] = int(min(255.0, cover * 255.0 * math.sqrt(red * scale) + rest * pixel[2]))
