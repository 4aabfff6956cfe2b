"""Why a command ended: one line on standard error, and an exit code."""

from __future__ import annotations

import errno
import os
import traceback

from certero.cli.terminal import signals
from certero.cli.terminal.output import tell
from certero.errors import EXTRAS, CerteroError, ConfigError, missing_part
from certero.language import translate
from certero.machine.limits import address_limit
from certero.sentences import Message, sentence

EXIT_FAULT = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

_MOST_LETTERS = 4000
# Below, libraries of the report end the process or wait for ever in threads that could not start, instead of saying so.
_LEAST_ADDRESSES = 1_600_000 * 1024


def fail(said: Message, code: int, kind: str = "") -> int:

    line = f"{kind}: {translate(said)}" if kind else translate(said)
    # A message may name every class of a data set, or what somebody wrote into a file.
    tell(line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}...")
    return code


def explain(verb: str, error: BaseException) -> int:
    """Says in one line why a command ended; returns its exit code."""

    # A signal in the middle of an import comes out as an ImportError.
    if isinstance(error, KeyboardInterrupt) or signals.exit_code():
        # A training that was saved says how to go on.
        said: Message | None = getattr(error, "said", None)
        return fail(
            said
            or sentence(
                "Interrupted; no half-written result was left. Run the same command again: "
                "finished steps are remembered."
            ),
            signals.exit_code() or EXIT_INTERRUPTED,
        )
    if (
        isinstance(error, ModuleNotFoundError)
        and verb in EXTRAS
        and not (error.name or "certero").startswith("certero")
    ):
        error = missing_part(error.name or "", f"certero {verb}", verb)
    if isinstance(error, CerteroError):
        kind = next(each.__name__ for each in type(error).__mro__ if not each.__name__.startswith("_"))
        return fail(error.message, error.exit_code, kind)
    if lack := _lack(error, verb):
        return fail(lack, EXIT_MISTAKE)
    return _fault(error)


def _lack(error: BaseException, verb: str) -> Message | None:
    """What of the machine ran out, and what to do, if that is why; libraries say it in their own ways."""

    seen: BaseException | None = error
    while seen is not None:
        said, number = str(seen).lower(), getattr(seen, "errno", None)
        if number in (errno.EMFILE, errno.ENFILE) or "too many open files" in said:
            return sentence(
                "certero %(verb)s must have more open files than this machine or its limits grant; nothing "
                "half-written was left as a result. Raise the limit (ulimit -n). What there is: certero doctor.",
                verb=verb,
            )
        if "can't start new thread" in said:
            return sentence(
                "certero %(verb)s must have more threads than this machine or its limits grant; nothing half-written "
                "was left as a result. Raise the limit (ulimit -u), or give --workers 1. "
                "What there is: certero doctor.",
                verb=verb,
            )
        if (
            isinstance(seen, MemoryError)
            or number == errno.ENOMEM
            or any(
                words in said
                for words in ("cannot allocate memory", "failed to map segment", "bad_alloc", "spawn worker thread")
            )
        ):
            return sentence(
                "certero %(verb)s must have more memory than this machine or its limits grant; nothing half-written "
                "was left as a result. Close other programs, raise the limit (ulimit -v, or the container's), or give "
                "--workers 1. What there is: certero doctor.",
                verb=verb,
            )
        seen = seen.__cause__ or seen.__context__
    return None


def check_addresses(verb: str) -> None:
    """Refuses what `ulimit -v` leaves too few addresses for.

    Raises:
        ConfigError: if the verb needs the libraries of the report, and they need more.
    """
    limit = address_limit()
    if verb in EXTRAS and limit is not None and limit < _LEAST_ADDRESSES:
        raise ConfigError(
            "certero %(verb)s must have %(least_addresses)s KB of addresses; ulimit -v allows "
            "%(limit)s. Raise it: ulimit -v 3000000, or unlimited.",
            verb=verb,
            least_addresses=_LEAST_ADDRESSES // 1024,
            limit=limit // 1024,
        )


def end_stuck(model: str) -> None:
    """Ends the process from beside: nothing can be raised into a network's layer that does not come back."""

    said = sentence("MODEL must answer; %(model)s does not come back. Its network is not made for photos.", model=model)
    os._exit(fail(said, EXIT_MISTAKE, "ModelFileError"))


def _fault(error: BaseException) -> int:

    if os.environ.get("CERTERO_TRACEBACK"):
        traceback.print_exception(error)
    said = sentence(
        "certero itself failed: %(kind)s: %(reason)s. Nothing half-written was left as a result. "
        "Set CERTERO_TRACEBACK=1 and run again to see where; please report it.",
        kind=type(error).__name__,
        reason=" ".join(str(error).split())[:300],
    )
    return fail(said, EXIT_FAULT)
