"""The entry point: finds the verb, imports that verb alone, and turns exceptions into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certero.sentences import Message

#: Each verb is the function `command` of the module of its name. The help needs no import of any of them.
VERBS = {
    "demo": "A first look in a minute: draw a small barn, train on its photos and report.",
    "audit": "Find copies, leaks, wrong labels and unusable photos before training.",
    "train": "Train a classifier on labelled photos, measure it once on photos it never saw, and report.",
    "evaluate": "Measure a model on other labelled photos, and say how many of them it was trained on.",
    "compare": "Compare models on the same photos, photo by photo: is one better, and at what cost.",
    "value": "Say what a model is worth: savings, payback, the threshold that earns most.",
    "predict": "Label photos: a table, CSV, JSON or JSON Lines.",
    "doctor": "Look at this machine and installation, and say what to do.",
    "cache": "Show what is remembered of your photos, or make room on the disk.",
}

_MOST_LETTERS = 4000
# Below, libraries of the report end the process or wait for ever in threads that could not start, instead of saying so.
_LEAST_ADDRESSES = 1_600_000 * 1024

EXIT_FAULT = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


def run() -> None:
    """The console script."""
    from certero.cli.terminal import signals
    from certero.cli.terminal.output import open_streams

    open_streams()
    signals.listen()
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code: 0 done, 1 our fault, 2 the user's mistake, 130 Ctrl-C."""
    from certero.cli.terminal.output import put, say, silence

    verb = arguments[0] if arguments else "help"
    _choose_language(arguments)
    try:
        if verb in VERBS:
            return _invoke(verb, arguments[1:])
        if verb == "help" and arguments[1:2] and arguments[1] in VERBS:
            return _invoke(arguments[1], ["--help"])
        if verb in ("--help", "-h", "help"):
            put(_help() + "\n")
            return 0
        if verb in ("--version", "-V"):
            from certero.version import version

            say(f"certero {version()}")
            return 0
        return _fail(_unknown_verb(verb), EXIT_MISTAKE)
    except BrokenPipeError:
        # The reader of our output (head, less) has all it wants: not a failure, and nobody is there to be told.
        silence()
        return 0
    except SystemExit:
        raise
    except BaseException as error:  # a panic of Polars is no Exception
        return _explain(verb, error)


def _choose_language(arguments: Sequence[str]) -> None:
    """Before any option is parsed: what is wrong with one is said in that language, too.

    One that is unknown is refused by the verb, as every other option's value.
    """
    from certero.cli.terminal import signals
    from certero.language import LANGUAGES, translate, use_language

    asked = None
    for word, following in pairwise([*arguments, ""]):
        if word == "--lang":
            asked = following
        elif word.startswith("--lang="):
            asked = word.removeprefix("--lang=")
    use_language(asked if asked in LANGUAGES else None)
    # Said from a thread, where no context is.
    signals.farewell = translate(signals.ENDED)


def _explain(verb: str, error: BaseException) -> int:
    """Says in one line why a command ended; returns its exit code."""
    from certero.cli.terminal import signals
    from certero.errors import EXTRAS, CerteroError, missing_part
    from certero.sentences import sentence

    # A signal in the middle of an import comes out as an ImportError.
    if isinstance(error, KeyboardInterrupt) or signals.exit_code():
        # A training that was saved says how to go on.
        said: Message | None = getattr(error, "said", None)
        return _fail(
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
        return _fail(error.message, error.exit_code, kind)
    if lack := _lack(error, verb):
        return _fail(lack, EXIT_MISTAKE)
    return _fault(error)


def _lack(error: BaseException, verb: str) -> Message | None:
    """What of the machine ran out, and what to do, if that is why; libraries say it in their own ways."""
    import errno

    from certero.sentences import sentence

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


def _invoke(verb: str, arguments: list[str]) -> int:
    """Parses and runs. Not by Typer's own `main`: that one answers mistakes in four lines and Ctrl-C in its own way."""
    from contextvars import copy_context

    import typer
    from typer.main import get_command

    from certero.cli.terminal.output import put
    from certero.runtime import deadline

    context_of_language = copy_context()
    deadline.when_stuck = lambda model: context_of_language.run(_end_stuck, model)
    # Plain help: importing Rich for its boxes would double the time to the first line.
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    function = import_module(f"certero.cli.{verb}").command
    app.command(name=verb, context_settings={"help_option_names": ["-h", "--help"]})(function)
    command = get_command(app)
    try:
        with command.make_context(f"certero {verb}", [*arguments]) as context:
            _check_addresses(verb)
            command.invoke(context)
    except typer.Exit as stop:
        put("")  # the help is still buffered: a reader that has left shows here
        return stop.exit_code
    except Exception as error:
        # The class of a wrong option or value has moved between Typer's versions; its method has not.
        if not hasattr(error, "format_message"):
            raise
        from certero.cli.terminal.mistakes import explain

        return _fail(explain(error, verb, arguments, command, function), EXIT_MISTAKE)
    return 0


def _check_addresses(verb: str) -> None:
    """Refuses what `ulimit -v` leaves too few addresses for.

    Raises:
        ConfigError: if the verb needs the libraries of the report, and they need more.
    """
    from certero.errors import EXTRAS, ConfigError

    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if verb in EXTRAS and limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESSES:
        raise ConfigError(
            "certero %(verb)s must have %(least_addresses)s KB of addresses; ulimit -v allows "
            "%(limit)s. Raise it: ulimit -v 3000000, or unlimited.",
            verb=verb,
            least_addresses=_LEAST_ADDRESSES // 1024,
            limit=limit // 1024,
        )


def _end_stuck(model: str) -> None:
    """Ends the process from beside: nothing can be raised into a network's layer that does not come back."""
    import os

    from certero.sentences import sentence

    said = sentence("MODEL must answer; %(model)s does not come back. Its network is not made for photos.", model=model)
    os._exit(_fail(said, EXIT_MISTAKE, "ModelFileError"))


def _fault(error: BaseException) -> int:
    import os
    import traceback

    from certero.sentences import sentence

    if os.environ.get("CERTERO_TRACEBACK"):
        traceback.print_exception(error)
    said = sentence(
        "certero itself failed: %(kind)s: %(reason)s. Nothing half-written was left as a result. "
        "Set CERTERO_TRACEBACK=1 and run again to see where; please report it.",
        kind=type(error).__name__,
        reason=" ".join(str(error).split())[:300],
    )
    return _fail(said, EXIT_FAULT)


def _fail(said: Message, code: int, kind: str = "") -> int:
    from certero.cli.terminal.output import tell
    from certero.language import translate

    line = f"{kind}: {translate(said)}" if kind else translate(said)
    # A message may name every class of a data set, or what somebody wrote into a file.
    tell(line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}...")
    return code


def _unknown_verb(verb: str) -> Message:
    import difflib

    from certero.sentences import sentence

    known = ", ".join(VERBS)
    if near := difflib.get_close_matches(verb, VERBS, n=1):
        return sentence(
            "the first word must be one of %(verbs)s; found %(verb)r. Did you mean %(near)s?",
            verbs=known,
            verb=verb,
            near=near[0],
        )
    return sentence(
        "the first word must be one of %(verbs)s; found %(verb)r. See: certero --help", verbs=known, verb=verb
    )


def _help() -> str:
    verbs = "\n".join(f"  {verb:<10} {line}" for verb, line in VERBS.items())
    return f"""Usage: certero VERB DATA|MODEL [options]

Labelled photos into an image classifier whose accuracy can be trusted.

{verbs}

  certero VERB --help   what a verb takes
  certero --version

Start with: certero demo, then certero train FOLDER (one folder of photos a class)."""
