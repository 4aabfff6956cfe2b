"""A cow seen from above: her coat, her trunk along a bent spine, legs, tail and head as round cones."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from certero.barn.canvas import Canvas, Color, Cone, Pixels, Sprite, canvas_for, planes, smooth_noise
from certero.barn.plan import Pose

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

# Half widths of the trunk from rump (-1) to shoulder (1), in units of the pose's half width.
_ALONG = (-1.0, -0.97, -0.88, -0.65, -0.3, 0.0, 0.35, 0.62, 0.82, 0.94, 1.0)
_STANDING = (0.0, 0.38, 0.66, 0.97, 0.84, 1.0, 0.94, 0.74, 0.66, 0.50, 0.30)
_LYING = (0.0, 0.40, 0.70, 1.02, 1.05, 1.10, 1.02, 0.84, 0.68, 0.48, 0.28)
_LYING_FLAT = (0.0, 0.36, 0.62, 0.90, 0.92, 0.96, 0.90, 0.76, 0.62, 0.46, 0.28)


@dataclass(frozen=True, slots=True)
class Coat:
    """A cow's looks: hair [3, along, across] from rump to shoulder, and colours of head, blaze and legs."""

    hair: Pixels
    head: Color
    blaze: Color | None
    legs: Color


def grow_coat(seed: int, cow: int) -> Coat:
    """The coat of a cow of the herd: the breeds take turns, the patches are drawn from the seed."""
    rng = np.random.default_rng([seed, 4, cow])
    ground, patch, low, high, legs = _BREEDS[cow % len(_BREEDS)]
    along, across = 192, 96
    field = smooth_noise(rng, along, across, 42) + 0.3 * smooth_noise(rng, along, across, 14)
    cut = np.quantile(field, 1 - rng.uniform(low, high))
    share = np.clip((field - cut) * 6 + 0.5, 0, 1)
    hair = planes(ground) * (1 - share) + planes(patch) * share
    hair = hair * (1 + 0.10 * smooth_noise(rng, along, across, 9) + 0.04 * rng.standard_normal((along, across)))
    blaze = _WHITE if patch == _WHITE and rng.random() < 0.7 else None
    return Coat(np.clip(hair, 0.02, 1).astype(np.float32), ground, blaze, legs)


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


def _lay_trunk(canvas: Canvas, pose: Pose, coat: Coat, unit: float) -> None:
    """Lays the trunk: two outlines along a bent spine, the coat wrapped around it."""
    spots = [_place(pose, along, across) for along in (-1, 0, 1) for across in (-1.3, 1.3)]
    spot = canvas.around([x * unit for x, _ in spots], [y * unit for _, y in spots], 2)
    x, y = canvas.grid(spot)
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
    canvas.lay(spot, alpha, rgb)


def draw_cow(pose: Pose, coat: Coat, unit: float, nod: float) -> Sprite:
    """The cow in a pose, her head turned by nod (radians)."""
    limbs, head = _limbs(pose, coat), _head(pose, coat, nod)
    corners = [_place(pose, along, across) for along in (-1, 0, 1) for across in (-1.2, 1.2)]
    canvas = canvas_for(limbs + head, unit, corners)
    for cone in limbs + head[:1]:
        canvas.cone(cone, unit)
    _lay_trunk(canvas, pose, coat, unit)
    for cone in head[1:]:
        canvas.cone(cone, unit)
    return canvas.sprite(unit, lift=4 if pose.posture == "lying" else 15)
