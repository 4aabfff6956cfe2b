"""What is known of a photo before any network sees it, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from certero.sentences import Message

SPLITS = ("train", "val", "test")

#: What became of a photo. `ok` and `damaged` photos are used; the others are listed and never used.
Status = Literal["ok", "damaged", "unreadable", "purged", "leaked"]
USED: tuple[Status, ...] = ("ok", "damaged")


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What one look at a photo's bytes tells.

    Args:
        status: `ok`, `damaged` (decoder warned, all pixels present) or `unreadable`.
        problem: the reason in a user's words; None for `ok`.
        format: `jpeg`, `heic`, `png` ... (`formats.READ`): of the content, whatever the name says. None if unknown.
        width: pixels after EXIF orientation; None if unreadable (height likewise).
        content_hash: 32 hexadecimal digits of the file's SHA-256.
        pixel_hash: 32 hexadecimal digits over the decoded, oriented RGB pixels and their shape.
        perceptual_hash: 64-bit DCT hash.
        descriptor: 32 bytes, a 256-bit DCT sign hash: tells copies from look-alikes where no pixels are at hand.
        brightness: mean luma, 0 to 1.
        captured_at: EXIF capture time, naive local, if the file has one.
    """

    status: Status
    problem: Message | None
    format: str | None
    width: int | None
    height: int | None
    content_hash: str
    pixel_hash: str | None = None
    perceptual_hash: int | None = None
    descriptor: bytes | None = None
    brightness: float | None = None
    captured_at: datetime | None = None
