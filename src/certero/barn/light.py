"""The light in the barn: day and night, sunbeams, and the shadow of what stands or lies there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from certero.barn.canvas import Color, Pixels, Sprite
from certero.barn.plan import Day


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one frame: colour gain, sunbeam and shadow strength, sensor noise, infrared."""

    gain: Color
    beam: float
    phase: float
    shadow: float
    noise: float
    infrared: bool


def _rise(x: float, low: float, high: float) -> float:
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3 - 2 * t)


def light_at(day: Day, minute: float) -> Light:
    """Night until 06:20, dawn, low sun through the windows from 07:30 to 09:40, dusk from 18:10, night."""
    daylight = _rise(minute, 380, 450) * (1 - _rise(minute, 1090, 1160))
    beam = day.sun * _rise(minute, 445, 480) * (1 - _rise(minute, 540, 585))
    low_sun = math.exp(-(((minute - 430) / 45) ** 2)) + 0.8 * math.exp(-(((minute - 1110) / 40) ** 2))
    lamp = (0.95, 0.95, 0.95) if day.infrared else (1.25, 0.9, 0.45)
    red, green, blue = (
        (night * day.night_gain * (1 - daylight) + tint * day.gain * daylight) * (1 + 0.35 * beam)
        for night, tint in zip(lamp, day.tint, strict=True)
    )
    warm = 0.10 * low_sun * daylight
    return Light(
        gain=(red * (1 + warm), green, blue * (1 - warm)),
        beam=beam,
        phase=(minute - 780) / 480,
        shadow=0.35 + 0.33 * daylight + 0.1 * beam,
        noise=0.013 + 0.022 * (1 - daylight),
        infrared=day.infrared and daylight < 0.25,
    )


def sunbeams(light: Light, height: int, width: int) -> Pixels:
    """Sun through a row of windows: slanted bright stripes that wander over the beds."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    s = (x * 1.0 + 0.35 * y - 0.9 * light.phase) * 3.2
    stripe = np.clip(1.1 * np.sin(2 * np.pi * s) + 0.35, 0, 1)
    reach = np.clip(1.25 - np.abs(y - 0.25 - 0.35 * (light.phase + 0.6)) * 2.0, 0, 1)
    return np.asarray(stripe * reach + 0.18 * reach, np.float32)


def _overlap(image: Pixels, left: int, top: int, height: int, width: int) -> tuple[slice, slice, slice, slice] | None:
    """Where a patch meets the image: rows and columns of the image, then of the patch."""
    y0, y1 = max(0, top), min(image.shape[1], top + height)
    x0, x1 = max(0, left), min(image.shape[2], left + width)
    if y0 >= y1 or x0 >= x1:
        return None
    return slice(y0, y1), slice(x0, x1), slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)


def cast(image: Pixels, sprite: Sprite, light: Light, dx: int, dy: int) -> None:
    """Lays a sprite and its shadow on the image; the shadow falls away from the windows."""
    left, top = sprite.left + dx, sprite.top + dy
    shape = sprite.alpha.shape
    fall_x, fall_y = round(-sprite.lift * light.phase), round(-0.55 * sprite.lift)
    spot = _overlap(image, left + fall_x, top + fall_y, *shape)
    if spot is not None:
        image[:, *spot[:2]] *= 1 - np.float32(light.shadow) * sprite.shadow[spot[2:]]
    spot = _overlap(image, left, top, *shape)
    if spot is not None:
        image[:, *spot[:2]] *= 1 - sprite.alpha[spot[2:]]
        image[:, *spot[:2]] += sprite.rgb[:, *spot[2:]]
