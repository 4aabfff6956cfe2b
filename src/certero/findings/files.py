"""Files that cannot be read, that are damaged, or whose name claims another format than they have."""

from __future__ import annotations

import polars as pl

from certero.data.table import Photos
from certero.findings.findings import Finding, Severity, concerning
from certero.photos.formats import is_misnamed
from certero.sentences import in_a_row


def judge_files(photos: Photos) -> list[Finding]:
    """Findings of the kinds unreadable, damaged and misnamed."""
    findings: list[Finding] = []
    severities: dict[str, Severity] = {"unreadable": "high", "damaged": "low"}
    for row in photos.table.filter(pl.col("problem").is_not_null()).iter_slices(1):
        status, problem = row["status"][0], row["problem"][0]
        said = in_a_row([photos.problem(problem)])
        if status in severities:
            findings.append(concerning(status, severities[status], said, row))
        if is_misnamed(row["path"][0], row["format"][0]):
            findings.append(concerning("misnamed", "low", said, row))
    return findings
