"""What is wrong with the words of a command, in whole sentences: the parser's own are English alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints

from certero.sentences import Message, message, sentence

_NUMBERS = {int: message("a whole number"), float: message("a number")}


def explain(error: Any, verb: str, arguments: Sequence[str], command: Any, function: Callable[..., None]) -> Message:
    """What the parser refused, and where the help is.

    The classes of its exceptions have moved between Typer's versions; their names and attributes have not.

    Args:
        error: what the parser raised.
        verb: the command.
        arguments: the words after the verb.
        command: made of the function, as the parser sees it.
        function: the verb's own.
    """
    kinds = {each.__name__ for each in type(error).__mro__}
    if "NoSuchOption" in kinds:
        return _no_such_option(error, verb)
    if "MissingParameter" in kinds and error.param is not None:
        name = error.param.metavar or error.param.name.upper()
        return sentence("Missing argument '%(name)s'. See: certero %(verb)s --help", name=name, verb=verb)
    if "BadOptionUsage" in kinds:
        option = error.option_name
        if any(getattr(each, "is_flag", False) for each in command.params if option in each.opts):
            return sentence("%(option)s takes no value. See: certero %(verb)s --help", option=option, verb=verb)
        return sentence("%(option)s needs a value. See: certero %(verb)s --help", option=option, verb=verb)
    if "BadParameter" in kinds and error.param is not None:
        wanted = get_type_hints(function).get(error.param.name)
        for kind, words in _NUMBERS.items():
            if kind in (wanted, *get_args(wanted)):
                if _is(kind, value := _given(error.param.opts, arguments)):
                    return sentence(
                        "%(option)s must be at least %(least)s; found %(value)s. See: certero %(verb)s --help",
                        option=error.param.opts[0],
                        least=_least(function, error.param.name),
                        value=value,
                        verb=verb,
                    )
                return sentence(
                    "%(option)s must be %(wanted)s; found %(value)r. See: certero %(verb)s --help",
                    option=error.param.opts[0],
                    wanted=words,
                    value=value,
                    verb=verb,
                )
    elif extra := _extra(error, arguments, command):
        return sentence(
            "unexpected extra argument: %(words)s. See: certero %(verb)s --help", words=" ".join(extra), verb=verb
        )
    said = " ".join(str(error.format_message()).split()).rstrip(".")
    return sentence("%(said)s. See: certero %(verb)s --help", said=said, verb=verb)


def _no_such_option(error: Any, verb: str) -> Message:
    option = error.option_name
    if near := sorted(error.possibilities or ()):
        return sentence(
            "there is no option %(option)s. Did you mean %(near)s? See: certero %(verb)s --help",
            option=option,
            near=", ".join(near),
            verb=verb,
        )
    return sentence("there is no option %(option)s. See: certero %(verb)s --help", option=option, verb=verb)


def _is(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _least(function: Callable[..., None], name: str) -> object:
    """What the option of a parameter was declared with; the parser's own attribute has moved between versions."""
    about = getattr(get_type_hints(function, include_extras=True)[name], "__metadata__", ())
    return next((each.min for each in about if hasattr(each, "min")), None)


def _given(names: Sequence[str], arguments: Sequence[str]) -> str:
    """The last value that follows one of the option's names."""
    value = ""
    for at, word in enumerate(arguments):
        name, joined, rest = word.partition("=")
        if name in names:
            value = rest if joined else "".join(arguments[at + 1 : at + 2])
    return value


def _extra(error: Any, arguments: Sequence[str], command: Any) -> list[str]:
    """Words for which the command has no argument."""
    try:
        _options, left, _order = command.make_parser(error.ctx).parse_args(args=list(arguments))
    except Exception:  # what is wrong is something else
        return []
    return list(left)
