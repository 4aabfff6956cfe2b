"""The drawing of the demo barn: sand, coats, cows and light, one frame at a time from the plan."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from certero.barn.plan import (
    DAY_MINUTES,
    FIRST_DAY,
    HERD,
    ROW_LEFT,
    ROW_RIGHT,
    Day,
    Lane,
    Pose,
    Settings,
    plan_days,
    plan_lanes,
)

Pixels = NDArray[np.floating[Any]]
Color = tuple[float, float, float]

_MOVE_MINUTES = 20.0  # how long a cow keeps her head still

# Fractions of the frame's height: the rail that heads pass under, and the kerb at the alley.
_RAIL, _KERB = 0.285, 0.82


def _planes(color: Color) -> Pixels:
    """A colour that multiplies [h, w] into planes [3, h, w]."""
    return np.array(color, np.float32).reshape(3, 1, 1)


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Pixels:
    """Value noise with features of about `cell` pixels, mean 0, deviation about 0.5."""
    grid = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def _shade_sand(rng: np.random.Generator, height: int, width: int, unit: float) -> Pixels:
    """Brightness of trodden sand around 1: ridges and prints lit from the upper left."""
    relief = np.zeros((height, width), np.float32)
    for cell, weight in ((34, 2.2), (17, 2.0), (9, 1.0), (4.5, 0.4)):
        relief += weight * cell / 8 * np.abs(_smooth_noise(rng, height, width, max(1.5, cell * unit)))
    down, right = np.gradient(relief)
    slope = (down * 0.75 + right * 0.6) * unit
    grain = 0.05 * rng.standard_normal((height, width)).astype(np.float32)
    stain = 0.09 * _smooth_noise(rng, height, width, 60 * unit)
    shade = 1 + 0.42 * np.tanh(slope * 1.15) + stain + grain
    return np.asarray(np.clip(shade, 0.35, 1.6), np.float32)


@dataclass(frozen=True, slots=True)
class Coat:
    """A cow's looks: hair [3, along, across] from rump to shoulder, and colours of head, blaze and legs."""

    hair: Pixels
    head: Color
    blaze: Color | None
    legs: Color


_BLACK, _WHITE = (0.10, 0.10, 0.115), (0.86, 0.84, 0.80)
# Ground colour, patch colour, share of patches (low, high), colour of legs.
_BREEDS: tuple[tuple[Color, Color, float, float, Color], ...] = (
    (_BLACK, _WHITE, 0.25, 0.45, _WHITE),
    (_BLACK, _WHITE, 0.5, 0.7, _WHITE),
    (_BLACK, _WHITE, 0.04, 0.12, _BLACK),
    ((0.42, 0.27, 0.17), (0.50, 0.36, 0.25), 0.4, 0.6, (0.34, 0.23, 0.16)),
    (_BLACK, _WHITE, 0.3, 0.6, _WHITE),
    ((0.74, 0.69, 0.60), (0.83, 0.80, 0.73), 0.3, 0.6, (0.66, 0.60, 0.52)),
    ((0.44, 0.20, 0.11), _WHITE, 0.25, 0.5, _WHITE),
)


def _grow_coat(seed: int, cow: int) -> Coat:
    rng = np.random.default_rng([seed, 4, cow])
    ground, patch, low, high, legs = _BREEDS[cow % len(_BREEDS)]
    along, across = 192, 96
    field = _smooth_noise(rng, along, across, 42) + 0.3 * _smooth_noise(rng, along, across, 14)
    cut = np.quantile(field, 1 - rng.uniform(low, high))
    share = np.clip((field - cut) * 6 + 0.5, 0, 1)
    hair = _planes(ground) * (1 - share) + _planes(patch) * share
    hair = hair * (1 + 0.10 * _smooth_noise(rng, along, across, 9) + 0.04 * rng.standard_normal((along, across)))
    blaze = _WHITE if patch == _WHITE and rng.random() < 0.7 else None
    return Coat(np.clip(hair, 0.02, 1).astype(np.float32), ground, blaze, legs)


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


# A round cone: x, y, radius at both ends, colour. Everything but the trunk is made of them.
Cone = tuple[float, float, float, float, float, float, Color]

# Half widths of the trunk from rump (-1) to shoulder (1), in units of the pose's half width.
_ALONG = (-1.0, -0.97, -0.88, -0.65, -0.3, 0.0, 0.35, 0.62, 0.82, 0.94, 1.0)
_STANDING = (0.0, 0.38, 0.66, 0.97, 0.84, 1.0, 0.94, 0.74, 0.66, 0.50, 0.30)
_LYING = (0.0, 0.40, 0.70, 1.02, 1.05, 1.10, 1.02, 0.84, 0.68, 0.48, 0.28)
_LYING_FLAT = (0.0, 0.36, 0.62, 0.90, 0.92, 0.96, 0.90, 0.76, 0.62, 0.46, 0.28)


def _place(pose: Pose, along: float, across: float) -> tuple[float, float]:
    """Units of the trunk (along: half lengths, across: half widths) to drawing units of the frame."""
    a = along * pose.half_length
    b = (across + pose.bend * (along * along - 0.3)) * pose.half_width
    c, s = math.cos(pose.heading), math.sin(pose.heading)
    return pose.x + a * c - b * s, pose.y + a * s + b * c


def _limbs(pose: Pose, coat: Coat) -> list[Cone]:
    """What shows of legs and tail from above: folded to one side when lying, at the corners when standing."""
    hoof = (0.16, 0.13, 0.11)
    k, s, w = pose.side, pose.stretch, pose.half_width / 32
    if pose.posture == "lying":
        chains = [
            [(-0.42, 0.85 * k * s), (-0.24, 1.16 * k * s), (-0.60, 1.30 * k * s), (-0.68, 1.34 * k * s)],
            [(0.50, 0.6 * k * s), (0.80, 0.86 * k * s), (0.56, 1.08 * k * s), (0.50, 1.12 * k * s)],
        ]
        tail = [(-0.96, 0.0), (-1.1, 0.25 * k), (-0.9, 0.85 * k)]
    else:
        chains = [
            [(along, 0.5 * side), (along + 0.06 * side * k, 1.0 * side * near)]
            for along, near in ((-0.70, 0.84), (0.62, 0.66))
            for side in (-1, 1)
        ]
        tail = [(-0.94, 0.0), (-1.08, 0.05 * k), (-1.16, 0.16 * k)]
    cones: list[Cone] = []
    for chain in chains:
        spots = [_place(pose, *spot) for spot in chain]
        radii = (7.0, 4.6, 3.2, 2.8)
        for i in range(len(spots) - 1):
            cones.append((*spots[i], radii[i] * w, *spots[i + 1], radii[i + 1] * w, coat.legs))
        cones.append((*spots[-1], 2.9 * w, *spots[-1], 2.9 * w, hoof))
    spots = [_place(pose, *spot) for spot in tail]
    for (x0, y0), (x1, y1) in itertools.pairwise(spots):
        cones.append((x0, y0, 2.4 * w, x1, y1, 1.9 * w, coat.head))
    return cones


def _head(pose: Pose, coat: Coat, nod: float) -> list[Cone]:
    w = pose.half_width / 30 if pose.posture != "lying" else pose.half_width / 34
    neck, face = pose.heading + 0.75 * pose.neck_turn, pose.heading + 1.15 * pose.neck_turn + nod
    x, y = _place(pose, 0.86, 0)
    x1, y1 = x + pose.neck_length * math.cos(neck), y + pose.neck_length * math.sin(neck)
    length = 21 * w
    x2, y2 = x1 + length * math.cos(face), y1 + length * math.sin(face)
    cones: list[Cone] = [(x, y, 15 * w, x1, y1, 10 * w, coat.head)]
    for side in (-1, 1):
        angle = face + side * 1.75
        cones.append((x1, y1, 5 * w, x1 + 15 * w * math.cos(angle), y1 + 15 * w * math.sin(angle), 2.6 * w, coat.head))
    cones.append((x1, y1, 10.5 * w, x2, y2, 7 * w, coat.head))
    if coat.blaze is not None:
        cones.append(((2 * x1 + x2) / 3, (2 * y1 + y2) / 3, 2.2 * w, x2, y2, 4.6 * w, coat.blaze))
    nose = (0.34, 0.27, 0.25) if coat.blaze is None else (0.55, 0.42, 0.38)
    x3, y3 = x2 + 3 * w * math.cos(face), y2 + 3 * w * math.sin(face)
    cones.append((x3, y3, 4.4 * w, x3, y3, 4.4 * w, nose))
    return cones


def _clutter(kind: int, x: float, y: float) -> list[Cone]:
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


class _Canvas:
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

    def _spot(self, xs: Sequence[float], ys: Sequence[float], reach: float) -> tuple[slice, slice]:
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
        spot = self._spot((x0, x1), (y0, y1), max(r0, r1) + 2)
        x, y = self.grid(spot)
        dx, dy, span = x1 - x0, y1 - y0, max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-6)
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / span, 0, 1)
        radius = r0 + (r1 - r0) * t
        off_x, off_y = x - x0 - dx * t, y - y0 - dy * t
        far = np.sqrt(off_x * off_x + off_y * off_y)
        alpha = np.clip(radius - far + 0.5, 0, 1)
        dome = np.sqrt(np.clip(1 - (far / radius) ** 2, 0, 1))
        light = 0.58 + 0.42 * dome - 0.16 * (off_x + off_y) / radius
        self.lay(spot, alpha, _planes(cone[6]) * light)

    def trunk(self, pose: Pose, coat: Coat, unit: float) -> None:
        """Lays the trunk: two outlines along a bent spine, the coat wrapped around it."""
        spots = [_place(pose, along, across) for along in (-1, 0, 1) for across in (-1.3, 1.3)]
        spot = self._spot([x * unit for x, _ in spots], [y * unit for _, y in spots], 2)
        x, y = self.grid(spot)
        dx, dy = x / unit - pose.x, y / unit - pose.y
        c, s = math.cos(pose.heading), math.sin(pose.heading)
        along = (dx * c + dy * s) / pose.half_length
        across = (dy * c - dx * s) / pose.half_width - pose.bend * (along * along - 0.3)
        if pose.posture == "lying":
            left, right = (_LYING, _LYING_FLAT) if pose.side < 0 else (_LYING_FLAT, _LYING)
        else:
            left = right = _STANDING
        width = np.interp(along, _ALONG, left).astype(np.float32) + np.float32(1e-3)
        if left is not right:
            width = np.where(across < 0, width, np.interp(along, _ALONG, right).astype(np.float32) + np.float32(1e-3))
        d = across / width
        edge = (1 - np.abs(d)) * width * pose.half_width * unit
        alpha = np.clip(edge + 0.5, 0, 1) * (np.abs(along) < 1)
        dome = np.sqrt(np.clip(1 - d * d, 0, 1))
        light = 0.5 + 0.5 * dome + 0.13 * math.sin(pose.heading + 0.6) * d
        # The backbone and the hip bones stand out, more so on a standing cow.
        bone = 0.10 if pose.posture == "lying" else 0.17
        light += bone * np.exp(-((across * 10) ** 2))
        light += bone * np.exp(-(((np.abs(across) - 0.6) / 0.16) ** 2) - ((along + 0.62) / 0.07) ** 2)
        rows, columns = coat.hair.shape[1:]
        row = np.clip((along + 1) / 2 * (rows - 1), 0, rows - 1).astype(np.intp)
        column = np.clip((d + 1) / 2 * (columns - 1), 0, columns - 1).astype(np.intp)
        rgb = coat.hair.reshape(3, -1)[:, row * columns + column] * light
        # A black coat shines: light that does not depend on its colour.
        rgb += 0.06 * dome**6
        self.lay(spot, alpha, rgb)

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


def _canvas_for(cones: Sequence[Cone], unit: float, corners: Sequence[tuple[float, float]] = ()) -> _Canvas:
    """A canvas that holds the cones and corners with room for the shadow."""
    xs = [c[0] for c in cones] + [c[3] for c in cones] + [x for x, _ in corners]
    ys = [c[1] for c in cones] + [c[4] for c in cones] + [y for _, y in corners]
    margin = 26
    left, top = math.floor((min(xs) - margin) * unit), math.floor((min(ys) - margin) * unit)
    right, bottom = math.ceil((max(xs) + margin) * unit), math.ceil((max(ys) + margin) * unit)
    return _Canvas(left, top, right - left, bottom - top)


# --- The barn: scene, light, frames ---------------------------------------------------------------


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


def _light_at(day: Day, minute: float) -> Light:
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


class Barn:
    """The plan and what is drawn once: sand, concrete, rails, noise. Frames only read it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lanes = plan_lanes(settings)
        self.days = plan_days(settings)
        self.coats = [_grow_coat(settings.seed, cow) for cow in range(HERD)]
        self.crops = settings.crops()
        rng = np.random.default_rng([settings.seed, 5])
        height, width, unit = settings.height, settings.width, settings.unit
        self.sand = _shade_sand(rng, height, width, unit)
        self.trodden = [_shade_sand(rng, 2 * height, width, unit) for _ in range(6)]
        self.ground, self.solid = self._draw_ground(rng)
        self.rails, self.rail_gap = self._draw_rails()
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
        # Windows are on the lower side; the lunge space above the rail lies in the shade.
        self.falloff = 0.74 + 0.34 * np.clip(y * 1.6, 0, 1) - 0.25 * (x - 0.45) ** 2
        grain = rng.standard_normal((3, height + 65, width + 65)).astype(np.float32)
        grain = grain[:, 1:, 1:] + 0.6 * grain[:, :-1, 1:] + 0.6 * grain[:, 1:, :-1]  # demosaicing smears it
        self.grain = 0.3 * grain + 0.55 * grain[:1]
        # The cache saves time only: a sprite is a function of its key.
        self.sprite: Callable[[int, int, int], Sprite] = lru_cache(maxsize=64)(self._draw_sprite)
        self.floor: Callable[[int, tuple[int, ...]], Pixels] = lru_cache(maxsize=4)(self._draw_floor)
        self.things: Callable[[int, int], Sprite] = lru_cache(maxsize=16)(self._draw_clutter)
        self.floors = [self._tread(lane) for lane in self.lanes]

    def frame(self, number: int, time: datetime) -> tuple[Image.Image, dict[str, tuple[str, Sprite | None]]]:
        """One frame and, by bed, its label and its cow."""
        rng = np.random.default_rng([self.settings.seed, 6, number])
        minute = (time - FIRST_DAY) / timedelta(minutes=1)
        day = int(minute // DAY_MINUTES)
        light = _light_at(self.days[day], minute % DAY_MINUTES)
        trodden = tuple(sum(begin <= minute for begin, _ in steps) for _, steps in self.floors)
        image = self.floor(day, trodden).copy()
        present: dict[str, tuple[str, Sprite | None]] = {}
        for lane, plan in enumerate(self.lanes):
            for item, (begin, end, *_) in enumerate(plan.clutter):
                if begin <= minute < end:
                    _cast(image, self.things(lane, item), light, 0, 0)
            pose_index = next((i for i, p in enumerate(plan.poses) if p.begin <= minute < p.end), None)
            label, sprite = "empty", None
            if pose_index is not None:
                pose = plan.poses[pose_index]
                dx, dy = (int(v) for v in rng.integers(-1, 2, 2))
                drawn = self.sprite(lane, pose_index, int((minute - pose.begin) // _MOVE_MINUTES))
                _cast(image, drawn, light, dx, dy)
                if pose.posture != "peeking":
                    left, top, right, bottom = drawn.box
                    label = pose.posture
                    sprite = replace(drawn, box=(left + dx, top + dy, right + dx, bottom + dy))
            if lane > 0:
                present[f"bed{lane}"] = (label, sprite)
        image *= self.rail_gap
        image += self.rails
        return self._expose(image, light, rng), present

    def _expose(self, image: Pixels, light: Light, rng: np.random.Generator) -> Image.Image:
        """The camera: light, sunbeams, exposure that hunts a little, noise, 8 bits. Changes image."""
        height, width = image.shape[1:]
        image *= self.falloff
        if light.beam > 0.02:
            image *= 1 + (1.9 * light.beam) * self._beams(light)
            image += 0.10 * light.beam
        if light.infrared:
            image[:] = image.mean(axis=0)
        image *= _planes(light.gain) * np.float32(255 * rng.normal(1, 0.03))
        y, x = (int(v) for v in rng.integers(0, 64, 2))
        image += np.float32(255 * light.noise) * self.grain[:, y : y + height, x : x + width]
        np.clip(image, 0, 255, out=image)
        return Image.merge("RGB", [Image.fromarray(plane) for plane in image.astype(np.uint8)])

    def _beams(self, light: Light) -> Pixels:
        """Sun through a row of windows: slanted bright stripes that wander over the beds."""
        height, width = self.settings.height, self.settings.width
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
        s = (x * 1.0 + 0.35 * y - 0.9 * light.phase) * 3.2
        stripe = np.clip(1.1 * np.sin(2 * np.pi * s) + 0.35, 0, 1)
        reach = np.clip(1.25 - np.abs(y - 0.25 - 0.35 * (light.phase + 0.6)) * 2.0, 0, 1)
        return np.asarray(stripe * reach + 0.18 * reach, np.float32)

    def _draw_floor(self, number: int, trodden: tuple[int, ...]) -> Pixels:
        """Sand on a day after so many stays in each lane, concrete and boards."""
        shade = self.sand.copy()
        for ((left, right), steps), count in zip(self.floors, trodden, strict=True):
            if count:
                shade[:, left:right] = steps[count - 1][1].astype(np.float32) * np.float32(1 / 128)
        image = shade * (_planes((0.56, 0.52, 0.50)) * np.float32(self.days[number].sand))
        image *= 1 - self.solid
        image += self.ground
        return image

    def _tread(self, lane: Lane) -> tuple[tuple[int, int], list[tuple[float, NDArray[np.uint8]]]]:
        """The lane's columns, and its sand (brightness x 128) as each stay leaves it with other prints."""
        unit = self.settings.unit
        index = self.lanes.index(lane)
        center = (ROW_LEFT + (ROW_RIGHT - ROW_LEFT) / self.settings.beds * (index - 0.5)) * self.settings.width
        step = (ROW_RIGHT - ROW_LEFT) / self.settings.beds * self.settings.width / 2
        left, right = max(0, round(center - step)), round(center + step)
        y = np.arange(self.settings.height, dtype=np.float32)[:, None]
        x = np.arange(left, right, dtype=np.float32)[None, :]
        inside = np.clip(np.minimum(x - left, right - 1 - x) / (14 * unit), 0, 1)
        shade, steps = self.sand[:, left:right], []
        for count, (begin, at_x, at_y) in enumerate(lane.trodden):
            far = ((x / unit - at_x) / 46) ** 2 + ((y / unit - at_y) / 100) ** 2
            share = 0.8 * np.clip(1.6 - far, 0, 1) * inside
            start = 29 * count % self.settings.height  # another part of a tall sheet of trodden sand
            other = self.trodden[(count * 5 + index) % 6][start : start + self.settings.height, left:right]
            shade = shade * (1 - share) + other * share
            steps.append((begin, np.clip(shade * 128, 0, 255).astype(np.uint8)))
        return (left, right), steps

    def _draw_sprite(self, lane: int, pose_index: int, moment: int) -> Sprite:
        """A cow in a pose; now and then she moves her head."""
        pose = self.lanes[lane].poses[pose_index]
        rng = np.random.default_rng([self.settings.seed, 7, pose.number, moment])
        pose = replace(
            pose,
            neck_turn=pose.neck_turn + rng.normal(0, 0.12),
            bend=pose.bend + rng.normal(0, 0.02),
            heading=pose.heading + rng.normal(0, 0.012),
        )
        coat, unit = self.coats[pose.cow], self.settings.unit
        limbs, head = _limbs(pose, coat), _head(pose, coat, float(rng.normal(0, 0.2)))
        corners = [_place(pose, along, across) for along in (-1, 0, 1) for across in (-1.2, 1.2)]
        canvas = _canvas_for(limbs + head, unit, corners)
        for cone in limbs + head[:1]:
            canvas.cone(cone, unit)
        canvas.trunk(pose, coat, unit)
        for cone in head[1:]:
            canvas.cone(cone, unit)
        return canvas.sprite(unit, lift=4 if pose.posture == "lying" else 15)

    def _draw_clutter(self, lane: int, item: int) -> Sprite:
        _, _, kind, x, y = self.lanes[lane].clutter[item]
        cones = _clutter(kind, x, y)
        canvas = _canvas_for(cones, self.settings.unit)
        for cone in cones:
            canvas.cone(cone, self.settings.unit)
        return canvas.sprite(self.settings.unit, lift=5)

    def _draw_ground(self, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Kerb and boards below, a concrete wall at the right: premultiplied colour and coverage [h, w]."""
        width, height = self.settings.width, self.settings.height
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
        texture = 1 + 0.10 * _smooth_noise(rng, height, width, 11) + 0.05 * _smooth_noise(rng, height, width, 2.5)
        solid = np.asarray(cover.resize(small, Image.Resampling.BOX), np.float32) / 255
        rgb = np.asarray(color.resize(small, Image.Resampling.BOX), np.float32) / 255
        return np.ascontiguousarray(rgb.transpose(2, 0, 1)) * texture, solid

    def _draw_rails(self) -> tuple[Pixels, Pixels]:
        """Rail, dividers, blue pipes over the cows: premultiplied colour, and what stays visible [h, w]."""
        width, height, scale = self.settings.width, self.settings.height, 4
        w, h, thick = width * scale, height * scale, self.settings.unit * scale
        image = Image.new("RGBA", (w, h))
        draw = ImageDraw.Draw(image)
        step = (ROW_RIGHT - ROW_LEFT) / self.settings.beds
        for i in range(self.settings.beds + 1):
            x = (ROW_LEFT + step * i) * w
            if i < self.settings.beds:
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


def _overlap(image: Pixels, left: int, top: int, height: int, width: int) -> tuple[slice, slice, slice, slice] | None:
    """Where a patch meets the image: rows and columns of the image, then of the patch."""
    y0, y1 = max(0, top), min(image.shape[1], top + height)
    x0, x1 = max(0, left), min(image.shape[2], left + width)
    if y0 >= y1 or x0 >= x1:
        return None
    return slice(y0, y1), slice(x0, x1), slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)


def _cast(image: Pixels, sprite: Sprite, light: Light, dx: int, dy: int) -> None:
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
