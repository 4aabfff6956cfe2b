"""What an audit found, in a few plain lines."""

from __future__ import annotations

from certero.cli.terminal.passed_over import say_passed_over
from certero.findings.findings import describe_kind
from certero.interchange import Json
from certero.language import _, ngettext, translate
from certero.sentences import message

_TAGS = {"high": message("SERIOUS"), "medium": message("look at"), "low": message("know")}
_EXAMPLES = 2
_WIDTH = 9


def summarise(answer: Json) -> list[str]:
    """The lines, in the language in use: a kind of finding each, the worst first, with examples and what to do."""
    counts = answer["counts"]
    lines = [_("Note: %(note)s.") % {"note": translate(note)} for note in answer["notes"]]
    if counts["passed_over"]:
        lines.append(say_passed_over(counts["passed_over"]))
    if answer["near_copies"]["reason"]:
        text = _("Near copies cannot be told apart here: %(reason)s.")
        lines.append(text % {"reason": translate(answer["near_copies"]["reason"])})
    groups: dict[tuple[str, str], list[Json]] = {}
    for finding in answer["findings"]:
        groups.setdefault((finding["kind"], finding["severity"]), []).append(finding)
    for (kind, severity), found in groups.items():
        title, advice = describe_kind(kind, severity)
        lines.append(f"{_(_TAGS[severity]):<{_WIDTH}}{_(title)}: {_size(found)}")
        for finding in found[:_EXAMPLES]:
            where = f"{', '.join(finding['paths'][:3])}: " if finding["paths"] else ""
            lines.append(f"{'':<{_WIDTH}}  {where}{translate(finding['message'])}")
        if len(found) > _EXAMPLES:
            more = len(found) - _EXAMPLES
            lines.append(
                f"{'':<{_WIDTH}}  " + ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more}
            )
        lines.append(f"{'':<{_WIDTH}}> {_(advice)}")
    if not groups:
        lines.append(_("Nothing was found."))
    if answer["fix"]:
        text = _("The cleaned manifest lists %(kept)d photos and leaves out %(left)d; no photo was touched.")
        lines.append(text % {"kept": answer["fix"]["kept"], "left": len(answer["fix"]["left_out"])})
    text = _("%(photos)d photos: %(high)d serious findings, %(medium)d to look at, %(low)d worth knowing.")
    return [*lines, text % {"photos": counts["photos"], **counts["findings"]}]


def _size(found: list[Json]) -> str:
    """How many findings, which the last line adds up, and how many photos where that is another number."""
    photos = len({path for finding in found for path in finding["paths"]})
    findings = ngettext("%(count)d finding", "%(count)d findings", len(found)) % {"count": len(found)}
    shown = ngettext("%(count)d photo", "%(count)d photos", photos) % {"count": photos}
    if photos == len(found):
        return shown
    return f"{findings}, {shown}" if photos else findings
