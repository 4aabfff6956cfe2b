"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Lang = Annotated[
    str | None,
    typer.Option("--lang", metavar="en|es", help="Language of results and reports. Default: the locale's."),
]
