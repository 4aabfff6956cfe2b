"""A user's regular expression applied to many names, which might never end.

Python's engine tries every way to match: one as short as `(a+)+$` takes longer than the universe is old on 60 letters,
and nothing in the same process can stop it. So it runs in a process of its own, which is ended (decision 46).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from certero.errors import SplitError
from certero.photos.listing import printable
from certero.sentences import message

#: Longest time for one name, seconds.
SECONDS_A_NAME = 10.0

# So many results come back together: one by one that would take as long as the search.
_TOGETHER = 500

_PROGRAM = """
import json, os, re, sys
pattern, together, names = json.load(sys.stdin)
pattern = re.compile(pattern)
for start in range(0, len(names), together):
    answers = []
    for name in names[start : start + together]:
        match = pattern.search(name)
        answers.append(None if match is None else match[min(pattern.groups, 1)])
    os.write(1, json.dumps(answers).encode() + b"\\n")
"""


def match_all(pattern: str, names: Sequence[str], seconds: float = SECONDS_A_NAME) -> list[str | None]:
    """For each name what the expression's first group matches, or the whole match without a group; None if nothing.

    Args:
        pattern: as the user gave it.
        names: e.g. paths of photos.
        seconds: longest time for one name.

    Raises:
        SplitError: if it is not a regular expression, or does not end in time.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        reason = str(error) or message("it is too large")
        raise SplitError(
            "--group-by must be a valid regular expression; '%(pattern)s' is not: %(reason)s. Correct it.",
            pattern=pattern,
            reason=reason,
        ) from error
    if not sys.executable:  # a Python inside another program cannot be started a second time
        found = (regex.search(name) for name in names)
        return [None if match is None else match[min(regex.groups, 1)] for match in found]
    answers, ended = _search(pattern, names, seconds, _TOGETHER)
    if len(answers) < len(names) and ended is None:
        # One of those whose results come back together.
        at = len(answers)
        some, _ended = _search(pattern, names[at : at + _TOGETHER], seconds, 1)
        raise SplitError(
            "--group-by must be a regular expression that comes to an end; '%(pattern)s' does not "
            "within %(seconds)g s on %(names)s. Write it without a repeat inside a repeat.",
            pattern=pattern,
            seconds=seconds,
            names=printable(names[min(at + len(some), len(names) - 1)]),
        )
    if len(answers) < len(names):
        raise SplitError(
            "--group-by must be a regular expression that can be searched for; '%(pattern)s' ended "
            "the process that did, with %(ended)s. Write a simpler one.",
            pattern=pattern,
            ended=ended,
        )
    return answers


def _search(pattern: str, names: Sequence[str], seconds: float, together: int) -> tuple[list[str | None], int | None]:
    """The results that came, and the exit code; None if the process had to be ended."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answered:
        asked.write(json.dumps([pattern, together, list(names)]).encode())
        asked.seek(0)
        # -I and -S: nothing of the user's Python is needed, and it starts in a third of the time.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM], stdin=asked, stdout=answered, stderr=subprocess.DEVNULL
        )
        try:
            ended = _wait(process, answered.fileno(), seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        answered.seek(0)
        return [answer for line in answered.read().splitlines() for answer in json.loads(line)], ended


def _wait(process: subprocess.Popen[bytes], answered: int, seconds: float) -> int | None:
    """The exit code, once there is one; None if no result comes for so long."""
    before = -1
    while (code := process.poll()) is None and before != (now := os.fstat(answered).st_size):
        before = now
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    return code
