"""A z-buffer rasteriser for one head: orthographic, one directional light, supersampled, composited in place."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled
from pipeline.synthetic.geometry import COLUMNS, HEAD_VERTICES, ROWS

SUPERSAMPLING: Final = 2
NECK_TOP: Final = -0.69
NOTHING: Final = np.float32(-1e9)
"""Depth where no triangle was drawn."""


@compiled()
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


@compiled()
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


@compiled()
def place_vertices(  # noqa: PLR0917  # compiled code is called by position
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    turn: NDArray[np.float32],
    centre_x: float,
    centre_y: float,
    unit: float,
    light: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return float32[V, 5] per vertex: x and y in supersampled pixels, depth, light received, and share of the sky."""
    out = np.empty((vertices.shape[0], 5), np.float32)
    for v in range(vertices.shape[0]):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        if v >= HEAD_VERTICES and y < NECK_TOP:  # the neck stays upright while the head turns
            px, py, pz = x, y, z
        else:
            px = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z
            py = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z
            pz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        mx = turn[0, 0] * nx + turn[0, 1] * ny + turn[0, 2] * nz
        my = turn[1, 0] * nx + turn[1, 1] * ny + turn[1, 2] * nz
        mz = turn[2, 0] * nx + turn[2, 1] * ny + turn[2, 2] * nz
        out[v, 0] = (centre_x + px * unit) * SUPERSAMPLING
        out[v, 1] = (centre_y - py * unit) * SUPERSAMPLING
        out[v, 2] = pz
        out[v, 3] = max(0.0, 0.85 * (mx * light[0] + my * light[1] + mz * light[2]) + 0.15)
        out[v, 4] = 0.75 + 0.25 * my
    return out


@compiled()
def draw_head(  # noqa: PLR0917  # compiled code is called by position
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
    placed = place_vertices(vertices, normals, turn, centre_x, centre_y, unit, light)
    left = max(0, int(placed[:, 0].min()) // SUPERSAMPLING)
    top = max(0, int(placed[:, 1].min()) // SUPERSAMPLING)
    right = min(image.shape[1], int(placed[:, 0].max()) // SUPERSAMPLING + 1)
    bottom = min(image.shape[0], int(placed[:, 1].max()) // SUPERSAMPLING + 1)
    if right <= left or bottom <= top:
        return
    height, width = (bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING
    placed[:, 0] -= np.float32(left * SUPERSAMPLING)
    placed[:, 1] -= np.float32(top * SUPERSAMPLING)
    depth = np.full((height, width), NOTHING)
    colour = np.zeros((height, width, 3), np.float32)
    fill_triangles(depth, colour, placed, triangles, coordinates, texture, key, ambient)
    blend_down(image, colour, depth, left, top)


@compiled()
def fill_triangles(  # noqa: PLR0917  # compiled code is called by position
    depth: NDArray[np.float32],
    colour: NDArray[np.float32],
    placed: NDArray[np.float32],
    triangles: NDArray[np.int32],
    coordinates: NDArray[np.float32],
    texture: NDArray[np.float32],
    key: NDArray[np.float32],
    ambient: NDArray[np.float32],
) -> None:
    """Fill the depth and colour buffers with the triangles that face the viewer."""
    height, width = depth.shape
    rows, columns = texture.shape[0], texture.shape[1]
    one, half = np.float32(1.0), np.float32(0.5)
    for t in range(triangles.shape[0]):
        a, b, c = placed[triangles[t, 0]], placed[triangles[t, 1]], placed[triangles[t, 2]]
        x0, y0, x1, y1, x2, y2 = a[0], a[1], b[0], b[1], c[0], c[1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= -1e-6:  # y points down on the image, so triangles that face the viewer have a negative area
            continue
        uv0, uv1, uv2 = coordinates[triangles[t, 0]], coordinates[triangles[t, 1]], coordinates[triangles[t, 2]]
        inverse = one / area
        for i in range(max(0, math.ceil(min(y0, y1, y2) - half)), min(height, math.floor(max(y0, y1, y2) + half))):
            for j in range(max(0, math.ceil(min(x0, x1, x2) - half)), min(width, math.floor(max(x0, x1, x2) + half))):
                x, y = np.float32(j + half), np.float32(i + half)
                b1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) * inverse
                b2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) * inverse
                b0 = one - b1 - b2
                if b0 < 0 or b1 < 0 or b2 < 0:
                    continue
                z = b0 * a[2] + b1 * b[2] + b2 * c[2]
                if z <= depth[i, j]:
                    continue
                depth[i, j] = z
                column = min(columns - 1, int((b0 * uv0[0] + b1 * uv1[0] + b2 * uv2[0]) * (columns - 1) + half))
                row = min(rows - 1, int((b0 * uv0[1] + b1 * uv1[1] + b2 * uv2[1]) * (rows - 1) + half))
                shade = b0 * a[3] + b1 * b[3] + b2 * c[3]
                dome = b0 * a[4] + b1 * b[4] + b2 * c[4]
                for k in range(3):
                    colour[i, j, k] = texture[row, column, k] * (ambient[k] * dome + key[k] * shade)


@compiled()
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
                    if depth[y, x] > NOTHING:
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
