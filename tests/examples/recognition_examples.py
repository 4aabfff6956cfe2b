"""Files as a model remembers them, and which of others it knows again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from certero.engine.threads import Threads
from certero.likeness.recognition import Prints, find_copies_seen
from certero.photos.fingerprints import SIDE, fingerprint, pack_hashes, strengths
from certero.photos.pixels import decode, shrink_grey


def prints(files: Sequence[bytes], minutes: np.ndarray | None = None) -> Prints:
    """Fingerprints of readable files, with the given marks of their capture times."""
    facts = [fingerprint(data) for data in files]
    hashes = np.array([list(bytes.fromhex(f.pixel_hash or "")) for f in facts], np.uint8).reshape(-1, 16)
    signs = pack_hashes([f.perceptual_hash or 0 for f in facts], [f.descriptor or b"" for f in facts])
    return Prints(hashes, signs, minutes)


def known_again(
    asked: Sequence[bytes],
    stored: Sequence[bytes],
    marks: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> np.ndarray:
    """Bool [asked]: which files are copies of stored ones."""

    def weigh(row: int) -> np.ndarray:
        return strengths(shrink_grey(decode(asked[row]).pixels, SIDE, SIDE))

    return find_copies_seen(prints(asked, marks[0]), prints(stored, marks[1]), weigh, Threads(2).map)
