"""Verdicts of a comparison: which model is better, and what nobody can tell."""

from __future__ import annotations

from certero.interchange import Json
from certero.records.comparison import Paired
from certero.sentences import Sentence, sentence
from certero.stats.intervals import FEWEST_TO_SEE_RARE
from certero.stats.paired import FEWEST_TESTED


def say(first: str, second: str, pair: Paired) -> Sentence:
    """The verdict on a pair in one sentence."""
    value, ends = pair.accuracy.value or 0.0, pair.accuracy.interval
    points = f"{abs(100 * value):.1f}"
    if pair.verdict in ("better", "worse") and ends is not None:
        winner, loser = (second, first) if value > 0 else (first, second)
        low, high = (f"{end:.1f}" for end in sorted(abs(100 * end) for end in ends))
        return sentence(
            "%(winner)s is better than %(loser)s by %(points)s points (%(low)s to %(high)s)",
            winner=winner,
            loser=loser,
            points=points,
            low=low,
            high=high,
        )
    if pair.verdict == "alike":
        return sentence("%(first)s and %(second)s are right and wrong on the same photos", first=first, second=second)
    if pair.reason == "too_few_groups":
        return sentence(
            "cannot tell whether %(first)s or %(second)s is better: the photos come from fewer than %(fewest)d "
            "separate groups or times, however many they are",
            first=first,
            second=second,
            fewest=FEWEST_TESTED,
        )
    if value == 0 or pair.photos_needed is None:
        return sentence(
            "cannot tell whether %(first)s or %(second)s is better: as many photos are named rightly by the one alone "
            "as by the other",
            first=first,
            second=second,
        )
    n = f"{pair.n:,}"
    ahead, behind = (second, first) if value > 0 else (first, second)
    return sentence(
        "cannot tell whether %(ahead)s is better than %(behind)s: it is ahead by %(points)s points on %(n)s photos; "
        "about %(needed)s photos like these would be needed to tell a difference of this size",
        ahead=ahead,
        behind=behind,
        points=points,
        n=n,
        needed=_rounded(pair.photos_needed),
    )


def caution(pair: Paired) -> Sentence | None:
    """What these photos cannot show of either model, whatever the verdict; None if they can."""
    if pair.groups is None or pair.groups >= FEWEST_TO_SEE_RARE:
        return None
    return sentence(
        "the photos come from %(groups)d separate groups or times: a model that fails in one group of ten may have met "
        "none of those here, and only some %(enough)d groups and more would show it",
        groups=pair.groups,
        enough=FEWEST_TO_SEE_RARE,
    )


def _rounded(count: int) -> str:
    """Two digits are all that a planned number of photos can claim."""
    digits = max(0, len(str(count)) - 2)
    return f"{-(-count // 10**digits) * 10**digits:,}"


def best(answer: Json) -> Json:
    """The model with the highest accuracy, those that it is better than, and those of which nobody can tell."""
    leader = max(answer["models"], key=lambda row: row["accuracy"]["value"])["letter"]
    beaten: list[str] = []
    open_: list[str] = []
    for pair in answer["pairs"]:
        if leader in (pair["first"], pair["second"]):
            other = pair["second"] if pair["first"] == leader else pair["first"]
            won = pair["verdict"] == ("better" if pair["second"] == leader else "worse")
            (beaten if won else open_).append(other)
    return {"letter": leader, "better_than": beaten, "cannot_tell": open_}
