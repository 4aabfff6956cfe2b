"""What may stand at the end of an unfinished command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Names of places: the shell itself completes them.
_PLACES = ("FILE", "FOLDER", "RUN")

#: A value, and what it is; an empty value: files, which the shell knows.
Offer = tuple[str, str]
_FILES: Offer = ("", "files")


def complete(words: Sequence[str], verbs: Mapping[str, str], own: Mapping[str, Sequence[str]]) -> Iterator[Offer]:
    """What may stand in place of the last word.

    Args:
        words: after `certero`, the last one unfinished, perhaps empty. bash makes `--recipe=probe` three words.
        verbs: with what each does.
        own: options before any verb, with the values each may take.
    """
    *done, last = words or [""]
    if not done:
        yield from _beginning(verbs, last)
        yield from _beginning(dict.fromkeys(own, "") if last.startswith("-") else {"help": ""}, last)
    elif done[0] == "help" and len(done) == 1:
        yield from _beginning(verbs, last)
    elif done[0] in own and len(done) == 1:
        yield from _beginning(dict.fromkeys(own[done[0]], ""), last)
    elif done[0] in verbs:
        yield from _after_verb(done[0], done[1:], last)


def _after_verb(verb: str, done: Sequence[str], last: str) -> Iterator[Offer]:
    from importlib import import_module

    from certero.cli.terminal.help import meaning_of
    from certero.cli.terminal.parser import make_command

    parameters = make_command(verb, import_module(f"certero.cli.{verb}")).params
    options = {name: each for each in parameters for name in (*each.opts, *each.secondary_opts) if name[0] == "-"}
    waiting, given, dashes = _read(done, options)
    name, joined, value = last.partition("=")
    if waiting is not None:
        yield from _values(waiting, "" if last == "=" else last)
    elif joined and name in options and not options[name].is_flag:
        yield from ((f"{name}={offer}" if offer else "", what) for offer, what in _values(options[name], value))
    elif last.startswith("-") and not dashes:
        yield from _beginning({each: meaning_of(options[each]) for each in options} | {"--help": ""}, last)
    else:
        arguments = [each for each in parameters if each.param_type_name == "argument"]
        if given < len(arguments) or (arguments and arguments[-1].nargs == -1):
            yield from _values(arguments[min(given, len(arguments) - 1)], last)


def _read(done: Sequence[str], options: Mapping[str, Any]) -> tuple[Any, int, bool]:
    """Which option waits for its value, how many arguments were given, and whether `--` ended the options."""
    waiting, given, dashes = None, 0, False
    for word in done:
        if waiting is not None:
            waiting = waiting if word == "=" else None
        elif dashes or not word.startswith("-") or word == "-":
            given += 1
        elif word == "--":
            dashes = True
        elif word in options and not options[word].is_flag:
            waiting = options[word]
    return waiting, given, dashes


def _values(parameter: Any, last: str) -> Iterator[Offer]:
    found = [item.value for item in parameter.shell_complete(None, last) if item.type == "plain"]
    yield from ((value, "") for value in found)
    place = parameter.metavar or ""
    if any(word in place for word in _PLACES) or (parameter.param_type_name == "argument" and not found):
        yield _FILES


def _beginning(offers: Mapping[str, str], last: str) -> Iterator[Offer]:
    return ((word, what) for word, what in offers.items() if word.startswith(last))
