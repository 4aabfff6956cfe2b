"""Edits that people and programs make to photos: pixels in, pixels out, uint8 [height, width, 3]."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from certero.photos.photo import UInt8


def resave(pixels: UInt8, quality: int) -> UInt8:
    """The photo after a round through JPEG of this quality, 1 to 95."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    return np.asarray(Image.open(encoded).convert("RGB"))


def halve(pixels: UInt8) -> UInt8:
    """The photo at half of its height and width."""
    height, width = pixels.shape[:2]
    size = max(1, width // 2), max(1, height // 2)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def crop(pixels: UInt8, share: float) -> UInt8:
    """The photo without this share of its height and width on each side, rounded down."""
    height, width = pixels.shape[:2]
    down, across = int(height * share), int(width * share)
    return np.ascontiguousarray(pixels[down : height - down, across : width - across])


def crop_corner(pixels: UInt8, share: float) -> UInt8:
    """The upper left part of the photo: this share of its height and width."""
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[: max(1, round(height * share)), : max(1, round(width * share))])


def brighten(pixels: UInt8, percent: int) -> UInt8:
    """The photo with every level at so many percent of itself, rounded down, white at most."""
    levels = np.minimum(np.arange(256) * percent // 100, 255).astype(np.uint8)
    return np.asarray(levels[pixels], np.uint8)


def change_contrast(pixels: UInt8, factor: float) -> UInt8:
    """The photo with every level's distance from the mean grey multiplied."""
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(factor))


def mirror(pixels: UInt8) -> UInt8:
    """The photo with left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def turn(pixels: UInt8, degrees: float) -> UInt8:
    """The photo turned to the left about its middle; corners are cut off and filled with black."""
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR))


def add_border(pixels: UInt8, share: float) -> UInt8:
    """The photo in a white border, as wide as this share of the shorter side."""
    width = max(1, round(share * min(pixels.shape[:2])))
    return np.asarray(ImageOps.expand(Image.fromarray(pixels), width, (255, 255, 255)))
