"""The demo barn: a fixed overhead camera over sand beds, drawn from a seed.

Nothing is downloaded and everything is known: who lies or stands where, since when, and in which box of the
frame. The barn is built to teach one lesson: a cow stays for an hour and hardly moves, so neighbouring frames
are nearly the same photo, and a random split claims more than the model can do on another day.

A plan is drawn first (who is where, in which pose, under which light), then each frame is drawn on its own
from the plan and a random generator seeded by the barn's seed and the frame's number. So the bytes do not
depend on the order or number of threads.
"""

from __future__ import annotations

import builtins
import csv
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from certero.barn.drawing import Barn
from certero.barn.plan import Settings
from certero.errors import OutputError, reason_of
from certero.interchange import json_text
from certero.records.protocols import Map, Progress, no_progress

#: A barn of another version is other photos: raise it with any change to what is drawn.
VERSION = 1
LABELS = ("empty", "lying", "standing")
_MARK = "barn.json"
_JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class BarnSummary:
    """What `render_barn` wrote or found.

    Args:
        folder: the barn.
        manifest: its `beds.csv`, which `certero train` takes.
        frames: number of whole frames.
        crops: number of bed crops, frames x beds.
        labels: number of crops by label.
        reused: True when a barn of the same settings was there already.
    """

    folder: Path
    manifest: Path
    frames: int
    crops: int
    labels: dict[str, int]
    reused: bool


def render_barn(
    output: Path,
    *,
    days: int = 3,
    interval_minutes: int = 5,
    beds: int = 3,
    seed: int = 0,
    size: tuple[int, int] = (480, 300),
    progress: Progress = no_progress,
    map: Map | None = None,
) -> BarnSummary:
    """Draws the demo barn into a new folder, or finds it there.

    The folder gets `frames/<time>.jpg`, `beds/<label>/<bed>_<time>.jpg`, `beds.csv` (path, label, group,
    captured_at; group is the bed), `boxes.csv` (the cow's box in pixels of the frame and of the crop),
    `regions.toml` (the beds as fractions of the frame) and `barn.json` (settings and counts). The
    camera records from 05:00 to 21:00.

    Args:
        output: the folder to make; it appears only when complete.
        days: days in a row, 1 to 31.
        interval_minutes: minutes between frames, 1 to 120.
        beds: number of beds in view, 1 to 6.
        seed: same seed, same bytes.
        size: frame width and height in pixels.
        progress: called as `progress("render", done, frames)`.
        map: ordered map over threads for drawing frames, e.g. `Threads().map`; one by one by default.

    Raises:
        ConfigError: a setting is out of range.
        OutputError: output holds something else, or cannot be written.
    """
    settings = Settings(days, interval_minutes, beds, seed, *size)
    settings.check()
    output = Path(output)
    found = _find_barn(output, settings)
    if found is not None:
        return found
    # A sibling: the last step is a rename within one disk; a unique name: two runs do not mix.
    partial = output.parent / f".{output.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        _render_into(partial, settings, progress, builtins.map if map is None else map)
        if output.is_dir():
            output.rmdir()  # it was empty a moment ago; fails if somebody filled it since
        partial.rename(output)
    except OSError as error:
        found = _find_barn(output, settings)  # another run may have been faster
        if found is None:
            raise OutputError(
                "%(output)s must be a folder that can be written; %(reason)s. Choose another.",
                output=output,
                reason=reason_of(error),
            ) from error
        return found
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    summary = _find_barn(output, settings)
    if summary is None:
        raise OutputError("%(output)s must stay in place while it is written, but it is gone; run again", output=output)
    return replace(summary, reused=False)


_BOX_SIDES = ("left", "top", "right", "bottom")
_BOX_COLUMNS = ("frame", "bed", "label", *_BOX_SIDES, *(f"crop_{side}" for side in _BOX_SIDES))


def _render_into(folder: Path, settings: Settings, progress: Progress, run: Map) -> None:
    """Writes a whole barn; barn.json last."""
    times = settings.times()
    for name in ("frames", *(f"beds/{label}" for label in LABELS)):
        (folder / name).mkdir(parents=True)
    barn = Barn(settings)

    def render(item: tuple[int, datetime]) -> list[tuple[str | int, ...]]:
        return _write_frame(folder, barn, *item)

    rows: list[tuple[str | int, ...]] = []
    progress("render", 0, len(times))
    for done, found in enumerate(run(render, list(enumerate(times))), start=1):
        rows.extend(found)
        progress("render", done, len(times))
    captured = {f"{time:%Y-%m-%d-%H-%M-%S}.jpg": time.isoformat() for time in times}
    beds = [(f"beds/{label}/{bed}_{frame}", label, bed, captured[str(frame)]) for frame, bed, label, *_ in rows]
    _write_csv(folder / "beds.csv", ("path", "label", "group", "captured_at"), beds)
    _write_csv(folder / "boxes.csv", _BOX_COLUMNS, [row for row in rows if row[2] != "empty"])
    (folder / "regions.toml").write_text(_regions_toml(settings), encoding="utf-8")
    labels = Counter(str(row[2]) for row in rows)
    mark = {
        "version": VERSION,
        "settings": asdict(settings),
        "frames": len(times),
        "labels": {label: labels[label] for label in LABELS},
    }
    (folder / _MARK).write_text(json_text(mark, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def _write_frame(folder: Path, barn: Barn, number: int, time: datetime) -> list[tuple[str | int, ...]]:
    """Draws and writes one frame and its crops; a row of `boxes.csv` a bed, without box if it is empty."""
    image, present = barn.frame(number, time)
    name = f"{time:%Y-%m-%d-%H-%M-%S}.jpg"
    image.save(folder / "frames" / name, quality=_JPEG_QUALITY)
    rows: list[tuple[str | int, ...]] = []
    for bed, region in barn.crops.items():
        label, cow = present[bed]
        image.crop(region).save(folder / "beds" / label / f"{bed}_{name}", quality=_JPEG_QUALITY)
        if cow is None:
            rows.append((name, bed, label))
            continue
        left, top, _, _ = region
        whole, seen = _cut(cow.box, (0, 0, *image.size)), _cut(cow.box, region)
        rows.append((name, bed, label, *whole, seen[0] - left, seen[1] - top, seen[2] - left, seen[3] - top))
    return rows


def _cut(box: tuple[int, int, int, int], edge: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return max(box[0], edge[0]), max(box[1], edge[1]), min(box[2], edge[2]), min(box[3], edge[3])


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _regions_toml(settings: Settings) -> str:
    lines = ["# The beds seen by the overhead camera, as fractions of the frame: left, top, right, bottom."]
    for bed, box in settings.regions().items():
        lines += [f"[regions.{bed}]", f"box = [{', '.join(f'{value:.4f}' for value in box)}]"]
    return "\n".join(lines) + "\n"


def _find_barn(output: Path, settings: Settings) -> BarnSummary | None:
    """The barn of these settings that is there already; None where the place is free.

    Raises:
        OutputError: something else is there, or a barn that lost photos.
    """
    if not output.exists() or (output.is_dir() and next(output.iterdir(), None) is None):
        return None
    try:
        mark = json.loads((output / _MARK).read_text(encoding="utf-8"))
        found, version, frames, labels = mark["settings"], mark["version"], mark["frames"], mark["labels"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            "%(output)s must be new or a demo barn, found other files; choose another folder", output=output
        ) from error
    if found != asdict(settings) or version != VERSION:
        raise OutputError(
            "%(output)s holds a demo barn of other settings or version; choose another folder or delete it",
            output=output,
        )
    counts = {label: sum(1 for _ in (output / "beds" / label).glob("*.jpg")) for label in LABELS}
    files = (output / "beds.csv", output / "boxes.csv", output / "regions.toml")
    whole = sum(1 for _ in (output / "frames").glob("*.jpg")) == frames and all(file.is_file() for file in files)
    if not whole or counts != labels:
        raise OutputError(
            "%(output)s must hold all photos of its demo barn, some are gone; delete it and run again", output=output
        )
    return BarnSummary(output, output / "beds.csv", frames, sum(labels.values()), labels, reused=True)
