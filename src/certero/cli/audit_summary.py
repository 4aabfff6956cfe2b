"""What an audit found, in a few plain lines."""

from __future__ import annotations

from certero.cli.summary import say_passed_over
from certero.data.findings import KINDS
from certero.language import _, message, ngettext, translate
from certero.records import Json

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
    by_kind: dict[str, list[Json]] = {}
    for finding in answer["findings"]:
        by_kind.setdefault(finding["kind"], []).append(finding)
    for kind, found in by_kind.items():
        title, advice = KINDS[kind]
        photos = counts["kinds"][kind]["photos"]
        size = ngettext("%(count)d photo", "%(count)d photos", photos) % {"count": photos}
        lines.append(f"{_(_TAGS[found[0]['severity']]):<{_WIDTH}}{_(title)}" + (f": {size}" if photos else ""))
        for finding in found[:_EXAMPLES]:
            where = f"{', '.join(finding['paths'][:3])}: " if finding["paths"] else ""
            lines.append(f"{'':<{_WIDTH}}  {where}{translate(finding['message'])}")
        if len(found) > _EXAMPLES:
            more = len(found) - _EXAMPLES
            lines.append(
                f"{'':<{_WIDTH}}  " + ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more}
            )
        lines.append(f"{'':<{_WIDTH}}> {_(advice)}")
    if not by_kind:
        lines.append(_("Nothing was found."))
    if answer["fix"]:
        text = _("The cleaned manifest lists %(kept)d photos and leaves out %(left)d; no photo was touched.")
        lines.append(text % {"kept": answer["fix"]["kept"], "left": len(answer["fix"]["left_out"])})
    text = _("%(photos)d photos: %(high)d serious findings, %(medium)d to look at, %(low)d worth knowing.")
    return [*lines, text % {"photos": counts["photos"], **counts["findings"]}]
