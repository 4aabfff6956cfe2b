"""The seal of the test set, as types: development photos may be used, test photos must be opened first."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from certero.data.split import fold_training_mask
from certero.data.table import Photos, development, held_out
from certero.photos.listing import on_disk
from certero.runs.openings import Opening, open_test_set

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Development:
    """Photos for everything that chooses, fits and calibrates.

    Args:
        table: used rows of train and val; with cross-validation, of photos that are not held out at the moment.
        root: folder that the table's paths are relative to.

    Raises:
        TypeError: if it is not a table: sealed photos are not development photos.
        ValueError: if a row is of a test split.
    """

    table: pl.DataFrame
    root: Path

    def __post_init__(self) -> None:
        if not isinstance(self.table, pl.DataFrame):
            raise TypeError(f"development photos must be rows of a table; found {type(self.table).__name__}")
        if (self.table["split"] == "test").any():
            raise ValueError("development photos must be of train or val; found rows of test")

    def __len__(self) -> int:
        return self.table.height

    def paths(self) -> list[Path]:
        """Where the photos are on disk."""
        return [on_disk(self.root, name) for name in self.table["path"]]

    def where(self, mask: NDArray[np.bool_]) -> Development:
        """Some of the photos: bool [n]."""
        return Development(self.table.filter(pl.Series(mask)), self.root)

    def outside_fold(self, fold: int, gap: timedelta) -> Development:
        """The photos outside a fold, further than the gap in time from each of its photos.

        Args:
            fold: the outer fold that is held out.
            gap: `Separation.gap`, which is zero unless time separates.
        """
        return self.where(fold_training_mask(self.table, fold, gap))


@dataclass(frozen=True, slots=True)
class Opened:
    """Test photos whose opening is logged.

    Args:
        table: their rows.
        root: folder that the table's paths are relative to.
        opening: as logged.
    """

    table: pl.DataFrame
    root: Path
    opening: Opening

    def paths(self) -> list[Path]:
        """Where the photos are on disk."""
        return [on_disk(self.root, name) for name in self.table["path"]]

    def of_fold(self, fold: int) -> Opened:
        """The photos that a fold of cross-validation judges."""
        return Opened(self.table.filter(pl.col("fold") == fold), self.root, self.opening)


class SealedTest:
    """Test photos that nobody sees before they are opened, and whose opening is logged.

    What a dry run may know of them: how many they are, and which contents the cache may know already.

    Args:
        table: used rows of test; with cross-validation all used rows, of which each is judged once.
        root: folder that the table's paths are relative to.
    """

    __slots__ = ("__root", "__table")

    def __init__(self, table: pl.DataFrame, root: Path) -> None:
        self.__table, self.__root = table, root

    def __len__(self) -> int:
        return self.__table.height

    def content_hashes(self) -> list[str]:
        """Of the photos' files, to look up cached embeddings. They give away neither label nor pixels."""
        return self.__table["content_hash"].to_list()

    def open(self, *, purpose: str, data: str, run: str, earlier: Opening | None = None) -> Opened:
        """Logs the opening, then gives the rows.

        Args:
            purpose: for the log, like `data` and `run`.
            data: where the photos are.
            run: who opens them.
            earlier: the opening that this very run has logged before it was cut off: it is not another one.
        """
        opening = earlier or open_test_set(self.__table["pixel_hash"].to_list(), purpose=purpose, data=data, run=run)
        return Opened(self.__table, self.__root, opening)


class Catalogue:
    """The table of all photos, test photos among them, to be stored: its rows come out as a file's bytes alone.

    Args:
        table: every row with its status.
    """

    __slots__ = ("__table",)

    def __init__(self, table: pl.DataFrame) -> None:
        self.__table = table

    def __len__(self) -> int:
        return self.__table.height

    def to_parquet(self) -> bytes:
        """The contents of `data.parquet`."""
        # Polars' own file writer does not say that the disk is full.
        file = io.BytesIO()
        self.__table.write_parquet(file)
        return file.getvalue()


def seal(photos: Photos) -> tuple[Development, SealedTest]:
    """Photos with their splits as development photos and sealed test photos."""
    return Development(development(photos), photos.root), SealedTest(held_out(photos), photos.root)


def seal_folds(photos: Photos) -> tuple[Development, SealedTest]:
    """Photos with their folds: all may be fitted on in the end, and each is judged once, by models that did not."""
    return Development(photos.used(), photos.root), SealedTest(photos.used(), photos.root)
