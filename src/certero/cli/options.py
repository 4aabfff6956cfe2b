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
