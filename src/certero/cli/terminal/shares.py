"""What other shares of the classes make of the figures, in a few plain lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certero.cli.terminal.output import say
from certero.cli.terminal.summary import interval
from certero.language import _, ngettext, translate

if TYPE_CHECKING:
    from certero.records.metrics import Metrics
    from certero.records.quantity import Quantity
    from certero.records.weighed import Weighed


def print_shares(metrics: Metrics) -> None:
    """Prints what `evaluate --shares` found; nothing where no shares were asked for."""
    if metrics.shares is not None:
        for line in _lines(metrics.shares, bool(metrics.requirements)):
            say(line)


def _lines(weighed: Weighed, with_bars: bool) -> list[str]:
    if weighed.adapted is None or weighed.now is None:
        text = _("--shares changes nothing here: %(reason)s.")
        return [text % {"reason": translate(weighed.reason or "")}]
    adapted = weighed.adapted
    if weighed.method == "adapt":
        text = _("With the shares of the classes found from these photos (no label was used): %(figure)s.")
    else:
        text = _("With the given shares of the classes: %(figure)s.")
    lines = [text % {"figure": interval(adapted.accuracy)}]
    text = _("%(label)s: %(before)s of the photos in training, %(now)s here; found %(figure)s of %(photos)d")
    for name, share in weighed.now.items():
        scores = adapted.per_class[name]
        before = f"{weighed.before[name]:.1%}"
        values = {"label": name, "before": before, "now": _share(share), "photos": scores.n}
        lines.append("  " + text % (values | {"figure": interval(scores.recall)}))
    text = ngettext(
        "%(changed)d photo is named otherwise with them. This holds where each class looks as it did in training and "
        "only its share has changed.",
        "%(changed)d photos are named otherwise with them. This holds where each class looks as it did in training and "
        "only its share has changed.",
        weighed.changed or 0,
    )
    lines.append(text % {"changed": weighed.changed or 0})
    return [*lines, _("Each --require is held against the figures with these shares.")] if with_bars else lines


def _share(quantity: Quantity) -> str:
    """A share that was found with its interval; one that was given as it is."""
    return f"{quantity.value or 0.0:.1%}" if quantity.interval is None else interval(quantity)
