"""Changes to training photos, drawn afresh each epoch from (seed, epoch, photo): no worker holds any state.

Geometry is one resampling of the batch, colour one matrix for each photo: whatever is asked for, pixels are read twice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from certero.errors import ConfigError

#: Uniform random numbers for one photo in one epoch; `augment` says which stands for what.
DRAWS = 16
_LUMA = (0.299, 0.587, 0.114)
# RGB to YIQ, in which hue is an angle and saturation a radius. Source: NTSC, FCC 1953.
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to a photo; zeros and ones leave it alone.

    Args:
        rotation_degrees: rotation by up to so much, either way.
        flip: chance of a left-right mirror image.
        flip_vertical: chance of an upside-down mirror image: for photos from above.
        brightness: levels times 1 ± up to so much.
        contrast: distances from the mean grey times 1 ± up to so much.
        saturation: distances from grey times 1 ± up to so much.
        hue: rotation by up to so much of the colour circle, 0 to 0.5.
        zoom: least and greatest share of the photo's area that is shown.
        ratio: least and greatest width / height of that part, before it is stretched to the square.
        erase: chance that a patch of a tenth of the area is greyed out.
    """

    rotation_degrees: float = 0.0
    flip: float = 0.0
    flip_vertical: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    erase: float = 0.0

    @property
    def moves_pixels(self) -> bool:
        """Whether the photo has to be resampled."""
        return self.rotation_degrees > 0 or self.zoom != (1.0, 1.0) or self.ratio != (1.0, 1.0)

    @property
    def recolours(self) -> bool:
        """Whether levels change."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0


PRESETS = {
    "none": Augmentation(),
    "light": Augmentation(flip=0.5, brightness=0.1, contrast=0.1, zoom=(0.8, 1.0)),
    "standard": Augmentation(
        rotation_degrees=10, flip=0.5, brightness=0.2, contrast=0.2, saturation=0.2, zoom=(0.5, 1.0), ratio=(0.8, 1.25)
    ),
    "strong": Augmentation(
        rotation_degrees=20,
        flip=0.5,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.03,
        zoom=(0.3, 1.0),
        ratio=(0.75, 1.33),
        erase=0.25,
    ),
}


def read_augmentation(asked: str | dict[str, Any]) -> Augmentation:
    """The augmentation of a preset's name, or of a recipe's table.

    Raises:
        ConfigError: for an unknown preset or parameter, or a value out of range.
    """
    if isinstance(asked, str):
        if asked not in PRESETS:
            raise ConfigError(
                "--augment must be one of %(presets)s; found %(asked)r.", presets=", ".join(PRESETS), asked=asked
            )
        return PRESETS[asked]
    known = {field.name for field in dataclasses.fields(Augmentation)}
    values: dict[str, Any] = {}
    for name, value in asked.items():
        if name not in known:
            raise ConfigError("augment takes %(known)s; found %(name)s.", known=", ".join(sorted(known)), name=name)
        values[name] = _range(name, value) if name in ("zoom", "ratio") else _number(name, value)
    return Augmentation(**values)


def _number(name: str, value: object) -> float:
    most = {"rotation_degrees": 180.0, "hue": 0.5}.get(name, 1.0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ConfigError(
            "augment: %(name)s must be a number from 0 to %(most)g; found %(value)r.", name=name, most=most, value=value
        )
    return float(value)


def _range(name: str, value: object) -> tuple[float, float]:
    low, high = (0.01, 1.0) if name == "zoom" else (0.1, 10.0)
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
        or not low <= value[0] <= value[1] <= high
    ):
        raise ConfigError(
            "augment: %(name)s must be a least and a greatest number between %(low)g and %(high)g; found %(value)r.",
            name=name,
            low=low,
            high=high,
            value=value,
        )
    return float(value[0]), float(value[1])


def draw(seed: int, epoch: int, keys: Sequence[int], repeats: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Uniform numbers float32 [n, 16] in [0, 1), the same for the same seed, epoch and photo wherever they are drawn.

    Args:
        seed: of the run.
        epoch: from 0.
        keys: a number that identifies each photo, 64 bits.
        repeats: how often the photo came before in this epoch, where one may come several times.
    """
    rows = np.empty((len(keys), DRAWS), np.float32)
    for row, key in enumerate(keys):
        again = 0 if repeats is None else int(repeats[row])
        bits = np.random.SeedSequence([seed, epoch, again, int(key) & 0xFFFFFFFF, int(key) >> 32])
        rows[row] = np.random.Generator(np.random.Philox(bits)).random(DRAWS, np.float32)
    return rows


def augment(images: torch.Tensor, draws: NDArray[np.float32], augmentation: Augmentation, side: int) -> torch.Tensor:
    """The changed photos, levels 0 to 255 as float32 [N, 3, side, side].

    Args:
        images: uint8 [N, H, W, 3]; larger than `side` so that a zoom finds detail.
        draws: of these photos, from `draw`.
        augmentation: what may happen.
        side: of the network's input, pixels.
    """
    x = images.permute(0, 3, 1, 2).float()
    if augmentation.moves_pixels or tuple(images.shape[1:3]) != (side, side):
        theta = torch.from_numpy(_affine(draws, augmentation)).to(x.device)
        grid = torch.nn.functional.affine_grid(theta, [len(x), 3, side, side], align_corners=False)
        x = torch.nn.functional.grid_sample(
            x.contiguous(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
    else:
        for chance, column, axis in ((augmentation.flip, 0, 3), (augmentation.flip_vertical, 1, 2)):
            chosen = np.flatnonzero(draws[:, column] < chance)
            if len(chosen):
                rows = torch.from_numpy(chosen).to(x.device)
                x[rows] = x[rows].flip(axis)
    if augmentation.recolours:
        x = _recolour(x, draws, augmentation)
    if augmentation.erase:
        _erase(x, draws, augmentation.erase)
    return x


def _affine(draws: NDArray[np.float32], augmentation: Augmentation) -> NDArray[np.float32]:
    """From places in the result to places in the photo, both from -1 to 1: float32 [N, 2, 3]."""
    u = draws.astype(np.float64)
    low, high = augmentation.zoom
    area = low + (high - low) * u[:, 2]
    ratio = np.exp(np.log(augmentation.ratio[0]) + np.log(augmentation.ratio[1] / augmentation.ratio[0]) * u[:, 3])
    width, height = np.minimum(np.sqrt(area * ratio), 1.0), np.minimum(np.sqrt(area / ratio), 1.0)
    angle = np.radians(augmentation.rotation_degrees) * (2 * u[:, 4] - 1)
    mirror = np.where(u[:, 0] < augmentation.flip, -1.0, 1.0)
    upside_down = np.where(u[:, 1] < augmentation.flip_vertical, -1.0, 1.0)
    theta = np.empty((len(u), 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = mirror * width * np.cos(angle), -height * np.sin(angle)
    theta[:, 1, 0], theta[:, 1, 1] = mirror * width * np.sin(angle), height * np.cos(angle)
    theta[:, :, 1] *= upside_down[:, None]
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * (2 * u[:, 5] - 1), (1 - height) * (2 * u[:, 6] - 1)
    return theta.astype(np.float32)


def _recolour(x: torch.Tensor, draws: NDArray[np.float32], augmentation: Augmentation) -> torch.Tensor:
    """Brightness, contrast, saturation and hue as one matrix and one offset for each photo."""
    u = 2 * draws[:, 7:11].astype(np.float64) - 1
    brightness = 1 + augmentation.brightness * u[:, 0]
    contrast = 1 + augmentation.contrast * u[:, 1]
    saturation = 1 + augmentation.saturation * u[:, 2]
    angle = 2 * math.pi * augmentation.hue * u[:, 3]
    to_yiq = np.array(_TO_YIQ)
    turn = np.zeros((len(u), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(angle)
    turn[:, 1, 2], turn[:, 2, 1] = -saturation * np.sin(angle), saturation * np.sin(angle)
    matrix = np.linalg.inv(to_yiq) @ turn @ to_yiq * (brightness * contrast)[:, None, None]
    means = x.mean(dim=(2, 3)).double().cpu().numpy() @ np.array(_LUMA)
    offset = (1 - contrast) * brightness * means
    colours = torch.from_numpy(matrix.astype(np.float32)).to(x.device)
    shift = torch.from_numpy(offset.astype(np.float32)).to(x.device).reshape(-1, 1, 1)
    return torch.baddbmm(shift, colours, x.flatten(2)).clamp_(0, 255).reshape(x.shape)


def _erase(x: torch.Tensor, draws: NDArray[np.float32], chance: float) -> None:
    """Source: Zhong et al., "Random erasing data augmentation", AAAI 2020."""
    side = x.shape[2]
    for row in np.flatnonzero(draws[:, 11] < chance):
        ratio = math.exp(math.log(3) * (2 * float(draws[row, 12]) - 1))
        rows, columns = round(side * math.sqrt(0.1 * ratio)), round(side * math.sqrt(0.1 / ratio))
        top, left = int(float(draws[row, 13]) * (side - rows)), int(float(draws[row, 14]) * (side - columns))
        x[int(row), :, top : top + rows, left : left + columns] = 127.0


def blend(
    x: torch.Tensor, targets: torch.Tensor, mixup: float, cutmix: float, seed: int, epoch: int, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Photos and targets blended in pairs, drawn from (seed, epoch, step).

    Where both are asked for, half the steps take each.
    Source: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019.

    Args:
        x: float32 [N, 3, H, W].
        targets: float32 [N, K], rows that sum to 1.
        mixup: alpha of the Beta distribution, 0 for none.
        cutmix: alpha of the Beta distribution, 0 for none.
        seed: of the run.
        epoch: from 0.
        step: from 0 in the epoch.
    """
    if not mixup and not cutmix:
        return x, targets
    rng = np.random.default_rng([seed, epoch, step, 1])
    pastes = bool(cutmix) and (not mixup or rng.random() < 0.5)
    share = float(rng.beta(cutmix, cutmix) if pastes else rng.beta(mixup, mixup))
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    if pastes:
        side = x.shape[2]
        length = round(side * math.sqrt(1 - share))
        top, left = (int(rng.integers(0, side - length + 1)) for _axis in range(2))
        part = (slice(None), slice(None), slice(top, top + length), slice(left, left + length))
        x = x.clone()
        x[part] = x[partner][part]
        share = 1 - length * length / side**2
    else:
        x = torch.lerp(x[partner], x, share)
    return x, torch.lerp(targets[partner], targets, share)
