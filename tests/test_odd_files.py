"""Odd files get the status and the pixels that they must get; never a wrong picture with status ok."""

from __future__ import annotations

import numpy as np
import pytest

from certero.data.fingerprints import fingerprint
from certero.errors import PhotoError
from certero.pixels import decode
from odd_files import Odd, every_file

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
FILES = list(every_file())


def test_the_collection_holds_the_promised_files() -> None:
    names = [odd.name for odd in FILES]
    assert len(set(names)) == len(names) >= 250
    assert {odd.status for odd in FILES} == {"ok", "damaged", "unreadable"}


@pytest.mark.parametrize("odd", FILES, ids=lambda odd: odd.name)
def test_an_odd_file_is_read_rightly_or_refused(odd: Odd) -> None:
    facts = fingerprint(odd.data)
    assert facts.status == odd.status, facts.problem
    assert odd.words in (facts.problem or "")
    if odd.status == "unreadable":
        with pytest.raises(PhotoError, match=r"^[^\n]{10,200}$"):
            decode(odd.data)
        return
    assert odd.pixels is not None
    pixels = decode(odd.data).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == odd.pixels.shape
    difference = np.abs(pixels.astype(int) - odd.pixels)
    assert difference.max() <= odd.most
    assert difference.mean() <= odd.mean
