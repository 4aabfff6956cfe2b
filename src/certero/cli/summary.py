"""The answer in a few plain lines, for train and evaluate."""

from __future__ import annotations

import json

from certero.cli.output import say, write
from certero.errors import UserError
from certero.records import Json

_WORST = 5


class RequirementNotMet(UserError):
    """`--strict` and a bar that is not met, or of which the test photos cannot tell."""


def print_json(metrics: Json, target: str) -> None:
    """Writes metrics to a file, or to standard output for `-`."""
    write(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n", target)


def print_summary(metrics: Json) -> None:
    """Prints the headline with its interval, what a random split would have claimed, and the weakest classes."""
    for line in summarise(metrics):
        say(line)


def summarise(metrics: Json) -> list[str]:
    """The lines of `print_summary`."""
    lines = [*_left_out(metrics.get("counts", {})), *(f"Note: {note}." for note in metrics.get("notes", []))]
    seen = metrics.get("seen")
    body = metrics["test"]
    if body is None:
        return [*lines, "The test set stays sealed (--no-test): no figure was measured."]
    if seen and seen["exact"] and seen["unseen"] is None:
        return [
            *lines,
            f"WARNING: the model was trained on all {body['n']} photos. They say nothing of its accuracy on new ones.",
        ]
    if seen and seen["exact"]:
        lines.append(
            f"WARNING: the model was trained on {seen['exact']} of these {body['n']} photos. "
            "The figures below leave them out."
        )
        body = seen["unseen"]
    lines.append(f"Accuracy: {interval(body['accuracy'])}, on {body['n']} photos the model never saw.")
    if sum(row["n"] > 0 for row in body["per_class"].values()) > 1:
        lines.append(f"Always naming the commonest class: {interval(body['majority_class_accuracy'])}.")
    random_split = metrics.get("random_split_accuracy")
    if random_split and random_split["value"] is not None:
        points = 100 * metrics["optimism_of_random_split"]["value"]
        lines.append(
            f"A random split would have claimed {random_split['value']:.1%}: an optimism of {points:+.1f} points."
        )
    classes = [(row["recall"]["value"], name, row) for name, row in body["per_class"].items() if row["n"]]
    classes.sort(key=lambda item: (item[0] is None, item[0], item[1]))
    lines.append("Weakest classes (share of their photos that was found):")
    lines.extend(f"  {name}: {interval(row['recall'])} of {row['n']}" for _value, name, row in classes[:_WORST])
    lines.extend(f"Required {bar['require']}: {bar['verdict']}." for bar in metrics.get("requirements", []))
    if metrics["openings"]:
        lines.append(f"These test photos had been opened {_times(metrics['openings'])} before: trust the figure less.")
    return lines


def interval(quantity: Json) -> str:
    """`84.1% (82.5 to 85.6)`, or why there is no interval."""
    if quantity["value"] is None:
        return "undefined"
    if quantity["low"] is None:
        return f"{quantity['value']:.1%} (no interval: {quantity['method'].replace('_', ' ')})"
    return f"{quantity['value']:.1%} ({100 * quantity['low']:.1f} to {100 * quantity['high']:.1f})"


def check_strict(metrics: Json) -> None:
    """Raises unless every required bar is met.

    Raises:
        RequirementNotMet: naming the bars.
    """
    missed = [f"{bar['require']}: {bar['verdict']}" for bar in metrics["requirements"] if bar["verdict"] != "met"]
    if missed:
        raise RequirementNotMet(f"--strict needs every --require to be met; found {'; '.join(missed)}.")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _left_out(counts: Json) -> list[str]:
    # Purged and leaked photos have their note.
    words = {
        "unreadable": "could not be read",
        "damaged": "are damaged but usable",
    }
    return [
        f"{counts[name]} photos {text} (listed in metrics.json and the report)."
        for name, text in words.items()
        if counts.get(name)
    ]
