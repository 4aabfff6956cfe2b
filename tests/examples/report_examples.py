"""Metrics as the pipelines write them, for the tests of what is made of them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from certero.interchange import Json
from certero.report.pictures import Gallery, Mistake, thumbnail

BEDS = ["empty", "lying", "standing"]
SHOP = [f"Product-{index:02d}" for index in range(1, 37)]


def quantity(value: float | None, width: float | None = 0.04, n: int = 100, method: str = "wilson") -> Json:
    if value is None or width is None:
        return {"value": value, "low": None, "high": None, "method": method, "n": n}
    return {
        "value": value,
        "low": max(0.0, value - width),
        "high": min(1.0, value + width),
        "method": method,
        "n": n,
    }


def body_of(counts: np.ndarray[Any, Any], classes: list[str], method: str, width: float | None) -> Json:
    """The metrics of a confusion matrix, as the pipeline would write them."""
    total = int(counts.sum())
    named, shown, right = counts.sum(axis=0), counts.sum(axis=1), np.diag(counts)

    def share(part: int, whole: int, spread: float | None) -> Json:
        if not whole:
            return quantity(None, n=0, method="undefined")
        return quantity(float(part / whole), spread, n=int(whole), method=method)

    wide = None if width is None else 3 * width
    per_class = {
        name: {
            "n": int(shown[i]),
            "recall": share(right[i], shown[i], wide),
            "precision": share(right[i], named[i], wide),
            "f1": share(2 * right[i], shown[i] + named[i], wide),
        }
        for i, name in enumerate(classes)
    }
    accuracy = share(int(right.sum()), total, width)
    row = {"precision": accuracy, "recall": accuracy, "f1": accuracy}
    gain = (int(right.sum()) - int(shown.max())) / total
    ends = (None, None) if width is None else (gain - width, gain + width)
    return {
        "n": total,
        "accuracy": accuracy,
        "balanced_accuracy": quantity(0.81, width, total, method),
        "macro_f1": quantity(0.802, width, total, method),
        "micro": row,
        "macro": row,
        "weighted": row,
        "samples": row,
        "per_class": per_class,
        "confusion": {"classes": classes, "counts": counts.tolist()},
        "ece": quantity(0.031, 0.01, total, "bootstrap"),
        "log_loss": quantity(0.52, 0.06, total, "bootstrap"),
        "groups": None,
        "effective_n": None,
        "design_effect": None,
        "majority_class_accuracy": share(shown.max(), total, width),
        "majority_class": None,
        "gain_over_majority": {"value": gain, "low": ends[0], "high": ends[1], "method": method, "n": total},
        "slices": [],
    }


def metrics_of(body: Json | None, classes: list[str], **more: Any) -> Json:
    return {
        "schema": 1,
        "evaluation": "given",
        "test": body,
        "random_split_accuracy": quantity(0.819, 0.02),
        "optimism_of_random_split": {
            "value": 0.013,
            "low": -0.004,
            "high": 0.03,
            "method": "bootstrap",
            "n": 2790,
        },
        "train_accuracy": quantity(0.998, 0.002),
        "parameters": 3_412_345,
        "openings": 0,
        "seconds": {"scan": 1.21, "features": 14.6, "probe": 3.2, "evaluate": 6.1, "total": 27.4},
        "calibration": {"source": "oof", "temperature": 1.31, "ece_before": 0.082, "ece_after": 0.021},
        "separation": {
            "rule": "copies",
            "description": "clusters of copies stay together; the publisher's splits are kept",
            "block_minutes": None,
            "gap_minutes": None,
            "units": None,
        },
        "counts": {
            "photos": 4964,
            "used": 4964,
            "unreadable": 0,
            "damaged": 0,
            "leaked": 0,
            "purged": 0,
            "passed_over": {},
        },
        "listed": {"unreadable": [], "damaged": [], "leaked": []},
        "splits": {
            "train": dict.fromkeys(classes, 66),
            "val": dict.fromkeys(classes, 8),
            "test": dict.fromkeys(classes, 63),
        },
        "requirements": [],
        "decide": None,
        "data": {
            "name": "grocery36.csv",
            "layout": "manifest",
            "classes": classes,
            "time_source": {"none": 4964},
        },
        "model": {
            "recipe": "probe",
            "backbone": "efficientnet_lite0",
            "image_size": 224,
            "shipped": "fitted on train and val",
            "strength": 0.01,
        },
        "versions": {"certero": "0.1.0", "python": "3.11.9", "onnxruntime": "1.29.0"},
        "notes": [],
    } | more


CONFIG = {
    "data": "grocery36.csv",
    "recipe": "probe",
    "seed": 0,
    "split": {"seed": 0, "block": None},
    "command": "certero train grocery36.csv",
}


def shop() -> Json:
    """36 classes, independent photos, given splits."""
    random = np.random.default_rng(1)
    counts = np.zeros((36, 36), dtype=int)
    for i in range(36):
        n = int(random.integers(15, 140))
        for named in np.where(random.random(n) < random.uniform(0.6, 0.99), i, random.integers(0, 36, n)):
            counts[i, named] += 1
    counts[4, 5] += 25
    return metrics_of(body_of(counts, SHOP, "wilson", 0.016), SHOP)


def beds() -> Json:
    """3 classes, photos minutes apart, cross-validation, something to say in every section."""
    counts = np.array([[271, 14, 5], [19, 101, 4], [4, 6, 5]])
    body = body_of(counts, BEDS, "wilson_effective_n", 0.046) | {
        "groups": 12,
        "effective_n": 118.4,
        "design_effect": 3.62,
    }
    body["per_class"]["standing"]["recall"] = quantity(1 / 3, None, 15, "too_few_groups")
    body["slices"] = [
        {
            "slice": "lighting",
            "value": "night",
            "n": 96,
            "accuracy": quantity(0.75, 0.11, 96, "wilson_effective_n"),
        },
        {
            "slice": "lighting",
            "value": "day",
            "n": 333,
            "accuracy": quantity(0.92, 0.05, 333, "wilson_effective_n"),
        },
        {"slice": "group", "value": "bed2", "n": 40, "accuracy": quantity(0.9, None, 40, "too_few_groups")},
    ]
    return metrics_of(
        body,
        BEDS,
        evaluation="cv",
        openings=2,
        random_split_accuracy=quantity(0.974, 0.01),
        optimism_of_random_split=quantity(0.095, 0.04),
        separation={
            "rule": "time_blocks",
            "description": "blocks of 60 minutes, never cut, no photo within 10 minutes of another split",
            "block_minutes": 60.0,
            "gap_minutes": 10.0,
            "units": 12,
        },
        counts={
            "photos": 445,
            "used": 429,
            "unreadable": 2,
            "damaged": 1,
            "leaked": 0,
            "purged": 14,
            "passed_over": {".txt": 3, "(no suffix)": 1},
        },
        listed={
            "unreadable": [
                {"path": "beds/lying/2024-01-12-07-05-04.jpg", "problem": "ends after 1,024 bytes"},
                {"path": "beds/empty/x.jpg", "problem": "not a picture"},
            ],
            "damaged": [{"path": "beds/empty/2024-01-12-09-40-04.jpg", "problem": "end marker missing"}],
            "leaked": [],
        },
        splits={"train": {"empty": 290, "lying": 124, "standing": 15}},
        requirements=[
            {
                "require": "accuracy>=0.85",
                "verdict": "met",
                "figures": [{"figure": "accuracy", "class": None, **quantity(0.9, 0.03), "verdict": "met"}],
            },
            {
                "require": "recall[standing]>=0.8",
                "verdict": "cannot tell",
                "figures": [
                    {
                        "figure": "recall",
                        "class": "standing",
                        **quantity(0.33, None, 15, "too_few_groups"),
                        "verdict": "cannot tell",
                    }
                ],
            },
            {
                "require": "f1>=0.8",
                "verdict": "not met",
                "figures": [
                    {"figure": "f1", "class": "empty", **quantity(0.93, 0.02), "verdict": "met"},
                    {"figure": "f1", "class": "standing", **quantity(0.34, 0.2), "verdict": "not met"},
                ],
            },
        ],
        data={
            "name": "caetec beds",
            "layout": "manifest",
            "classes": BEDS,
            "time_source": {"manifest": 400, "name": 29},
        },
        model={
            "recipe": "probe",
            "backbone": "efficientnet_lite0",
            "image_size": 224,
            "shipped": "refitted on all photos",
            "strength": 0.1,
        },
        notes=["3 photos carry a wrong extension: PNG pictures named .jpg"],
    )


def pictures(classes: list[str], count: int, right: int = 0) -> Gallery:
    """So many mistakes, and as many right and unsure answers as asked for."""
    random = np.random.default_rng(0)
    found = []
    for index in range(count):
        coarse = random.integers(0, 255, (9, 16, 3), dtype=np.uint8)
        pixels = np.asarray(
            Image.fromarray(coarse).resize((640, 360) if index % 3 else (360, 360), Image.Resampling.BICUBIC)
        )
        predicted = None if index == 3 else classes[(index + 1) % len(classes)]
        path = f"beds/{classes[index % len(classes)]}/2024-01-12-07-{index:02d}-04.jpg"
        found.append(Mistake(path, classes[index % len(classes)], predicted, 0.99 - index / 50, thumbnail(pixels)))
    good = [replace(each, predicted=each.label, path=f"right/{each.path}") for each in found[:right]]
    return Gallery(found, good, [replace(each, path=f"unsure/{each.path}") for each in found[:right]])


def nulls(part: Any) -> Any:
    """The same shape with every figure undefined."""
    if isinstance(part, dict):
        if "method" in part:
            return part | {"value": None, "low": None, "high": None, "method": "undefined"}
        return {key: nulls(value) for key, value in part.items()}
    if isinstance(part, list):
        return [nulls(value) for value in part]
    return None if isinstance(part, float) else part


def text_of(page: str) -> str:
    """What a reader sees, with one space between words."""
    page = re.sub(r"<(style|title)>.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", page).replace("\u00a0", " ")
    return re.sub(r"\s+([.,;:)])(?=\s)", r"\1", re.sub(r"\s+", " ", html.unescape(text)))
