"""`certero cache show` and `certero cache prune`"""

from __future__ import annotations

from typing import Annotated

from certero.amounts import count, size
from certero.cli.terminal.options import JsonFile, Lang, argument, option
from certero.cli.terminal.output import check_target, say, write
from certero.config.panels import DATA
from certero.config.parsing import parse_duration, parse_size
from certero.errors import ConfigError
from certero.interchange import json_text
from certero.language import _, ngettext, use_language
from certero.machine.cache import CacheFacts, describe_caches, prune_caches
from certero.machine.folders import cache_folder
from certero.sentences import either, message

_ACTIONS = ("show", "prune")

ABOUT = (
    message("Show what certero remembers of your photos, or make room on the disk."),
    message(
        "What is forgotten is computed again when it is needed: that costs time, nothing else. Your photos, runs and "
        "models are never touched. Safe while another command is running."
    ),
)

Action = Annotated[str, argument("[show|prune]", message("What to do; show where none is said."), lambda: _ACTIONS)]
OlderThan = Annotated[
    str | None,
    option(help=message("prune: forget what was not used for this long, e.g. 30d."), panel=DATA, metavar="TIME"),
]
MaxSize = Annotated[
    str | None,
    option(
        help=message("prune: forget what was used longest ago until this much is left, e.g. 2GB."),
        panel=DATA,
        metavar="SIZE",
    ),
]
Everything = Annotated[bool, option("--all", help=message("prune: forget everything."), panel=DATA)]


def command(
    action: Action = "show",
    older_than: OlderThan = None,
    max_size: MaxSize = None,
    everything: Everything = False,
    as_json: JsonFile = None,
    lang: Lang = None,
) -> None:
    """Runs `certero cache`; `ABOUT` says what it does."""
    use_language(lang)
    if action not in _ACTIONS:
        raise ConfigError(
            "certero cache must be followed by %(actions)s; found %(action)r.",
            actions=either(_ACTIONS),
            action=action,
        )
    check_target(as_json, "--json")
    limits = [older_than is not None, max_size is not None, everything]
    if action == "show" and any(limits):
        raise ConfigError("--older-than, --max-size and --all are for certero cache prune; found certero cache show.")
    pruned = None
    if action == "prune":
        if not any(limits) or (everything and sum(limits) > 1):
            raise ConfigError(
                "certero cache prune needs --older-than 30d, --max-size 2GB (or both), or --all "
                "alone. See what is there with: certero cache show"
            )
        pruned = prune_caches(
            unused_for=None if older_than is None else parse_duration(older_than, "--older-than"),
            max_bytes=0 if everything else None if max_size is None else parse_size(max_size, "--max-size"),
        )
    caches = describe_caches()
    if as_json is not None:
        body = {
            "schema": 1,
            "folder": str(cache_folder()),
            "caches": [cache_json(facts) for facts in caches],
            "pruned": None if pruned is None else {"entries": pruned.entries, "bytes": pruned.bytes},
        }
        write(json_text(body, indent=1) + "\n", as_json)
    if as_json == "-":
        return
    if pruned is not None:
        say(
            ngettext(
                "Forgot {n} entry; {size} of the disk are free again.",
                "Forgot {n} entries; {size} of the disk are free again.",
                pruned.entries,
            ).format(n=count(pruned.entries), size=size(pruned.bytes))
        )
    say(str(cache_folder()))
    for facts in caches:
        say(f"  {facts.name:<14}{size(facts.bytes):>8}  {describe(facts)}")
    if pruned is None and sum(facts.bytes for facts in caches) > 0:
        say(_("To make room: certero cache prune --older-than 30d, or --max-size 2GB, or --all"))


def describe(facts: CacheFacts) -> str:
    """How many entries of which kind, in words."""
    if facts.entries is None:
        return _("cannot be read now; it is made anew when it is needed")
    kinds = {
        "fingerprints": _("photos looked at"),
        "features": _("photos described by a network"),
        "networks": _("networks made ready"),
    }
    return f"{count(facts.entries)} {kinds[facts.name]}"


def cache_json(facts: CacheFacts) -> dict[str, object]:
    """One cache of `certero cache --json` and `certero doctor --json`."""
    return {"name": facts.name, "path": str(facts.path), "bytes": facts.bytes, "entries": facts.entries}
