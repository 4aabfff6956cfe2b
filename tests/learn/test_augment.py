"""Changes to training photos: drawn from (seed, epoch, photo) alone, and what they say they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from certero.errors import ConfigError
from certero.learn.augment import PRESETS, Augmentation, augment, blend, draw, read_augmentation

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

KEYS = [5, 2**63 + 9, 77, 5_000_000_000]


def _photos(side: int = 24) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (len(KEYS), side, side, 3)).astype(np.uint8))


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_a_photo_is_changed_alike_in_any_batch_and_anew_each_epoch(preset: str) -> None:
    images, chosen = _photos(), read_augmentation(preset)
    together = augment(images, draw(3, 7, KEYS), chosen, 24)
    turned = augment(images.flip(0), draw(3, 7, KEYS[::-1]), chosen, 24).flip(0)
    torch.testing.assert_close(together, turned, rtol=0, atol=1e-3)
    alone = augment(images[2:3], draw(3, 7, KEYS[2:3]), chosen, 24)
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=1e-3)
    for seed, epoch in ((3, 8), (4, 7)):
        assert not torch.equal(together, augment(images, draw(seed, epoch, KEYS), chosen, 24))


def test_a_photo_drawn_twice_in_an_epoch_is_changed_in_two_ways() -> None:
    twice = draw(0, 0, [9, 9], [0, 1])
    assert not np.array_equal(twice[0], twice[1])
    assert np.array_equal(draw(0, 0, [9]), twice[:1])


def test_no_augmentation_changes_nothing() -> None:
    images = _photos()
    changed = augment(images, draw(0, 0, KEYS), Augmentation(), 24)
    assert torch.equal(changed, images.permute(0, 3, 1, 2).float())


@pytest.mark.parametrize("moves", [False, True], ids=["copied", "resampled"])
def test_flips_are_mirror_images(moves: bool) -> None:
    images = _photos()
    for name, axis in (("flip", 3), ("flip_vertical", 2)):
        # A turn by nothing takes the way through the resampling.
        chosen = Augmentation(**{name: 1.0}, rotation_degrees=1e-9 if moves else 0.0)
        changed = augment(images, draw(0, 0, KEYS), chosen, 24)
        torch.testing.assert_close(changed, images.permute(0, 3, 1, 2).float().flip(axis), rtol=0, atol=0.05)


def test_rotation_turns_by_the_angle_and_shape_survives() -> None:
    # A bright bar through the middle; after a turn its direction is the angle drawn.
    images = torch.zeros(1, 101, 101, 3, dtype=torch.uint8)
    images[:, 48:53, 20:81] = 255
    chosen = Augmentation(rotation_degrees=90)
    draws = draw(1, 0, [1])
    changed = augment(images, draws, chosen, 101)[0, 0].numpy()
    rows, columns = np.nonzero(changed > 128)
    cloud = np.stack([columns - columns.mean(), rows - rows.mean()])
    direction = np.linalg.eigh(cloud @ cloud.T)[1][:, 1]
    found = np.degrees(np.arctan2(direction[1], direction[0])) % 180
    wanted = -90 * (2 * float(draws[0, 4]) - 1) % 180
    assert min(abs(found - wanted), 180 - abs(found - wanted)) < 2
    assert abs(len(rows) - 5 * 61) < 40


def test_zoom_shows_the_share_of_the_area_and_keeps_inside_the_photo() -> None:
    # Levels are the place: what is shown can be read off them.
    ramp = torch.arange(200, dtype=torch.float32).repeat(200, 1)
    images = torch.stack([ramp, ramp.T, ramp], dim=-1).byte()[None]
    for epoch in range(20):
        changed = augment(images, draw(0, epoch, [3]), Augmentation(zoom=(0.25, 0.25)), 100)[0]
        for axis in (0, 1):
            shown = float(changed[axis].max() - changed[axis].min())
            assert shown == pytest.approx(99, abs=1.5)
            assert 0 <= float(changed[axis].min()) <= float(changed[axis].max()) <= 199


def test_colours_follow_their_definitions() -> None:
    images = _photos().clamp(60, 180)
    x = images.permute(0, 3, 1, 2).double()
    draws = draw(0, 0, KEYS)
    u = torch.from_numpy(2 * draws[:, 7:11].astype(np.float64) - 1).reshape(-1, 4, 1, 1, 1)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).reshape(1, 3, 1, 1)
    grey = (x * luma).sum(dim=1, keepdim=True)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    expected = {
        "brightness": x * (1 + 0.2 * u[:, 0]),
        "contrast": mean + (x - mean) * (1 + 0.2 * u[:, 1]),
        "saturation": grey + (x - grey) * (1 + 0.2 * u[:, 2]),
    }
    for name, wanted in expected.items():
        changed = augment(images, draws, Augmentation(**{name: 0.2}), 24).double()
        torch.testing.assert_close(changed, wanted.clamp(0, 255), rtol=0, atol=0.1)
    turned = augment(images, draws, Augmentation(hue=0.1), 24).double()
    torch.testing.assert_close((turned * luma).sum(1, keepdim=True), grey, rtol=0, atol=2.0)
    assert not torch.allclose(turned, x, atol=5)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_blended_targets_hold_the_shares_of_the_photos(mixup: float, cutmix: float) -> None:
    # Photos of one level each, which is the index: the mean level tells the shares.
    levels = torch.tensor([0.0, 100.0, 200.0, 300.0])
    x = levels.reshape(4, 1, 1, 1).expand(4, 3, 50, 50).contiguous()
    targets = torch.eye(4)
    seen = set()
    for step in range(30):
        mixed, shares = blend(x, targets, mixup, cutmix, 0, 0, step)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(4))
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), shares @ levels, rtol=0, atol=0.5)
        again = blend(x, targets, mixup, cutmix, 0, 0, step)
        assert torch.equal(again[0], mixed)
        seen.add(float(shares.max()))
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("wild", "must be one of none, light, standard, strong; found 'wild'"),
        ({"rotate": 3}, "augment takes .*; found rotate"),
        ({"flip": 1.5}, "flip must be a number from 0 to 1; found 1.5"),
        ({"flip": True}, "flip must be a number"),
        ({"hue": 0.7}, "hue must be a number from 0 to 0.5"),
        ({"zoom": [0.9, 0.5]}, "zoom must be a least and a greatest number"),
        ({"zoom": 0.9}, "zoom must be a least and a greatest number"),
    ],
)
def test_an_impossible_augmentation_is_refused(asked: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_augmentation(asked)
