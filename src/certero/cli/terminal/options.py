"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Lang = Annotated[
    str | None,
    typer.Option("--lang", metavar="en|es", help="Language of results and reports. Default: the locale's."),
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Threads; every core by default.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
LabelLevel = Annotated[
    str | None, typer.Option("--label-level", help="Which folder names the class: 1, 2, ... or leaf.")
]
GroupBy = Annotated[
    str | None,
    typer.Option("--group-by", help="Photos that belong together: a column, 'parent', or a regular expression."),
]
_TIMES = "Where capture times are from: auto, ignore, name, exif or manifest."
Times = Annotated[str | None, typer.Option("--times", metavar="SOURCE", help=_TIMES)]
DataTimes = Annotated[str | None, typer.Option("--times", metavar="SOURCE", help="Of the photos of --data. " + _TIMES)]
DataSplit = Annotated[str | None, typer.Option("--split", help="One split of --data: train, val or test.")]
DataGroupBy = Annotated[
    str | None,
    typer.Option("--group-by", help="Photos of --data that belong together: a column, 'parent', or an expression."),
]
DataBlock = Annotated[
    str | None,
    typer.Option("--block", help="Photos of --data taken within one such block count as alike, e.g. 1h."),
]
