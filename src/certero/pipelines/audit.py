"""The audit: what is wrong with a folder of labelled photos, before anything is trained on it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.parsing import parse_times
from certero.data.layout import LabelLevel
from certero.data.scan import list_photos
from certero.data.separation import separate, with_units
from certero.data.table import Photos
from certero.engine.blas import load_beside, one_blas_thread
from certero.errors import DataError, MissingExtra
from certero.findings.balance import conditions_of, judge_balance, judge_conditions, judge_losses, tabulate
from certero.findings.cleaning import check_manifest_place, choose_rows, cleaned_manifest
from certero.findings.duplicates import count_leaks, describe_copies
from certero.findings.families import judge_names
from certero.findings.files import judge_files
from certero.findings.findings import Finding, count_kinds, rank
from certero.findings.labels import fold_photos, judge_labels, stand_ins
from certero.findings.quality import judge_quality
from certero.findings.shortcuts import judge_shortcuts, look_for_shortcuts
from certero.interchange import Json
from certero.language import use_language
from certero.likeness.clusters import join
from certero.likeness.copies import link_copies
from certero.likeness.near_copies import NearCopies, has_detail
from certero.likeness.sets import Link
from certero.machine.files import write_whole
from certero.photos.views import Measures
from certero.records.names import NameFamily
from certero.records.protocols import Progress, no_progress
from certero.report.audit import write_audit
from certero.sentences import Sentence, sentence, sentences
from certero.stages.closer_look import look_closer, view_key
from certero.stages.describe import describe_photos, describe_separation
from certero.stages.equal_parts import landmarks_key, link_equal_parts, say_equal_parts
from certero.stages.look import find_copies, look_at_photos
from certero.stages.one_source import lay_on_each_other, names_of
from certero.stages.tools import Tools, open_tools
from certero.stats.neighbours import reduced
from certero.stats.shortcuts import Shortcut, load_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

Embed = Callable[[Sequence[Path], Sequence[str]], "NDArray[np.float32] | None"]


def audit(
    data: str | Path,
    *,
    label_level: LabelLevel | None = None,
    group_by: str | None = None,
    times: str = "auto",
    network: bool = True,
    image_size: int | None = None,
    fix: str | Path | None = None,
    report: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
    command: Sequence[str] | None = None,
    lang: str | None = None,
) -> Json:
    """Finds what is wrong with labelled photos: copies, leaks, labels, defects, imbalance, shortcuts.

    Args:
        data: folder of class folders, pre-split folder, or manifest.
        label_level: which folder names the class; see `TrainSettings`.
        group_by: which photos are not independent; see `TrainSettings`.
        times: where capture times are taken from; see `TrainSettings`.
        network: False does without the network: labels are not judged, and fewer altered copies are found.
        image_size: side of the network's input, pixels; None takes the network's own.
        fix: cleaned manifest to write; photos are never touched.
        report: HTML file to write.
        workers: threads; every core by default.
        progress: called with (stage, done, total).
        command: the command line, for the report.
        lang: language of the report and of progress, `en` or `es`; default: the locale's.

    Returns:
        The keys of `certero audit --json`: `counts`, `findings` and what they rest on.

    Raises:
        UserError: a kind of it for each mistake that the user can mend.
    """
    use_language(lang)
    data = Path(data)
    source_of_times = parse_times(times)
    with open_tools(workers, progress) as tools, contextlib.ExitStack() as stack:
        listed = list_photos(data, label_level=label_level)
        if fix is not None:
            check_manifest_place(Path(fix), listed.root)
        embed = _start_network(image_size, tools, stack) if network else None
        photos = look_at_photos(listed, tools, source_of_times, view_key, landmarks_key=landmarks_key)
        _check_readable(photos)
        with tools.timed("separate"):
            copies = find_copies(photos)
            separation = separate(photos, copies, group_by=group_by)
            photos = with_units(photos, separation)
        compared = _compare(photos, copies, embed, tools)
        findings, shortcuts, unjudged = _judge(photos, compared, tools)
        names = _look_at_names(compared) if separation.rule == "copies" else ()
        findings = rank([*findings, *judge_names(compared.used, names)])
        why_not = [] if compared.embeddings is not None else [_NO_PARTS if network else _WITHOUT_NETWORK]
        answer = {
            "schema": 1,
            **_counts(photos, data, findings),
            "findings": [finding.to_json() for finding in findings],
            "leaks": count_leaks(findings, compared.used),
            "near_copies": _describe_near(compared.near),
            "names": [family.to_json() for family in names],
            "shortcuts": [shortcut.to_json() for shortcut in shortcuts],
            "classes": tabulate(compared.used),
            "separation": describe_separation(separation).to_json(),
            "notes": [*photos.notes, *_note_flat(compared.used, compared.flat), *compared.untold, *why_not, *unjudged],
            "fix": None if fix is None else _write_fix(Path(fix), photos, compared.links),
        }
        answer["seconds"] = {**tools.seconds, "total": round(sum(tools.seconds.values()), 3)}
    if report is not None:
        write_audit(Path(report), answer, photos.root, shlex.join(command or ()))
    return answer


@dataclass(frozen=True, slots=True)
class _Compared:
    """The used photos, laid on each other.

    Args:
        used: rows of the n used photos.
        measures: of the same photos.
        flat: which show nothing, bool [n].
        embeddings: float32 [n, D]; None without the network.
        near: altered copies.
        links: between copies, verified and altered, and photos that are equal in a part, as pairs of the n rows.
        untold: notes of what could not be told apart.
    """

    used: pl.DataFrame
    measures: Sequence[Measures]
    flat: NDArray[np.bool_]
    embeddings: NDArray[np.float32] | None
    near: NearCopies
    links: list[Link]
    untold: list[Sentence]


def _check_readable(photos: Photos) -> None:
    if photos.used().is_empty():
        first = photos.table.row(0, named=True)
        raise DataError(
            "DATA must hold readable photos; none of %(height)s can be read (first: %(path)s: %(problem)s).",
            height=photos.table.height,
            path=first["path"],
            problem=photos.problem(first["problem"]),
        )


def _compare(photos: Photos, copies: Sequence[tuple[int, int]], embed: Embed | None, tools: Tools) -> _Compared:
    """Looks at the used photos once more and finds every copy among them.

    Args:
        photos: separated.
        copies: pairs of rows of the table that are verified copies of each other.
        embed: gives the network's features; None without it.
        tools: cores, caches, progress.
    """
    used = photos.used()
    place = {int(row): position for position, row in enumerate(np.flatnonzero(photos.used_mask()))}
    pairs = [(place[i], place[j]) for i, j in copies]
    grey, measures = look_closer(photos.paths(used), used["content_hash"].to_list(), tools)
    flat = ~has_detail(grey)
    # Of each set of verified copies one photo is compared; the grey views of the others are given back here.
    single = np.unique(join(used.height, pairs))
    grey = grey[single]
    embeddings = None if embed is None else embed(photos.paths(used), used["content_hash"].to_list())
    near, likely, untold = _find_near(photos, used, single, grey, embeddings, tools)
    return _Compared(used, measures, flat, embeddings, near, [*link_copies(used, pairs), *likely], untold)


def _judge(photos: Photos, compared: _Compared, tools: Tools) -> tuple[list[Finding], list[Shortcut], list[Sentence]]:
    """Every finding, the worst first; the shortcuts behind some of them; and which labels were not judged."""
    used, links, flat = compared.used, compared.links, compared.flat
    conditions = conditions_of(used, compared.measures)
    findings = [
        *judge_files(photos),
        *judge_losses(photos),
        *describe_copies(used, links, set(np.flatnonzero(flat).tolist())),
        *_quality(used, compared.measures),
        *judge_balance(used),
        *judge_conditions(used, conditions),
    ]
    unjudged: list[Sentence] = []
    if compared.embeddings is not None:
        with tools.timed("labels"), one_blas_thread():
            tools.progress("labels", 0, 1)
            tellable = ~flat & ~stand_ins(used, findings)
            doubted, unjudged = judge_labels(used, compared.embeddings, fold_photos(used, links), tellable, tools.map)
            findings += doubted
            tools.progress("labels", 1, 1)
    with tools.timed("shortcuts"):
        shortcuts = look_for_shortcuts(used, conditions, links)
        findings += judge_shortcuts(shortcuts)
    return rank(findings), shortcuts, unjudged


def _look_at_names(compared: _Compared) -> tuple[NameFamily, ...]:
    """What the names tell of which photos belong together, where nothing else does; nothing without the network."""
    if compared.embeddings is None:
        return ()
    return names_of(compared.used, reduced(compared.embeddings))


_WITHOUT_NETWORK = sentence(
    "the network was left out: labels are not judged, and photos that were cropped or turned may be missed"
)
_NO_PARTS = sentence(
    "parts that are not installed are needed to judge labels and to find cropped and turned copies: "
    "pip install 'certero[train]'"
)


def _start_network(image_size: int | None, tools: Tools, stack: contextlib.ExitStack) -> Embed | None:
    """Starts to load the network beside the scan; gives the function that embeds, None where parts are missing."""
    try:
        from certero.config.recipes import resolve
        from certero.stages.embedder import embed_photos, loading_embedder

        finish = stack.enter_context(loading_embedder(resolve("probe", image_size=image_size), tools))
    except (MissingExtra, ModuleNotFoundError) as error:
        _check_missing(error)
        return None

    def embed(paths: Sequence[Path], content_hashes: Sequence[str]) -> NDArray[np.float32] | None:
        try:
            embedder = finish().as_shipped()
        except (MissingExtra, ModuleNotFoundError) as error:
            _check_missing(error)
            return None
        with tools.timed("features"):
            return embed_photos(paths, content_hashes, embedder, tools)

    return embed


def _check_missing(error: MissingExtra | ModuleNotFoundError) -> None:
    """Raises again what is not a part of the [train] extra that is not installed."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("certero"):
        raise error


def _find_near(
    photos: Photos,
    used: pl.DataFrame,
    rows: NDArray[np.int64],
    grey: NDArray[np.uint8],
    embeddings: NDArray[np.float32] | None,
    tools: Tools,
) -> tuple[NearCopies, list[Link], list[Sentence]]:
    """Near copies, and photos equal in a part, among some of the used rows, whose grey views are given, as links."""
    with tools.timed("near copies"), one_blas_thread():
        # scikit-learn takes a second or two to load, and the choice of pairs leaves most of a core to it.
        load_beside(load_trees)
        some = used[rows.tolist()]
        features = None if embeddings is None else reduced(embeddings, rows)
        near, links = lay_on_each_other(photos, some, grey, features, tools)
        equal, partly = link_equal_parts(photos, some, links, tools)
    links = [(int(rows[i]), int(rows[j]), how, score) for i, j, how, score in [*links, *partly]]
    return near, links, say_equal_parts([], equal)


def _quality(used: pl.DataFrame, measures: Sequence[Measures]) -> list[Finding]:
    return judge_quality(
        used,
        [each.sharpness for each in measures],
        [each.contrast for each in measures],
        [each.entropy for each in measures],
        [each.darkest for each in measures],
        [each.brightest for each in measures],
    )


def _note_flat(used: pl.DataFrame, flat: NDArray[np.bool_]) -> list[Sentence]:
    if not flat.any():
        return []
    return [
        sentences(
            "%(count)d photo shows nothing (first: %(first)s): it is a copy of equal pixels alone, and its label is "
            "not judged",
            "%(count)d photos show nothing (first: %(first)s): they are copies of equal pixels alone, and their "
            "labels are not judged",
            count=int(flat.sum()),
            first=used["path"][int(flat.argmax())],
        )
    ]


def _counts(photos: Photos, data: Path, findings: Sequence[Finding]) -> Json:
    described = describe_photos(photos, data, photos.classes()).to_json()
    counts = {
        key: described["counts"][key] for key in ("photos", "used", "unreadable", "damaged", "passed_over", "lost")
    }
    severities = [finding.severity for finding in findings]
    return {
        "data": described["data"],
        "counts": {
            **counts,
            "findings": {name: severities.count(name) for name in ("high", "medium", "low")},
            "kinds": count_kinds(findings),
        },
    }


def _describe_near(near: NearCopies) -> Json:
    return {
        "threshold": near.threshold,
        "reason": near.reason,
        "recall": near.recall,
        "sample": near.sample,
        "wrong_share": near.wrong_share,
        "pairs_compared": near.compared,
        "pairs_found": len(near.pairs),
        "pairs_mirrored": int(near.mirrored.sum()),
    }


def _write_fix(target: Path, photos: Photos, links: Sequence[Link]) -> Json:
    rows = np.flatnonzero(photos.used_mask()).tolist()
    kept, left_out = choose_rows(photos, [(rows[i], rows[j], how, score) for i, j, how, score in links])
    if not kept:
        raise DataError("--fix must leave photos to list; every one of them is to be left out. Look at the findings.")
    write_whole(target, cleaned_manifest(photos, kept, target))
    paths = photos.table["path"].to_list()
    return {
        "path": str(target),
        "kept": len(kept),
        "left_out": [{"path": paths[row], "reason": reason} for row, reason in left_out],
    }
