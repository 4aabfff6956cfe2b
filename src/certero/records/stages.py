"""The parts of a command that take long enough to be told of, or to be timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from certero.sentences import Message, message

Stage = Literal[
    "render",
    "scan",
    "separate",
    "look closer",
    "near copies",
    "labels",
    "shortcuts",
    "measure",
    "network",
    "features",
    "decode",
    "train",
    "fit",
    "calibrate",
    "export",
    "evaluate",
    "predict",
    "score",
    "random split",
    "fingerprints",
    "report",
]

#: What people are shown for each.
STAGES: Mapping[Stage, Message] = {
    "render": message("render"),
    "scan": message("scan"),
    "separate": message("separate"),
    "look closer": message("look closer"),
    "near copies": message("near copies"),
    "labels": message("labels"),
    "shortcuts": message("shortcuts"),
    "measure": message("measure"),
    "network": message("network"),
    "features": message("features"),
    "decode": message("decode"),
    "train": message("train"),
    "fit": message("fit"),
    "calibrate": message("calibrate"),
    "export": message("export"),
    "evaluate": message("evaluate"),
    "predict": message("predict"),
    "score": message("score"),
    "random split": message("random split"),
    "fingerprints": message("fingerprints"),
    "report": message("report"),
}
