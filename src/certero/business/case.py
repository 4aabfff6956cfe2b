"""The assumptions of a business case: a TOML file, checked, units in its names."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.config.parsing import shown
from certero.config.toml import parse_toml, read_toml
from certero.errors import ConfigError, reason_of
from certero.interchange import Json
from certero.names import find_class
from certero.sentences import in_a_row, message, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Cost of an error: one number, one for each true class, or one for each true class and predicted class.
PerError = float | dict[str, float] | dict[str, dict[str, float]]

_SHARES_SUM_TO_ONE = 1e-6


@dataclass(frozen=True, slots=True)
class CurrencyFormat:
    """How money is written.

    Args:
        symbol: before or after the figure; None takes the name of the currency.
        symbol_after: where.
        decimals: digits after the decimal sign.
        thousands: between groups of three digits.
        decimal: the decimal sign.
    """

    symbol: str | None = None
    symbol_after: bool = False
    decimals: int = 0
    thousands: str = ","
    decimal: str = "."


@dataclass(frozen=True, slots=True)
class Figures:
    """Published results of a model that is not available.

    Args:
        n: photos that they were measured on; None gives no interval.
        right: of them, share that was named rightly.
        wrong: share that was named wrongly.
        no_label: share that got no name; a person is asked.
        counts: `counts[true][predicted]`, photos; None where only the shares are known.
        note: how the shares came about, a sentence.
    """

    n: float | None
    right: float
    wrong: float
    no_label: float
    counts: dict[str, dict[str, float]] | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """The assumptions; everything else is measured.

    Args:
        volume_per_month: items (photos to be named) a month, above 0.
        by_hand_minutes: a person's time for one item without the model.
        with_model_minutes: a person's time for one item that the model names rightly.
        hour_cost: cost of an hour of that person's time.
        title: of the case, for the report.
        currency: name of the currency.
        error_minutes: time to mend an error; see `PerError`.
        error_cost: money that an error costs beside the time; see `PerError`. Below 0 it is a gain.
        ask_minutes: time lost where the model asks a person, who then does the item by hand as today.
        ask_cost: money that asking costs beside the time.
        development_hours: to make and introduce the model.
        development_hour_cost: cost of such an hour.
        running_cost_per_month: of keeping the model running.
        horizon_months: within which it has to pay back.
        discount_rate_per_year: share by which money a year away is worth less.
        class_shares: share of each class in use; None takes the test photos'.
        currency_format: how money is written.
        figures: results that the case itself carries.
    """

    volume_per_month: float
    by_hand_minutes: float
    with_model_minutes: float
    hour_cost: float
    title: str = ""
    currency: str = ""
    error_minutes: PerError = 0.0
    error_cost: PerError = 0.0
    ask_minutes: float = 0.0
    ask_cost: float = 0.0
    development_hours: float = 0.0
    development_hour_cost: float = 0.0
    running_cost_per_month: float = 0.0
    horizon_months: float = 36.0
    discount_rate_per_year: float = 0.0
    class_shares: dict[str, float] | None = None
    currency_format: CurrencyFormat = CurrencyFormat()
    figures: Figures | None = None

    @property
    def development_cost(self) -> float:
        """Hours by cost of an hour."""
        return self.development_hours * self.development_hour_cost

    def to_json(self) -> Json:
        """Every assumption, resolved."""
        return dataclasses.asdict(self)


#: Fields that are a plain number, with their lower bound and whether the bound itself is allowed.
NUMBERS: dict[str, tuple[float, bool]] = {
    "volume_per_month": (0, False),
    "by_hand_minutes": (0, True),
    "with_model_minutes": (0, True),
    "hour_cost": (0, True),
    "ask_minutes": (0, True),
    "ask_cost": (0, True),
    "development_hours": (0, True),
    "development_hour_cost": (0, True),
    "running_cost_per_month": (0, True),
    "horizon_months": (0, False),
    "discount_rate_per_year": (0, True),
}
#: A sum of a thousand such numbers is still finite, and can be drawn on a chart.
_MOST_NUMBER = 1e12
_MOST = {"horizon_months": 1200.0}
_MOST_LETTERS, _MOST_SIGN = 200, 20
_NEEDED = ("volume_per_month", "by_hand_minutes", "with_model_minutes", "hour_cost")


def example_names() -> list[str]:
    """Names of the cases that ship with certero."""
    folder = resources.files("certero.business.examples")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_case(case: str | Path | Mapping[str, Any]) -> Case:
    """A case from a TOML file, from the name of an example, or from its fields.

    Raises:
        ConfigError: if it cannot be read, or a field is unknown, missing, contradictory or out of range.
    """
    if isinstance(case, Mapping):
        return parse_case(case)
    names = example_names()
    if str(case) in names:
        return parse_case(
            parse_toml((resources.files("certero.business.examples") / f"{case}.toml").read_bytes(), str(case))
        )
    try:
        fields = read_toml(Path(case), "--case")
    except OSError as error:
        raise ConfigError(
            "--case must be a readable TOML file or one of %(names)s; %(case)s: %(reason)s. "
            "Write one with: certero value --init",
            names=", ".join(names),
            case=case,
            reason=reason_of(error),
        ) from error
    try:
        return parse_case(fields)
    except ConfigError as error:
        raise ConfigError("--case %(case)s: %(error)s", case=case, error=error) from error


def parse_case(fields: Mapping[str, Any]) -> Case:
    """The case of these fields, checked.

    Raises:
        ConfigError: see `read_case`.
    """
    _check_names(message("a case"), fields, [field.name for field in dataclasses.fields(Case)])
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        raise ConfigError(
            "a case must have %(needed)s; found no %(missing)s. Add it.",
            needed=", ".join(_NEEDED),
            missing=", ".join(missing),
        )
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name in NUMBERS:
            values[name] = _number(name, value, *NUMBERS[name])
        elif name in ("error_minutes", "error_cost"):
            values[name] = _per_error(name, value)
        elif name in ("title", "currency"):
            values[name] = _text(name, value)
        elif name == "class_shares":
            values[name] = _class_shares(value)
        elif name == "currency_format":
            values[name] = _currency_format(value)
        else:
            values[name] = _figures(value)
    case = Case(**values)
    if case.discount_rate_per_year > 1:
        raise ConfigError(
            "discount_rate_per_year must be a share, 0.1 for 10 %%, and at most 1; found %(discount_rate_per_year)g.",
            discount_rate_per_year=case.discount_rate_per_year,
        )
    _check_figures_fit(case)
    return case


def _check_figures_fit(case: Case) -> None:
    if case.figures is None:
        return
    by_class = [name for name in ("error_minutes", "error_cost") if isinstance(getattr(case, name), dict)]
    if case.class_shares is not None:
        by_class.append("class_shares")
    if by_class and case.figures.counts is None:
        raise ConfigError(
            "%(by_class)s by class needs figures by class; found figures without [figures.counts]. "
            "Add the counts, or give %(by_class)s as one number.",
            by_class=by_class[0],
        )
    if case.figures.counts is not None:
        check_classes(case, list(case.figures.counts))


def spell_classes(case: Case, classes: Sequence[str]) -> Case:
    """The case with its class names spelled as the model spells them."""

    def spell(by_class: Any) -> Any:
        if not isinstance(by_class, dict):
            return by_class
        return {find_class(name, classes) or name: spell(value) for name, value in by_class.items()}

    named = ("error_minutes", "error_cost", "class_shares")
    return dataclasses.replace(case, **{name: spell(getattr(case, name)) for name in named})


def check_classes(case: Case, classes: Sequence[str]) -> None:
    """Raises unless every per-class entry of the case names exactly these classes.

    Raises:
        ConfigError: naming what is missing or unknown.
    """
    for name in ("error_minutes", "error_cost"):
        costs = getattr(case, name)
        if not isinstance(costs, dict):
            continue
        _same_classes(name, costs, classes)
        for label, row in costs.items():
            if isinstance(row, dict):
                # The diagonal, the cost of a right prediction, may be left out.
                _same_classes(f"{name}.{label}", {label: 0.0} | row, classes)
    if case.class_shares is not None:
        _same_classes("class_shares", case.class_shares, classes)


def _same_classes(name: str, found: Mapping[str, Any], classes: Sequence[str]) -> None:
    unknown, missing = sorted(set(found) - set(classes)), sorted(set(classes) - set(found))
    if unknown or missing:
        said = [sentence("unknown %(names)s", names=", ".join(unknown))] if unknown else []
        said += [sentence("no %(names)s", names=", ".join(missing))] if missing else []
        raise ConfigError(
            "%(name)s must name every class of the model (%(classes)s); found %(found)s.",
            name=name,
            classes=", ".join(classes),
            found=in_a_row(said, "; "),
        )


def gains(case: Case, classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain of a prediction over doing the item by hand: minutes and money, float64 [true, predicted] each.

    Right: by hand - with model. Wrong: that - the error's minutes. Money: minutes at the cost of an hour, less the
    error's money.
    """
    saved = case.by_hand_minutes - case.with_model_minutes
    minutes = saved - _matrix(case.error_minutes, classes)
    return minutes, minutes * case.hour_cost / 60 - _matrix(case.error_cost, classes)


def gain_of_asking(case: Case) -> tuple[float, float]:
    """Gain of asking a person: minutes and money, each 0 or less."""
    return -case.ask_minutes, -case.ask_minutes * case.hour_cost / 60 - case.ask_cost


def _matrix(costs: PerError, classes: Sequence[str]) -> NDArray[np.float64]:
    matrix = np.zeros((len(classes), len(classes)))
    for row, label in enumerate(classes):
        for column, predicted in enumerate(classes):
            cost = costs if isinstance(costs, float) else costs[label]
            if isinstance(cost, dict):
                matrix[row, column] = cost.get(predicted, 0.0)
            elif row != column:
                matrix[row, column] = cost
    return matrix


def _check_names(what: str, fields: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [name for name in fields if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        names = {"what": what, "known": ", ".join(known), "unknown": ", ".join(unknown)}
        if not near:
            raise ConfigError("%(what)s may have %(known)s; found %(unknown)s.", **names)
        raise ConfigError(
            "%(what)s may have %(known)s; found %(unknown)s. Did you mean %(near)s?", near=near[0], **names
        )


def _number(name: str, value: object, least: float = -math.inf, allowed: bool = True) -> float:
    wanted: list[str] = [message("a number")]
    if least > -math.inf:
        wanted.append(
            sentence("at least %(least)g", least=least) if allowed else sentence("above %(least)g", least=least)
        )
    # To Python True is an int; to a user it never is.
    most = _MOST.get(name, _MOST_NUMBER)
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number may have thousands of digits, which no other number has.
        number = float(value) if abs(value) <= most or isinstance(value, float) else math.inf * (1 if value > 0 else -1)
    if abs(number) <= most and (number > least or (allowed and number == least)):
        return number
    if number > most:
        bound = f"{most:,.0f}"
        wanted.append(sentence("at most %(most)s", most=bound))
    raise ConfigError(
        "%(name)s must be %(wanted)s; found %(value)s.", name=name, wanted=in_a_row(wanted), value=shown(value)
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_LETTERS:
        raise ConfigError(
            "%(name)s must be a text of at most %(most_letters)s letters; found %(value)s.",
            name=name,
            most_letters=_MOST_LETTERS,
            value=shown(value),
        )
    return value


def _per_error(name: str, value: object) -> PerError:
    if not isinstance(value, Mapping):
        return _number(name, value, 0)
    rows = {label: row for label, row in value.items() if isinstance(row, Mapping)}
    if rows and len(rows) < len(value):
        raise ConfigError(
            "%(name)s must be one number, one a class, or one a class and the class it was called; "
            "found a mixture. Write it one way.",
            name=name,
        )
    if rows:
        return {
            label: {predicted: _number(f"{name}.{label}.{predicted}", cost) for predicted, cost in row.items()}
            for label, row in rows.items()
        }
    return {label: _number(f"{name}.{label}", cost) for label, cost in value.items()}


def _class_shares(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value:
        raise ConfigError("class_shares must be a table of shares by class; found %(value)s.", value=shown(value))
    shares = {label: _number(f"class_shares.{label}", share, 0) for label, share in value.items()}
    total = math.fsum(shares.values())
    if abs(total - 1) > _SHARES_SUM_TO_ONE:
        raise ConfigError("class_shares must sum to 1; they sum to %(total).6g. Correct them.", total=total)
    return {label: share / total for label, share in shares.items()}


def _currency_format(value: object) -> CurrencyFormat:
    if not isinstance(value, Mapping):
        raise ConfigError("currency_format must be a table; found %(value)s.", value=shown(value))
    _check_names("currency_format", value, [field.name for field in dataclasses.fields(CurrencyFormat)])
    for name, cell in value.items():
        if name == "symbol_after":
            good = isinstance(cell, bool)
        elif name == "decimals":
            good = isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell <= 6
        else:
            good = isinstance(cell, str) and len(cell) <= _MOST_SIGN
        if not good:
            wanted = {
                "symbol_after": message("true or false"),
                "decimals": message("a whole number from 0 to 6"),
            }.get(name, sentence("a text of at most %(most)d letters", most=_MOST_SIGN))
            raise ConfigError(
                "currency_format.%(name)s must be %(wanted)s; found %(cell)s.",
                name=name,
                wanted=wanted,
                cell=shown(cell),
            )
    found = CurrencyFormat(**value)
    if found.decimal == found.thousands or not found.decimal:
        raise ConfigError(
            "currency_format.decimal must differ from thousands and not be empty; found %(decimal)r for both.",
            decimal=found.decimal,
        )
    return found


_WAYS = message("accuracy; precision, with recall; right, wrong and no_label; or counts by class")


def _figures(value: object) -> Figures:
    """The results of a report, as shares of photos.

    Where precision and recall are micro averages and no photo got two labels, recall is the share of photos that
    were named rightly, and recall / precision the share that got a label.
    """
    if not isinstance(value, Mapping):
        raise ConfigError("figures must be a table; found %(value)s.", value=shown(value))
    known = ["accuracy", "precision", "recall", "right", "wrong", "no_label", "counts", "n"]
    _check_names("figures", value, known)
    n = _number("figures.n", value["n"], 0, False) if "n" in value else None
    given = set(value) - {"n"}
    if given == {"counts"}:
        if n is not None:
            raise ConfigError("figures.n must be left out beside figures.counts, whose sum it is; found both.")
        return _counted(value["counts"])
    if given and given <= {"right", "wrong", "no_label"} and {"right", "wrong"} <= given:
        cells = [_number(f"figures.{name}", value.get(name, 0), 0) for name in ("right", "wrong", "no_label")]
        total = math.fsum(cells)
        if total <= 0 or (n is not None and abs(n - total) > 1e-9):
            found = "0" if total <= 0 else sentence("%(total)g and n = %(n)g", total=total, n=n)
            raise ConfigError(
                "figures.right, wrong and no_label must be counts that sum to the photos; found %(found)s.", found=found
            )
        right, wrong, no_label = (cell / total for cell in cells)
        return Figures(total, right, wrong, no_label)
    if given == {"accuracy"} or given == {"precision"}:
        name = given.pop()
        right = _share(f"figures.{name}", value[name])
        note = None
        if name == "precision":
            note = "precision alone counts every photo as answered, which is wrong where some photos got no label"
        return Figures(n, right, 1 - right, 0.0, note=note)
    if given == {"precision", "recall"}:
        precision, recall = (_share(f"figures.{name}", value[name]) for name in ("precision", "recall"))
        answered = recall / precision if precision > 0 else math.inf
        if answered > 1 + 1e-9:
            raise ConfigError(
                "figures.recall must not be above figures.precision: a photo has one label at most "
                "here; found recall %(recall)g, precision %(precision)g. Are they micro averages "
                "over all photos?",
                recall=recall,
                precision=precision,
            )
        answered = min(1.0, answered)
        return Figures(n, recall, answered - recall, 1 - answered)
    found = ", ".join(sorted(given)) or message("none")
    raise ConfigError(
        "figures must be given in one way, each with n but the last: %(ways)s; found %(found)s.",
        ways=_WAYS,
        found=found,
    )


def _share(name: str, value: object) -> float:
    share = _number(name, value, 0)
    if share > 1:
        raise ConfigError(
            "%(name)s must be a share from 0 to 1, 0.47 for 47 %%; found %(share)g.", name=name, share=share
        )
    return share


def _counted(value: object) -> Figures:
    if not isinstance(value, Mapping) or not all(isinstance(row, Mapping) for row in value.values()):
        raise ConfigError("figures.counts must be a table of photos by true class and predicted class.")
    classes = list(value)
    counts: dict[str, dict[str, float]] = {}
    for label, row in value.items():
        _check_names(f"figures.counts.{label}", row, [*classes, "no_label"])
        counts[label] = {
            name: _number(f"figures.counts.{label}.{name}", row.get(name, 0), 0) for name in [*classes, "no_label"]
        }
    n = math.fsum(count for row in counts.values() for count in row.values())
    if n <= 0:
        raise ConfigError("figures.counts must hold photos; every count is 0.")
    right = math.fsum(counts[label][label] for label in classes) / n
    no_label = math.fsum(row["no_label"] for row in counts.values()) / n
    return Figures(n, right, max(0.0, 1 - right - no_label), no_label, counts)
