"""What everything in the barn is drawn with: planes of colour, noise, and a layer on which shapes are laid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.floating[Any]]
Color = tuple[float, float, float]
# A round cone: x, y, radius at both ends, colour. Everything but the trunk is made of them.
Cone = tuple[float, float, float, float, float, float, Color]


def planes(color: Color) -> Pixels:
    """A colour that multiplies [h, w] into planes [3, h, w]."""
    return np.array(color, np.float32).reshape(3, 1, 1)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Pixels:
    """Value noise with features of about `cell` pixels, mean 0, deviation about 0.5."""
    grid = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Sprite:
    """Something drawn once and laid on several frames; `alpha` [h, w], `rgb` [3, h, w] premultiplied.

    `shadow` is the blurred outline; `lift` (pixels) is how far it falls from its owner. `box` is the visible
    part in pixels of the frame: left, top, right, bottom, not yet cut at the frame's edge.
    """

    left: int
    top: int
    rgb: Pixels
    alpha: Pixels
    shadow: Pixels
    lift: float
    box: tuple[int, int, int, int]


class Canvas:
    """A small layer of premultiplied colour on which cones and trunks are laid, later ones on top.

    Colour is planar, [3, h, w]: numpy is about three times slower where the last axis is 3.
    """

    def __init__(self, left: int, top: int, width: int, height: int) -> None:
        self.left, self.top = left, top
        self.rgb = np.zeros((3, height, width), np.float32)
        self.alpha = np.zeros((height, width), np.float32)

    def lay(self, spot: tuple[slice, slice], alpha: Pixels, rgb: Pixels) -> None:
        """Lays colour over what is there."""
        keep, planes = 1 - alpha, (slice(None), *spot)
        self.rgb[planes] = self.rgb[planes] * keep + rgb * alpha
        self.alpha[spot] = self.alpha[spot] * keep + alpha

    def around(self, xs: Sequence[float], ys: Sequence[float], reach: float) -> tuple[slice, slice]:
        """The rows and columns around the points, given in frame pixels."""
        height, width = self.alpha.shape
        return (
            slice(max(0, int(min(ys) - reach) - self.top), min(height, int(max(ys) + reach) - self.top + 1)),
            slice(max(0, int(min(xs) - reach) - self.left), min(width, int(max(xs) + reach) - self.left + 1)),
        )

    def grid(self, spot: tuple[slice, slice]) -> tuple[Pixels, Pixels]:
        """Pixel centres in frame pixels: a row of x, a column of y."""
        x = np.arange(spot[1].start, spot[1].stop, dtype=np.float32)[None, :] + (self.left + 0.5)
        y = np.arange(spot[0].start, spot[0].stop, dtype=np.float32)[:, None] + (self.top + 0.5)
        return x, y

    def cone(self, cone: Cone, unit: float) -> None:
        """Lays a round cone, lit from above and a little from the left."""
        x0, y0, r0, x1, y1, r1 = (value * unit for value in cone[:6])
        spot = self.around((x0, x1), (y0, y1), max(r0, r1) + 2)
        x, y = self.grid(spot)
        dx, dy, span = x1 - x0, y1 - y0, max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-6)
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / span, 0, 1)
        radius = r0 + (r1 - r0) * t
        off_x, off_y = x - x0 - dx * t, y - y0 - dy * t
        far = np.sqrt(off_x * off_x + off_y * off_y)
        alpha = np.clip(radius - far + 0.5, 0, 1)
        dome = np.sqrt(np.clip(1 - (far / radius) ** 2, 0, 1))
        light = 0.58 + 0.42 * dome - 0.16 * (off_x + off_y) / radius
        self.lay(spot, alpha, planes(cone[6]) * light)

    def sprite(self, unit: float, lift: float) -> Sprite:
        """What was laid, with its shadow."""
        shape = Image.fromarray((self.alpha * 255).astype(np.uint8))
        blurred = shape.filter(ImageFilter.GaussianBlur((3 + 0.3 * lift) * unit))
        rows, columns = np.nonzero(self.alpha.max(1) > 0.5)[0], np.nonzero(self.alpha.max(0) > 0.5)[0]
        box = (
            self.left + int(columns[0]),
            self.top + int(rows[0]),
            self.left + int(columns[-1]) + 1,
            self.top + int(rows[-1]) + 1,
        )
        shadow = np.asarray(blurred, np.float32) / 255
        return Sprite(self.left, self.top, self.rgb, self.alpha, shadow, lift * unit, box)


def canvas_for(cones: Sequence[Cone], unit: float, corners: Sequence[tuple[float, float]] = ()) -> Canvas:
    """A canvas that holds the cones and corners with room for the shadow."""
    xs = [c[0] for c in cones] + [c[3] for c in cones] + [x for x, _ in corners]
    ys = [c[1] for c in cones] + [c[4] for c in cones] + [y for _, y in corners]
    margin = 26
    left, top = math.floor((min(xs) - margin) * unit), math.floor((min(ys) - margin) * unit)
    right, bottom = math.ceil((max(xs) + margin) * unit), math.ceil((max(ys) + margin) * unit)
    return Canvas(left, top, right - left, bottom - top)
