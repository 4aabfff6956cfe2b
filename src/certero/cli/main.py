"""The entry point: finds the verb, imports that verb alone, and turns exceptions into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING

from certero.sentences import message, sentence

if TYPE_CHECKING:
    from certero.sentences import Message

#: Each verb is the function `command` of the module of its name. The help needs no import of any of them.
VERBS = {
    "demo": message("A first look in a minute: a drawn barn, a model, a report."),
    "audit": message("Find copies, leaks, wrong labels and unusable photos."),
    "train": message("Train a classifier, measure it once on held-out photos, report."),
    "evaluate": message("Measure a model on other photos, and count those it was trained on."),
    "compare": message("Compare models photo by photo: is one better, and at what cost."),
    "value": message("Say what a model is worth: savings, payback, best threshold."),
    "predict": message("Label photos: a table, CSV, JSON or JSON Lines."),
    "doctor": message("Look at this machine and installation, and say what to do."),
    "cache": message("Show what is remembered of your photos, or free its space."),
}
_INSTALL, _SHOW = "--install-completion", "--show-completion"


def run() -> None:
    """The console script."""
    from certero.cli.terminal import signals
    from certero.cli.terminal.output import open_streams

    open_streams()
    signals.listen()
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code: 0 done, 1 our fault, 2 the user's mistake, 130 Ctrl-C."""
    from certero.cli.terminal.output import silence

    verb = arguments[0] if arguments else "help"
    _choose_language(arguments)
    try:
        if verb in VERBS:
            return _invoke(verb, arguments[1:])
        if verb == "help" and arguments[1:2] and arguments[1] in VERBS:
            return _invoke(arguments[1], ["--help"])
        return _answer(verb, arguments[1:])
    except BrokenPipeError:
        # The reader of our output (head, less) has all it wants: not a failure, and nobody is there to be told.
        silence()
        return 0
    except SystemExit:
        raise
    except BaseException as error:  # a panic of Polars is no Exception
        from certero.cli.terminal.failures import explain

        return explain(verb, error)


def _answer(word: str, following: list[str]) -> int:
    """What needs no verb."""
    from certero.cli.terminal.output import put, say

    if word in ("--help", "-h", "help"):
        put(_help() + "\n")
    elif word in ("--version", "-V"):
        from certero.version import version

        say(f"certero {version()}")
    elif word == "--complete":
        put("".join(f"{value}\t{what}\n" for value, what in _offers(following)))
    elif word == _INSTALL:
        from certero.cli.shells import install
        from certero.language import translate

        for line in install(following[0] if following else None):
            say(translate(line))
    elif word == _SHOW:
        from certero.cli.shells import script

        put(script(following[0] if following else None, _SHOW))
    else:
        from certero.cli.terminal.failures import EXIT_MISTAKE, fail

        return fail(_unknown_verb(word), EXIT_MISTAKE)
    return 0


def _offers(words: list[str]) -> Iterable[tuple[str, str]]:
    from certero.cli.shells import SHELLS
    from certero.cli.terminal.completion import complete
    from certero.language import _

    own = {"--help": (), "--version": (), _INSTALL: SHELLS, _SHOW: SHELLS}
    return complete(words, {verb: _(line) for verb, line in VERBS.items()}, own)


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


def _invoke(verb: str, arguments: list[str]) -> int:
    """Parses and runs. Not by Typer's own `main`: that one answers mistakes in four lines and Ctrl-C in its own way."""
    from contextvars import copy_context

    import typer

    from certero.cli.terminal.failures import EXIT_MISTAKE, check_addresses, end_stuck, fail
    from certero.cli.terminal.output import put
    from certero.cli.terminal.parser import make_command
    from certero.runtime import deadline

    context_of_language = copy_context()
    deadline.when_stuck = lambda model: context_of_language.run(end_stuck, model)
    module = import_module(f"certero.cli.{verb}")
    command = make_command(verb, module)
    put("")  # from here on what the terminal cannot show becomes a question mark, in the help, too
    try:
        with command.make_context(f"certero {verb}", [*arguments]) as context:
            check_addresses(verb)
            command.invoke(context)
    except typer.Exit as stop:
        put("")  # the help is still buffered: a reader that has left shows here
        return stop.exit_code
    except Exception as error:
        # The class of a wrong option or value has moved between Typer's versions; its method has not.
        if not hasattr(error, "format_message"):
            raise
        from certero.cli.terminal.mistakes import explain

        return fail(explain(error, verb, arguments, command, module.command), EXIT_MISTAKE)
    return 0


def _unknown_verb(verb: str) -> Message:
    import difflib

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
    from certero.language import _

    verbs = "\n".join(f"  {verb:<10} {_(line)}" for verb, line in VERBS.items())
    lines = [
        _("Usage:") + " certero VERB DATA|MODEL " + _("[options]"),
        "",
        _("Labelled photos into a classifier whose accuracy can be trusted."),
        "",
        verbs,
        "",
        "  certero VERB --help             " + _("what a verb takes"),
        "  certero --version",
        "  certero --install-completion    " + _("complete words in bash, zsh or fish"),
        "",
        _("Start with: certero demo, then certero train FOLDER (one folder a class)."),
    ]
    return "\n".join(lines)
