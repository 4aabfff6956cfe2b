"""The audit: what is wrong with a folder of labelled photos, before anything is trained on it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.parsing import parse_times
from certero.data.labels import encode
from certero.data.layout import LabelLevel
from certero.data.scan import list_photos
from certero.data.separation import separate, with_units
from certero.data.strata import split_units
from certero.data.table import SCHEMA, Photos
from certero.engine.blas import load_beside, one_blas_thread
from certero.errors import DataError, MissingExtra
from certero.findings.balance import judge_balance, judge_conditions, judge_losses, tabulate
from certero.findings.cleaning import check_manifest_place, choose_rows, cleaned_manifest
from certero.findings.duplicates import PLACEHOLDER, count_leaks, describe_copies
from certero.findings.findings import Finding, Severity, concerning, count_kinds, rank
from certero.findings.quality import judge_quality
from certero.interchange import Json
from certero.language import use_language
from certero.likeness.clusters import join
from certero.likeness.copies import link_copies
from certero.likeness.near_copies import NearCopies, find_near_copies, has_detail
from certero.likeness.sets import Link
from certero.machine.files import write_whole
from certero.photos.formats import is_misnamed
from certero.photos.views import Measures
from certero.records.protocols import Map, Progress, no_progress
from certero.report.audit import write_audit
from certero.sentences import Sentence, message, sentence, sentences
from certero.stages.closer_look import RememberedAlignments, alter_sample, look_closer, view_key
from certero.stages.describe import describe_photos, describe_separation
from certero.stages.look import find_copies, look_at_photos
from certero.stages.tools import Resources, resources
from certero.stats.neighbours import reduced
from certero.stats.shortcuts import Shortcut, categories, find_shortcuts, load_trees
from certero.stats.slices import hour, lighting
from certero.stats.suspicion import suspect

if TYPE_CHECKING:
    from numpy.typing import NDArray

Embed = Callable[[Sequence[Path], Sequence[str]], "NDArray[np.float32] | None"]

_FOLDS = 5
# With fewer separated units folds would leave whole classes out; then copies alone are kept together.
_LEAST_UNITS = 10
# Fewer photos of a class say nothing about one of them.
_LEAST_PHOTOS = 5
# How likely a label is wrong that a person should correct, and one that a person should look at.
_PROBABLY_WRONG, _MAY_BE_WRONG = 0.5, 0.05
# Classes that a note names.
_NAMED = 10
# A shortcut worth a finding: beyond doubt, and of what the commonest class leaves open, so much.
_STRONG, _NOTABLE = 0.5, 0.2


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
    with resources(workers, progress) as tools, contextlib.ExitStack() as stack:
        listed = list_photos(data, label_level=label_level)
        if fix is not None:
            check_manifest_place(Path(fix), listed.root)
        embed = _start_network(image_size, tools, stack) if network else None
        photos = look_at_photos(listed, tools, source_of_times, view_key)
        used = photos.used()
        if used.is_empty():
            first = photos.table.row(0, named=True)
            raise DataError(
                "DATA must hold readable photos; none of %(height)s can be read (first: %(path)s: %(problem)s).",
                height=photos.table.height,
                path=first["path"],
                problem=first["problem"],
            )
        with tools.timed("separate"):
            copies = find_copies(photos)
            separation = separate(photos, copies, group_by=group_by)
            photos = with_units(photos, separation)
            used = photos.used()
        table_rows = np.flatnonzero(photos.used_mask())
        place = {int(row): position for position, row in enumerate(table_rows)}
        pairs = [(place[i], place[j]) for i, j in copies]
        grey, measures = look_closer(photos.paths(used), used["content_hash"].to_list(), tools)
        flat = ~has_detail(grey)
        # Of each set of verified copies one photo is compared; the grey views of the others are given back here.
        single = np.unique(join(used.height, pairs))
        grey = grey[single]
        embeddings = None if embed is None else embed(photos.paths(used), used["content_hash"].to_list())
        why_not = None if embeddings is not None else _NO_PARTS if network else _WITHOUT_NETWORK
        near, altered = _find_near(photos, used, single, grey, embeddings, tools)
        links = [*link_copies(used, pairs), *altered]
        findings = [
            *_unused(photos),
            *judge_losses(photos),
            *describe_copies(used, links, set(np.flatnonzero(flat).tolist())),
            *_quality(used, measures),
        ]
        folds, unjudged = _fold(used, links), list[Sentence]()
        conditions = _conditions(used, measures)
        findings += [*judge_balance(used), *judge_conditions(used, conditions)]
        if embeddings is not None:
            with tools.timed("labels"), one_blas_thread():
                tools.progress("labels", 0, 1)
                tellable = ~flat & ~_stand_ins(used, findings)
                doubted, unjudged = _judge_labels(used, embeddings, folds, tellable, tools.map)
                findings += doubted
                tools.progress("labels", 1, 1)
        with tools.timed("shortcuts"):
            shortcuts = _shortcuts(used, conditions, links)
            findings += _describe_shortcuts(shortcuts)
        findings = rank(findings)
        answer = {
            "schema": 1,
            **_counts(photos, data, findings),
            "findings": [finding.to_json() for finding in findings],
            "leaks": count_leaks(findings, used),
            "near_copies": _describe_near(near),
            "shortcuts": [shortcut.to_json() for shortcut in shortcuts],
            "classes": tabulate(used),
            "separation": describe_separation(separation).to_json(),
            "notes": [*photos.notes, *_note_flat(used, flat), *([why_not] if why_not else []), *unjudged],
            "fix": None,
        }
        if fix is not None:
            answer["fix"] = _write_fix(
                Path(fix), photos, [(int(table_rows[i]), int(table_rows[j]), h, s) for i, j, h, s in links]
            )
        answer["seconds"] = {**tools.seconds, "total": round(sum(tools.seconds.values()), 3)}
    if report is not None:
        write_audit(Path(report), answer, photos.root, shlex.join(command or ()))
    return answer


_WITHOUT_NETWORK = sentence(
    "the network was left out: labels are not judged, and photos that were cropped or turned may be missed"
)
_NO_PARTS = sentence(
    "parts that are not installed are needed to judge labels and to find cropped and turned copies: "
    "pip install 'certero[train]'"
)


def _start_network(image_size: int | None, tools: Resources, stack: contextlib.ExitStack) -> Embed | None:
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
    tools: Resources,
) -> tuple[NearCopies, list[Link]]:
    """Near copies among some rows of the used photos, whose grey views are given, as links between such rows."""
    paths = photos.paths(used)
    contents = used["content_hash"].to_list()
    chosen = [contents[row] for row in rows]
    with tools.timed("near copies"), one_blas_thread(), ThreadPoolExecutor(1) as pool:
        # scikit-learn takes a second or two to load, and the choice of pairs leaves most of a core to it.
        load_beside(load_trees)
        # Beside the choice of pairs, which takes one core.
        shown = np.flatnonzero(has_detail(grey))
        altering = pool.submit(alter_sample, [paths[rows[at]] for at in shown], [chosen[at] for at in shown], tools)
        near = find_near_copies(
            grey,
            used["label"][rows].to_list(),
            used["captured_at"].to_numpy().astype("datetime64[us]")[rows],
            None if embeddings is None else reduced(embeddings, rows),
            altering.result,
            RememberedAlignments(grey, chosen, tools),
        )
    links: list[Link] = [
        (int(rows[i]), int(rows[j]), "altered", float(score))
        for (i, j), score in zip(near.pairs.tolist(), near.score, strict=True)
    ]
    return near, links


def _unused(photos: Photos) -> list[Finding]:
    """Findings of the kinds unreadable, damaged and misnamed."""
    findings: list[Finding] = []
    severities: dict[str, Severity] = {"unreadable": "high", "damaged": "low"}
    for row in photos.table.filter(pl.col("problem").is_not_null()).iter_slices(1):
        status, problem = row["status"][0], row["problem"][0]
        said = Sentence("%(problem)s", None, {"problem": problem})  # a decoder's words, in no catalogue
        if status in severities:
            findings.append(concerning(status, severities[status], said, row))
        if is_misnamed(row["path"][0], row["format"][0]):
            findings.append(concerning("misnamed", "low", said, row))
    return findings


def _quality(used: pl.DataFrame, measures: Sequence[Measures]) -> list[Finding]:
    return judge_quality(
        used,
        [each.sharpness for each in measures],
        [each.contrast for each in measures],
        [each.entropy for each in measures],
        [each.darkest for each in measures],
        [each.brightest for each in measures],
    )


def _conditions(used: pl.DataFrame, measures: Sequence[Measures]) -> dict[str, list[str | None]]:
    """What photos were taken under: the manifest's own columns, too."""
    return {
        message("lighting"): lighting(used["brightness"].to_numpy()),
        message("hour"): hour(used["captured_at"].to_numpy()),
        message("group"): used["group"].to_list(),
        message("camera"): [each.camera for each in measures],
        **{name: used[name].cast(pl.String).to_list() for name in used.columns if name not in SCHEMA},
    }


def _fold(used: pl.DataFrame, links: Sequence[Link]) -> NDArray[np.int64]:
    """The fold that holds each photo out; copies, and photos that the rule keeps together, share one."""
    units = used["unit"].to_list()
    if len(set(units)) < _LEAST_UNITS:
        units = [str(row) for row in range(used.height)]
    number: dict[str, int] = {}
    for row, unit in enumerate(units):
        number.setdefault(unit, row)
    together = [(number[unit], row) for row, unit in enumerate(units)]
    joined = [str(root) for root in join(used.height, [*together, *_pairs(links)]).tolist()]
    return split_units(used["label"].to_list(), joined, min(_FOLDS, len(set(joined))), 0)


def _pairs(links: Sequence[Link]) -> list[tuple[int, int]]:
    return [(i, j) for i, j, _how, _score in links]


def _stand_ins(used: pl.DataFrame, findings: Sequence[Finding]) -> NDArray[np.bool_]:
    """Which rows hold a picture that lies under several labels too often for a mistake: none of its labels means it.

    A photo and its copy under another label are judged: one of the two labels is wrong.
    """
    said = {
        path
        for finding in findings
        if finding.kind == "label_conflict" and len(finding.paths) >= PLACEHOLDER
        for path in finding.paths
    }
    return used["path"].is_in(said).to_numpy()


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


def _judge_labels(
    used: pl.DataFrame,
    embeddings: NDArray[np.float32],
    folds: NDArray[np.int64],
    tellable: NDArray[np.bool_],
    map: Map,
) -> tuple[list[Finding], list[Sentence]]:
    """Findings of the kinds suspicious_label and doubtful_label, the surest first, and which labels nobody judged.

    Args:
        used: rows of the used photos.
        embeddings: of the same photos.
        folds: which holds each out.
        tellable: photos that show something that a label can mean, bool [n].
        map: ordered parallel map.
    """
    counts = dict(used.filter(pl.Series(tellable))["label"].value_counts().iter_rows())
    classes = sorted(label for label, count in counts.items() if count >= _LEAST_PHOTOS)
    small = sorted(set(used["label"]) - set(classes))
    notes: list[Sentence] = []
    if small:
        notes.append(
            sentences(
                "labels of %(count)d class are not judged, it has under %(least)d photos: %(classes)s",
                "labels of %(count)d classes are not judged, they have under %(least)d photos: %(classes)s",
                count=len(small),
                least=_LEAST_PHOTOS,
                classes=_few(small),
            )
        )
    judged = tellable & used["label"].is_in(classes).to_numpy()
    if len(classes) < 2 or len(np.unique(folds[judged])) < 2:
        return [], notes
    table = used.filter(pl.Series(judged))
    truth = encode(table["label"], classes)
    found = suspect(embeddings if judged.all() else embeddings[judged], truth, folds[judged], map)
    if not found.judged.all():
        alone = table.filter(pl.Series(~found.judged))
        notes.append(
            sentences(
                "the label of %(count)d photo is not judged, most photos of its class belong together: %(classes)s",
                "labels of %(count)d photos are not judged, most photos of their class belong together: %(classes)s",
                count=alone.height,
                classes=_few(sorted(set(alone["label"]))),
            )
        )
    findings: list[Finding] = []
    for row in np.flatnonzero(found.judged).tolist():
        wrong, likelier = float(found.wrong[row]), classes[int(found.suggested[row])]
        suspicious = found.share > 0 and wrong >= _MAY_BE_WRONG
        if not suspicious and not found.doubted[row]:
            continue
        said = sentence(
            "labelled %(label)s (%(own).0f %%), looks like %(likelier)s",
            label=table["label"][row],
            own=100 * float(found.own[row]),
            likelier=likelier,
        )
        severity: Severity = "low" if not suspicious else "high" if wrong >= _PROBABLY_WRONG else "medium"
        kind = "suspicious_label" if suspicious else "doubtful_label"
        findings.append(concerning(kind, severity, said, table[row], wrong, likelier))
    return findings, notes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _shortcuts(used: pl.DataFrame, conditions: dict[str, list[str | None]], links: Sequence[Link]) -> list[Shortcut]:
    classes = sorted(used["label"].unique().to_list())
    truth = encode(used["label"], classes)
    folds = np.random.default_rng(0).integers(0, _FOLDS, used.height)[join(used.height, _pairs(links))]
    hours = used["captured_at"].dt.hour().cast(pl.Float64).to_numpy()
    properties: dict[str, NDArray[np.float64]] = {
        message("file size"): used["bytes"].cast(pl.Float64).to_numpy()[:, None],
        message("dimensions"): used.select(pl.col("width", "height").cast(pl.Float64)).to_numpy(),
        message("brightness"): used["brightness"].cast(pl.Float64).to_numpy()[:, None],
        message("hour"): hours[:, None],
        message("group"): categories(conditions["group"]),
        message("camera"): categories(conditions["camera"]),
    }
    return find_shortcuts(truth, properties, used["unit"].to_list(), folds)


def _describe_shortcuts(shortcuts: Sequence[Shortcut]) -> list[Finding]:
    findings: list[Finding] = []
    for shortcut in shortcuts:
        accuracy = shortcut.accuracy
        doubtful = accuracy.low is not None and accuracy.low <= shortcut.majority
        if accuracy.value is None or doubtful or shortcut.explained < _NOTABLE:
            continue
        said = sentence(
            "%(name)s alone tells the class of %(accuracy).0f %% of the photos; the commonest is %(majority).0f %%",
            name=shortcut.name,
            accuracy=100 * accuracy.value,
            majority=100 * shortcut.majority,
        )
        severity: Severity = "high" if shortcut.explained >= _STRONG else "medium"
        findings.append(Finding("shortcut", severity, said, score=shortcut.explained))
    return findings


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
    kept, left_out = choose_rows(photos, links)
    if not kept:
        raise DataError("--fix must leave photos to list; every one of them is to be left out. Look at the findings.")
    write_whole(target, cleaned_manifest(photos, kept, target))
    paths = photos.table["path"].to_list()
    return {
        "path": str(target),
        "kept": len(kept),
        "left_out": [{"path": paths[row], "reason": reason} for row, reason in left_out],
    }
