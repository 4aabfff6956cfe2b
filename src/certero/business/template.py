"""A commented case to fill in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from certero.errors import OutputError
from certero.machine.files import write_whole

_TEMPLATE = """\
# The assumptions of a business case for certero value. Everything else is measured on test photos.
# Try it: certero value MODEL --case THIS_FILE
# The figures below are an example; put yours in their place. Lines that begin with # are optional.

title = "Our case"
currency = "pesos"

# --- The work that the model takes over -------------------------------------------------------------------------------
volume_per_month = 1000           # items (photos to be named) a month; above 0
by_hand_minutes = 4               # a person's time for one item without the model
with_model_minutes = 1            # a person's time for one item that the model names rightly
hour_cost = 150                   # what an hour of that person costs

# --- What an error costs ----------------------------------------------------------------------------------------------
# Right = by_hand - with_model. Wrong = that - error_minutes. Money beside the time goes into error_cost.
error_minutes = 4                 # time to find and mend one error
error_cost = 0                    # money that one error costs beside the time
# One figure a true class instead of the single number above:
# error_minutes = {by_true_class}
# Or one for each true class and the class it was called; below 0 is a gain. A right answer may have a cost too.
{by_pair}

# --- Asking a person where the model is not sure ----------------------------------------------------------------------
ask_minutes = 0                   # time lost beside doing the item by hand as today
ask_cost = 0                      # money it costs beside the time

# --- What the model costs ---------------------------------------------------------------------------------------------
development_hours = 80            # to make and introduce it
development_hour_cost = 400
running_cost_per_month = 0        # power, hosting, upkeep
horizon_months = 36               # within which it has to pay back
discount_rate_per_year = 0.0      # 0.10 makes money a year away worth 10 % less

# --- How often each class comes in use; they sum to 1. Without it, as often as in the test photos ---------------------
# [class_shares]
{shares}

# --- How money is written ---------------------------------------------------------------------------------------------
[currency_format]
symbol = "$"
symbol_after = false
decimals = 0
thousands = ","
decimal = "."

# --- Results from a report, where no model of certero is at hand: one of the four ways --------------------------------
# [figures]
# n = 500                         # photos they were measured on; without it nothing has an interval
# accuracy = 0.9                  # 1. share of photos named rightly
# precision = 0.47                # 2. micro precision, with recall: photos without a label are asked
# recall = 0.40
# right = 450                     # 3. counts of photos
# wrong = 30
# no_label = 20
# [figures.counts.cat]            # 4. counts by true class and the class it was called (or no_label)
# cat = 90
# dog = 10
"""


def write_template(place: Path, classes: Sequence[str] = ()) -> None:
    """Writes the template; what may be said by class names these classes, in comments.

    Raises:
        OutputError: if the file exists already or cannot be written.
    """
    if place.exists():
        raise OutputError(
            "--init must not overwrite a file; %(place)s exists. Name another with --case, or remove it.", place=place
        )
    write_whole(place, template(classes))


def template(classes: Sequence[str] = ()) -> str:
    """The template's text."""
    names = [_key(name) for name in classes or ("lying", "standing")]
    # A table in the middle of the file would swallow the keys after it, so this one shows dotted keys.
    if len(names) <= 6:
        by_pair = [f"# error_cost.{name}.{other} = 10" for name in names for other in names if other != name]
    else:
        by_pair = [f"# error_cost.{names[0]}.{names[1]} = 10", "# ... one line for every other pair of classes"]
    share = 1 / len(names)
    return (
        _TEMPLATE.replace("{by_true_class}", "{ " + ", ".join(f"{name} = 4" for name in names) + " }")
        .replace("{by_pair}", "\n".join(by_pair))
        .replace("{shares}", "\n".join(f"# {name} = {share:.4g}" for name in names))
    )


def _key(name: str) -> str:
    """A class name as a TOML key."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)
