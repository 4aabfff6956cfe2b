"""What a model is worth, in a few plain lines."""

from __future__ import annotations

from pathlib import Path

from certero.cli.terminal.summary import interval
from certero.interchange import Json
from certero.language import _, ngettext, translate
from certero.report.money import (
    in_months,
    item_digits,
    money_with_interval,
    number_with_interval,
    plain,
    words_of_assumption,
)

_MOST_ASSUMPTIONS = 3


def summarise(answer: Json, report: Path | None) -> list[str]:
    """The lines, in the language in use."""
    # Here and not above: --help need not wait for the records.
    from certero.records.quantity import Quantity
    from certero.report.value import headline

    case = answer["case"]
    lines = [headline(answer)]
    lines += [_("Note: %(note)s.") % {"note": translate(note)} for note in answer["notes"]]
    lines.append(
        _("Gain an item: %(minutes)s minutes, %(money)s.")
        % {
            "minutes": number_with_interval(answer["gain_per_item_minutes"], item_digits(case)["minutes"]),
            "money": money_with_interval(answer["gain_per_item_money"], case, per_item=True),
        }
    )
    lines.append(
        _("A month: %(minutes)s minutes, %(money)s after running costs.")
        % {
            "minutes": number_with_interval(answer["minutes_per_month"], 0),
            "money": money_with_interval(answer["net_per_month"], case),
        }
    )
    lines.append(_("Payback: %(payback)s.") % {"payback": in_months(answer["payback_months"])})
    if answer["probability_never"]:
        lines.append(_("Chance that it never pays back: %(share)s.") % {"share": f"{answer['probability_never']:.1%}"})
    worth = {
        "money": money_with_interval(answer["return_at_horizon"], case),
        "months": f"{case['horizon_months']:g}",
    }
    lines.append(_("Return after %(months)s months: %(money)s.") % worth)
    lines.append(
        _("It pays back by then from an accuracy of %(bar)s on; measured on the accepted answers: %(measured)s.")
        % {
            "bar": interval(Quantity.from_json(answer["break_even_accuracy_at_horizon"])),
            "measured": interval(Quantity.from_json(answer["accuracy"])),
        }
    )
    lines += _about_threshold(answer)
    moved = [row for row in answer["sensitivity"] if row["payback_low"] != row["payback_high"]]
    if moved:
        lines.append(_("What moves the payback most:"))
        for row in moved[:_MOST_ASSUMPTIONS]:
            flips = (
                "" if row["flips_at"] is None else _(" (no return at %(value)s)") % {"value": plain(row["flips_at"])}
            )
            lines.append(f"  {words_of_assumption(row['assumption'])}{flips}")
    for other in answer["models"]:
        compared = other["compared"]
        lines.append(
            _("%(model)s against %(first)s: %(money)s a month, %(verdict)s.")
            % {
                "model": other["model"],
                "first": answer["model"],
                "money": money_with_interval(compared["money_per_month"], case),
                "verdict": {"better": _("better"), "worse": _("worse")}.get(compared["verdict"], _("cannot tell")),
            }
        )
    if answer["class_shares"] and answer["class_shares_from"] == "photos":
        lines.append(_("Classes are taken to come as often as in the test photos; [class_shares] says otherwise."))
    if report is not None:
        lines.append(_("Report") + f": {report}")
    return lines


def _about_threshold(answer: Json) -> list[str]:
    threshold = answer["threshold"]
    if threshold is None or threshold["source"] == "none":
        return []
    asked = answer["asked"]["value"]
    if threshold["per_class"] is not None:
        text = _("A threshold for each class; a person is asked for %(share)s of the photos.")
    elif threshold["value"] == 0:
        return [_("Best threshold: none. By this case it is best to accept every answer.")]
    elif threshold["value"] > 1:
        return [_("Best threshold: by this case it is best to ask a person always. The model earns nothing.")]
    else:
        text = _("Threshold: %(value)s; below it a person is asked, for %(share)s of the photos.")
    all_of_them = answer["accept_all"]["gain_per_item_money"]
    lines = [
        text % {"value": f"{threshold['value'] or 0:g}", "share": f"{asked:.1%}"},
        _("Accepting every answer would gain %(money)s an item.")
        % {"money": money_with_interval(all_of_them, answer["case"], per_item=True)},
    ]
    if threshold["saved"]:
        count = len(threshold["per_class"] or [0])
        saved = ngettext(
            "Saved: %(count)d threshold in the model file.", "Saved: %(count)d thresholds in the model file.", count
        )
        lines.append(saved % {"count": count})
    return lines
