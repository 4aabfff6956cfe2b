"""The seal of the test set: its rows apart from all others until they are opened, once."""

from __future__ import annotations

import polars as pl

from certero.data.table import Photos, development, held_out
from certero.runs.openings import Opening, open_test_set


class SealedTest:
    """Test photos that nobody sees before they are opened, and whose opening is logged.

    Args:
        table: the used rows of test.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table

    def __len__(self) -> int:
        return self._table.height

    def open(
        self, *, purpose: str, data: str, run: str, earlier: Opening | None = None
    ) -> tuple[pl.DataFrame, Opening]:
        """Logs the opening, then gives the rows and how often they were opened before.

        Args:
            purpose: for the log, like `data` and `run`.
            data: where the photos are.
            run: who opens them.
            earlier: the opening that this very run has logged before it was cut off: it is not another one.
        """
        opening = earlier or open_test_set(self._table["pixel_hash"].to_list(), purpose=purpose, data=data, run=run)
        return self._table, opening


def seal(photos: Photos) -> tuple[pl.DataFrame, SealedTest]:
    """Development rows for everything that chooses, fits and calibrates; and the test rows, sealed."""
    return development(photos), SealedTest(held_out(photos))
