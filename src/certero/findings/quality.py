"""Photos that are hard to see or unlike the rest: dark, bright, blurred, empty, of an odd size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.findings.findings import Finding, Severity, concerning
from certero.sentences import Sentence, sentence

# Grey levels, white is 1.
_DARK_BELOW = 0.25
_BRIGHT_ABOVE = 0.8
_LEAST_ENTROPY, _LEAST_CONTRAST = 3.0, 0.02
# Blurred: below this share of the photos' usual sharpness, and below the sharpness of any sharp photo.
_BLUR_SHARE, _SHARP = 0.35, 0.12
_ODD_SIZE, _ODD_SHAPE = 3.0, 1.8
_LEAST_SIDE = 32
# Above this share of all photos it is a condition to know of, not a defect of single photos.
_COMMON = 0.1


def judge_quality(
    table: pl.DataFrame,
    sharpness: Sequence[float],
    contrast: Sequence[float],
    entropy: Sequence[float],
    darkest: Sequence[float],
    brightest: Sequence[float],
) -> list[Finding]:
    """Findings of the kinds dark, bright, low_information, blurry and odd_size, one a photo.

    Args:
        table: rows of the used photos.
        sharpness: of the same photos, and so the following; see `photos.views.Measures`.
        contrast: 0 to 1.
        entropy: bits.
        darkest: grey level 0 to 1 that 5 % of the pixels lie below.
        brightest: grey level 0 to 1 that 99 % of the pixels lie below.
    """
    dark, bright = np.asarray(brightest), np.asarray(darkest)
    sharp, bits, spread = np.asarray(sharpness), np.asarray(entropy), np.asarray(contrast)
    findings: list[Finding] = []
    seen = np.zeros(table.height, bool)

    def add(kind: str, where: npt.NDArray[np.bool_], score: npt.NDArray[np.float64], said: Sentence) -> None:
        severity: Severity = "low" if where.mean() > _COMMON else "medium"
        findings.extend(
            concerning(kind, severity, said, table[row], float(score[row])) for row in np.flatnonzero(where).tolist()
        )

    if not table.height:
        return findings
    where = dark < _DARK_BELOW
    add("dark", where, 1 - dark, sentence("the brightest spots are darker than a quarter of white"))
    seen |= where
    where = bright > _BRIGHT_ABOVE
    add("bright", where, bright, sentence("the darkest spots are nearly white"))
    seen |= where
    where = ((bits < _LEAST_ENTROPY) | (spread < _LEAST_CONTRAST)) & ~seen
    add("low_information", where, 1 - bits / 8, sentence("nearly every spot is of one grey"))
    seen |= where
    usual = float(np.median(sharp))
    where = (sharp < _BLUR_SHARE * usual) & (sharp < _SHARP) & ~seen
    score = 1 - sharp / max(usual, 1e-6)
    add("blurry", where, score, sentence("much less sharp than these photos usually are"))
    findings += _odd_sizes(table)
    return findings


def _odd_sizes(table: pl.DataFrame) -> list[Finding]:
    width, height = table["width"].to_numpy().astype(float), table["height"].to_numpy().astype(float)
    usual_width, usual_height = int(np.median(width)), int(np.median(height))
    size = np.log(np.sqrt(width * height) / np.sqrt(usual_width * usual_height))
    shape = np.log(np.maximum(width, height) / np.minimum(width, height))
    shape = np.abs(shape - np.median(shape))
    odd = (np.abs(size) > np.log(_ODD_SIZE)) | (shape > np.log(_ODD_SHAPE)) | (np.minimum(width, height) < _LEAST_SIDE)
    severity: Severity = "low" if odd.mean() > _COMMON else "medium"
    return [
        concerning(
            "odd_size",
            severity,
            sentence(
                "%(width)d x %(height)d pixels, where %(usual_width)d x %(usual_height)d are usual",
                width=int(width[row]),
                height=int(height[row]),
                usual_width=usual_width,
                usual_height=usual_height,
            ),
            table[row],
            float(max(abs(size[row]), shape[row])),
        )
        for row in np.flatnonzero(odd).tolist()
    ]
