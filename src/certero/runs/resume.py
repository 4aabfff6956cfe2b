"""Resuming an interrupted run: with the same settings on the same photos, or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from certero.config.recipes import override, read_settings, resolve
from certero.config.settings import TrainSettings
from certero.errors import ConfigError, DataError, OutputError
from certero.interchange import Json, json_text
from certero.machine.files import write_whole
from certero.runs.folder import RunFolder, unfinished
from certero.runs.interruption import Interrupted
from certero.runs.openings import Opening
from certero.runs.seal import Catalogue
from certero.sentences import Message, Sentence, in_a_row, message, sentence
from certero.version import version

_STATE, _TABLE, _OPENING = "resume.json", "resume.parquet", "openings.jsonl"
_SCHEMA = 1
# What may differ: it changes how long a run takes, not its result (except the last bits, with other threads).
_FREE = ("workers", "checkpoint_seconds")
_COMPARED = ("label", "split", "fold", "status", "pixel_hash")
_NAMED = 3


def remember(folder: RunFolder, settings: TrainSettings, photos: Catalogue) -> None:
    """Stores what a resumed run must find unchanged.

    Args:
        folder: of the run.
        settings: resolved.
        photos: with their splits or folds.
    """
    state: Json = {"schema": _SCHEMA, "settings": settings.to_toml(), "certero": version()}
    write_whole(folder.work / _TABLE, photos.to_parquet())
    write_whole(folder.work / _STATE, json.dumps(state))


def settings_to_resume(place: Path, recipe: str | None, given: dict[str, Any]) -> TrainSettings:
    """The settings of the interrupted run.

    Args:
        place: of that run.
        recipe: if it was given again.
        given: settings that were given again; None if not.

    Raises:
        OutputError: if there is no such run, or another version of certero began it.
        ConfigError: if a given setting differs; the message names all that do.
    """
    file = unfinished(place) / _STATE
    try:
        state: Json = json.loads(file.read_text("utf-8"))
        began = str(state["certero"])
        if began == version():
            stored = read_settings(state["settings"])
    except OSError:
        # The folder is looked up next, with a better message.
        return resolve("probe")
    except (ValueError, KeyError, ConfigError) as error:
        raise OutputError(
            "--resume must find the settings of the run; %(file)s cannot be read by this certero "
            "(%(error)s). Start anew.",
            file=file,
            error=error,
        ) from error
    if began != version():
        # The same weights may mean something else to it: once the order in which activations are flattened changed, and
        # a resumed run ended without complaint in a worthless model.
        raise OutputError(
            "--resume must go on with the certero that the run began with, %(began)s; this is "
            "%(version)s, to which its weights may mean something else. Install "
            "certero==%(began)s, or start a new run.",
            began=began,
            version=version(),
        )
    asked = resolve(recipe, **given) if recipe is not None else override(stored, given)
    changes = [
        f"{field.name} {_shown(getattr(stored, field.name))} → {_shown(getattr(asked, field.name))}"
        for field in dataclasses.fields(stored)
        if field.name not in _FREE and getattr(stored, field.name) != getattr(asked, field.name)
    ]
    if changes:
        raise ConfigError(
            "--resume goes on with the settings that the run began with; changed: %(changes)s. "
            "Give none or the same ones, or start a new run.",
            changes="; ".join(changes),
        )
    return dataclasses.replace(stored, **{name: getattr(asked, name) for name in _FREE})


def check_data(folder: RunFolder, photos: Catalogue) -> None:
    """Raises unless the photos are those that the run started with.

    Raises:
        DataError: naming what changed.
    """
    try:
        before = pl.read_parquet(folder.work / _TABLE, glob=False)
    except Exception as error:  # Polars raises its own kinds besides OSError.
        raise OutputError(
            "--resume must find the photos of the run; %(work)s: %(error)s.", work=folder.work / _TABLE, error=error
        ) from error
    table = pl.read_parquet(io.BytesIO(photos.to_parquet()))
    old, new = set(before["path"]), set(table["path"])
    changes = [*_count(message("gone"), old - new), *_count(message("new"), new - old)]
    both = before.join(table, on="path", how="inner", suffix="_now")
    for column in (*_COMPARED, *(name for name in before.columns if name in table.columns)):
        if f"{column}_now" not in both.columns or (column not in _COMPARED and column in _DERIVED):
            continue
        differs = both.filter(pl.col(column).ne_missing(pl.col(f"{column}_now")))
        changes += _count(_changed(column), set(differs["path"]))
    if changes:
        unique = list(dict.fromkeys(changes))
        raise DataError(
            "--resume goes on with the photos that the run began with; changed: %(unique)s. Put "
            "them back, or start a new run.",
            unique=in_a_row(unique, "; "),
        )


# Columns that follow from others, or may be computed again.
_DERIVED = frozenset(
    [
        "captured_from",
        "problem",
        "format",
        "width",
        "height",
        "bytes",
        "content_hash",
        "perceptual_hash",
        "descriptor",
        "brightness",
        "unit",
    ]
)


def earlier_opening(folder: RunFolder) -> Opening | None:
    """The opening of the test photos that this very run logged before it was interrupted."""
    file = folder.work / _OPENING
    if not folder.resumed or not file.is_file():
        return None
    record: Json = json.loads(file.read_text("utf-8"))
    return Opening(record, int(record["earlier"]))


def keep_opening(folder: RunFolder, opening: Opening) -> None:
    """Writes the opening into the run at once, so that a resumed run does not count it twice."""
    write_whole(folder.work / _OPENING, json_text(opening.record, ensure_ascii=True) + "\n")


def resume_command(folder: RunFolder, data: Path) -> str:
    """The command line that resumes the run."""
    return shlex.join(["certero", "train", str(data), "--resume", str(folder.place)])


@contextlib.contextmanager
def saying_how_to_resume(folder: RunFolder, data: Path) -> Iterator[None]:
    """Inside it, Ctrl-C says how to resume, if there is something to resume.

    Raises:
        Interrupted: in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if any(folder.checkpoints.rglob("*.safetensors")):
            said = sentence(
                "Interrupted; the training is saved up to its last checkpoint. Go on with: %(command)s",
                command=resume_command(folder, data),
            )
            raise Interrupted(said) from error
        raise


def forget(folder: RunFolder) -> None:
    """Removes what only an unfinished run needs; of the training only the best weights stay."""
    for name in (_STATE, _TABLE):
        (folder.work / name).unlink(missing_ok=True)
    for training in sorted(folder.checkpoints.glob("*")):
        best = next(training.glob("best-*.safetensors"), None)
        # In this order: the shipped weights are those after the epochs on train and val, if there were any.
        if training.name in ("final", "final-refit") and best is not None:
            best.replace(folder.checkpoints / "best.safetensors")
        shutil.rmtree(training, ignore_errors=True)


def _changed(column: str) -> Message:
    if column == "pixel_hash":
        return message("with other content")
    return message("of another status") if column == "status" else sentence("with another %(column)s", column=column)


def _count(what: Message, paths: set[str]) -> list[Sentence]:
    if not paths:
        return []
    shown = sorted(paths)[:_NAMED]
    names = ", ".join([*shown, *(["..."] if len(paths) > _NAMED else [])])
    return [sentence("%(count)d photos %(what)s (%(names)s)", count=len(paths), what=what, names=names)]


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
