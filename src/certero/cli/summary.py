"""The answer in a few plain lines, for train and evaluate."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from certero.disk import write_whole
from certero.errors import UserError
from certero.records import Json

_WORST = 5


class RequirementNotMet(UserError):
    """`--strict` and a bar that is not met, or of which the test photos cannot tell."""


def print_json(metrics: Json, target: str) -> None:
    """Writes metrics to a file, or to standard output for `-`."""
    text = json.dumps(metrics, indent=1, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text.encode("utf-8", "replace").decode())
    else:
        write_whole(Path(target), text.encode("utf-8", "replace"))


def print_summary(metrics: Json) -> None:
    """Prints the headline with its interval, what a random split would have claimed, and the weakest classes."""
    for line in summarise(metrics):
        print(line.encode("utf-8", "replace").decode())


def summarise(metrics: Json) -> list[str]:
    """The lines of `print_summary`."""
    lines = _left_out(metrics.get("counts", {}))
    seen = metrics.get("seen")
    body = metrics["test"]
    if body is None:
        return [*lines, "The test set stays sealed (--no-test): no figure was measured."]
    if seen and seen["exact"]:
        lines.append(
            f"WARNING: the model was trained on {seen['exact']} of these {body['n']} photos. "
            "The figures below leave them out."
        )
        body = seen["unseen"]
        if body is None:
            return [*lines, "No photo is left that the model has not seen: nothing can be said of its accuracy."]
    lines.append(f"Accuracy: {interval(body['accuracy'])}, on {body['n']} photos the model never saw.")
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
        lines.append(f"These test photos had been opened {metrics['openings']} times before: trust the figure less.")
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


def _left_out(counts: Json) -> list[str]:
    words = {
        "unreadable": "could not be read",
        "damaged": "are damaged but usable",
        "leaked": "are copies of val or test photos and were left out of training",
        "purged": "were too close in time to another split and were left out",
    }
    return [f"{counts[name]} photos {text} (listed in the report)." for name, text in words.items() if counts.get(name)]
