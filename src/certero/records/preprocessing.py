"""How a decoded photo becomes the input of a network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from certero.interchange import Json


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a decoded photo becomes the network's input; everything after it happens inside the model file.

    Args:
        height: rows of the input, pixels.
        width: columns of the input, pixels.
        fit: `letterbox` keeps the whole frame and its shape and pads; `stretch` ignores the shape; `crop`, of foreign
            models alone, keeps the shape and cuts the middle out.
        filter: `bilinear` or `bicubic`, both with antialiasing.
        pad: grey level (0 to 255) of the letterbox bars.
        shorter_side: `crop`: pixels that the shorter side is resized to before the middle is cut out; None cuts out as
            much as fits.
    """

    height: int
    width: int
    fit: Literal["letterbox", "stretch", "crop"] = "letterbox"
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    pad: int = 127
    shorter_side: int | None = None

    def to_json(self) -> Json:
        """As stored in the model file's card."""
        # Absent where it says nothing: an older certero would not know the key.
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: Json) -> Preprocessing:
        """The inverse of `to_json`."""
        return cls(**data)
