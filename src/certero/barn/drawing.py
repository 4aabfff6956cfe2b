"""The frames of the demo barn, drawn one at a time from the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from certero.barn.canvas import Pixels, Sprite, planes
from certero.barn.cow import draw_cow, grow_coat
from certero.barn.light import Light, cast, light_at, sunbeams
from certero.barn.plan import DAY_MINUTES, FIRST_DAY, HERD, ROW_LEFT, ROW_RIGHT, Lane, Settings, plan_days, plan_lanes
from certero.barn.stalls import draw_clutter, draw_ground, draw_rails, shade_sand

_MOVE_MINUTES = 20.0  # how long a cow keeps her head still


class Barn:
    """The plan and what is drawn once: sand, concrete, rails, noise. Frames only read it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lanes = plan_lanes(settings)
        self.days = plan_days(settings)
        self.coats = [grow_coat(settings.seed, cow) for cow in range(HERD)]
        self.crops = settings.crops()
        rng = np.random.default_rng([settings.seed, 5])
        height, width, unit = settings.height, settings.width, settings.unit
        self.sand = shade_sand(rng, height, width, unit)
        self.trodden = [shade_sand(rng, 2 * height, width, unit) for _ in range(6)]
        self.ground, self.solid = draw_ground(rng, settings)
        self.rails, self.rail_gap = draw_rails(settings)
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
        light = light_at(self.days[day], minute % DAY_MINUTES)
        trodden = tuple(sum(begin <= minute for begin, _ in steps) for _, steps in self.floors)
        image = self.floor(day, trodden).copy()
        present: dict[str, tuple[str, Sprite | None]] = {}
        for lane, plan in enumerate(self.lanes):
            for item, (begin, end, *_) in enumerate(plan.clutter):
                if begin <= minute < end:
                    cast(image, self.things(lane, item), light, 0, 0)
            pose_index = next((i for i, p in enumerate(plan.poses) if p.begin <= minute < p.end), None)
            label, sprite = "empty", None
            if pose_index is not None:
                pose = plan.poses[pose_index]
                dx, dy = (int(v) for v in rng.integers(-1, 2, 2))
                drawn = self.sprite(lane, pose_index, int((minute - pose.begin) // _MOVE_MINUTES))
                cast(image, drawn, light, dx, dy)
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
            image *= 1 + (1.9 * light.beam) * sunbeams(light, height, width)
            image += 0.10 * light.beam
        if light.infrared:
            image[:] = image.mean(axis=0)
        image *= planes(light.gain) * np.float32(255 * rng.normal(1, 0.03))
        y, x = (int(v) for v in rng.integers(0, 64, 2))
        image += np.float32(255 * light.noise) * self.grain[:, y : y + height, x : x + width]
        np.clip(image, 0, 255, out=image)
        return Image.merge("RGB", [Image.fromarray(plane) for plane in image.astype(np.uint8)])

    def _draw_floor(self, number: int, trodden: tuple[int, ...]) -> Pixels:
        """Sand on a day after so many stays in each lane, concrete and boards."""
        shade = self.sand.copy()
        for ((left, right), steps), count in zip(self.floors, trodden, strict=True):
            if count:
                shade[:, left:right] = steps[count - 1][1].astype(np.float32) * np.float32(1 / 128)
        image = shade * (planes((0.56, 0.52, 0.50)) * np.float32(self.days[number].sand))
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
        return draw_cow(pose, self.coats[pose.cow], self.settings.unit, nod=float(rng.normal(0, 0.2)))

    def _draw_clutter(self, lane: int, item: int) -> Sprite:
        _, _, kind, x, y = self.lanes[lane].clutter[item]
        return draw_clutter(kind, x, y, self.settings.unit)
