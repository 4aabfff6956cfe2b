"""Groups that a user names: a column of the manifest, the photo's folder, or a pattern over its path."""

from __future__ import annotations

import posixpath
import re

import polars as pl

from certero.data.patterns import match_all
from certero.data.table import SCHEMA, Mask, Photos
from certero.errors import SplitError
from certero.photos.listing import first_and_count
from certero.sentences import message


def groups_of(photos: Photos, used: Mask, group_by: str) -> list[str | None]:
    """Each used photo's group, None for the others."""
    table = photos.table
    columns = [name for name in table.columns if name not in SCHEMA or name in ("group", "captured_at")]
    columns = [name for name in columns if table[name].null_count() < table.height]
    if group_by in columns:
        found = table[group_by].cast(pl.String).to_list()
    elif group_by == "parent":
        found = [posixpath.dirname(path) or "." for path in table["path"]]
    elif re.fullmatch(r"\w*", group_by):
        # A plain word would put all matching photos into one group, which no user wants.
        raise SplitError(
            "--group-by must be a column of the manifest, parent, or a regular expression over the "
            "path; found '%(group_by)s' (columns: %(columns)s). Use one of them.",
            group_by=group_by,
            columns=", ".join(columns) or message("none"),
        )
    else:
        found = match_all(group_by, table["path"].to_list())
    groups = [group if use else None for group, use in zip(found, used, strict=True)]
    without = [path for path, group, use in zip(table["path"], groups, used, strict=True) if use and not group]
    if without:
        raise SplitError(
            "--group-by %(group_by)s must give every photo a group; it gives none to "
            "%(first_and_count)s of %(photos)s. Use one that covers all.",
            group_by=group_by,
            first_and_count=first_and_count(without, "photo"),
            photos=int(used.sum()),
        )
    return groups


def columns_that_group(photos: Photos, used: Mask) -> list[str]:
    """Columns of the manifest that could tell which photos are of one place: known for all, with few values.

    Args:
        photos: scanned photos.
        used: bool [rows].
    """
    table = photos.table.filter(pl.Series(used))
    columns = [name for name in table.columns if name not in SCHEMA or name == "group"]
    few = [name for name in columns if not table[name].null_count() and 3 <= table[name].n_unique() <= table.height / 2]
    folders = {posixpath.dirname(path) for path in table["path"]}
    return [*few, *(["parent"] if len(folders) > table["label"].n_unique() else [])]
