"""The stalls: sand, concrete, rails, and what somebody left there."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from certero.barn.canvas import Cone, Pixels, Sprite, canvas_for, smooth_noise
from certero.barn.plan import ROW_LEFT, ROW_RIGHT, Settings

# Fractions of the frame's height: the rail that heads pass under, and the kerb at the alley.
_RAIL, _KERB = 0.285, 0.82


def shade_sand(rng: np.random.Generator, height: int, width: int, unit: float) -> Pixels:
    """Brightness of trodden sand around 1: ridges and prints lit from the upper left."""
    relief = np.zeros((height, width), np.float32)
    for cell, weight in ((34, 2.2), (17, 2.0), (9, 1.0), (4.5, 0.4)):
        relief += weight * cell / 8 * np.abs(smooth_noise(rng, height, width, max(1.5, cell * unit)))
    down, right = np.gradient(relief)
    slope = (down * 0.75 + right * 0.6) * unit
    grain = 0.05 * rng.standard_normal((height, width)).astype(np.float32)
    stain = 0.09 * smooth_noise(rng, height, width, 60 * unit)
    shade = 1 + 0.42 * np.tanh(slope * 1.15) + stain + grain
    return np.asarray(np.clip(shade, 0.35, 1.6), np.float32)


def draw_ground(rng: np.random.Generator, settings: Settings) -> tuple[Pixels, Pixels]:
    """Kerb and boards below, a concrete wall at the right: premultiplied colour and coverage [h, w]."""
    width, height = settings.width, settings.height
    color, cover = Image.new("RGB", (width * 2, height * 2)), Image.new("L", (width * 2, height * 2))
    w, h = width * 2, height * 2
    for draw, plain in ((ImageDraw.Draw(color), False), (ImageDraw.Draw(cover), True)):
        draw.rectangle((0, _KERB * h, w, h), fill=255 if plain else (78, 66, 56))
        draw.rectangle((0, _KERB * h, w, (_KERB + 0.016) * h), fill=255 if plain else (110, 98, 88))
        for i in range(1, 6):
            y = (_KERB + 0.02 + 0.032 * i) * h
            draw.rectangle((0, y, w, y + 0.006 * h), fill=255 if plain else (40, 33, 28))
        wall = [
            (0.835 * w, 0),
            (0.985 * w, 0),
            (0.99 * w, 0.95 * h),
            (0.965 * w, h),
            (0.835 * w, _KERB * h),
        ]
        draw.polygon(wall, fill=255 if plain else (146, 142, 136))
        draw.polygon([(0.985 * w, 0), (w, 0), (w, h), (0.965 * w, h)], fill=255 if plain else (34, 33, 34))
    small = (width, height)
    texture = 1 + 0.10 * smooth_noise(rng, height, width, 11) + 0.05 * smooth_noise(rng, height, width, 2.5)
    solid = np.asarray(cover.resize(small, Image.Resampling.BOX), np.float32) / 255
    rgb = np.asarray(color.resize(small, Image.Resampling.BOX), np.float32) / 255
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)) * texture, solid


def draw_rails(settings: Settings) -> tuple[Pixels, Pixels]:
    """Rail, dividers, blue pipes over the cows: premultiplied colour, and what stays visible [h, w]."""
    width, height, scale = settings.width, settings.height, 4
    w, h, thick = width * scale, height * scale, settings.unit * scale
    image = Image.new("RGBA", (w, h))
    draw = ImageDraw.Draw(image)
    step = (ROW_RIGHT - ROW_LEFT) / settings.beds
    for i in range(settings.beds + 1):
        x = (ROW_LEFT + step * i) * w
        if i < settings.beds:
            draw.line(
                (x + 10 * thick, -4, x + 46 * thick, 0.05 * h),
                fill=(38, 96, 152, 255),
                width=int(7 * thick),
            )
            loop = (x - 1 * thick, _RAIL * h, x + 17 * thick, _KERB * h)
            draw.rounded_rectangle(loop, radius=9 * thick, outline=(150, 146, 138, 255), width=int(3.4 * thick))
            draw.line((x, 0, x, (_KERB - 0.04) * h), fill=(172, 168, 160, 255), width=int(5 * thick))
            draw.line(
                (x + thick, 0, x + thick, (_KERB - 0.04) * h),
                fill=(205, 202, 194, 255),
                width=int(1.5 * thick),
            )
    draw.line((0, _RAIL * h, 0.9 * w, _RAIL * h), fill=(168, 164, 156, 255), width=int(4 * thick))
    draw.line(
        (0, _RAIL * h - thick, 0.9 * w, _RAIL * h - thick),
        fill=(208, 205, 198, 255),
        width=int(1.5 * thick),
    )
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return planes[:3] * planes[3], 1 - planes[3]


def _cones_of(kind: int, x: float, y: float) -> list[Cone]:
    """A bucket, a sack, or a heap of dark straw."""
    if kind == 0:
        return [(x, y, 12, x, y, 12, (0.55, 0.55, 0.58)), (x, y, 9.5, x, y, 9.5, (0.16, 0.17, 0.2))]
    if kind == 1:
        return [
            (x, y, 12, x + 26, y + 9, 11, (0.78, 0.74, 0.66)),
            (x, y, 5, x - 13, y - 4, 4, (0.70, 0.66, 0.58)),
        ]
    return [
        (x + dx, y + dy, r, x - dy, y + dx, r, (0.22, 0.19, 0.15))
        for dx, dy, r in ((8, 3, 10), (-11, 5, 7), (3, -12, 6))
    ]


def draw_clutter(kind: int, x: float, y: float, unit: float) -> Sprite:
    """What was left in a lane, at a place in drawing units: 0 a bucket, 1 a sack, 2 a heap of straw."""
    cones = _cones_of(kind, x, y)
    canvas = canvas_for(cones, unit)
    for cone in cones:
        canvas.cone(cone, unit)
    return canvas.sprite(unit, lift=5)
