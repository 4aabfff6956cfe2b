"""A model's outputs where the classes have other shares than in its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.config.parsing import ROUNDED, Shares
from certero.errors import ConfigError, ModelFileError
from certero.names import find_class
from certero.runtime.card import Card
from certero.sentences import Sentence, sentence
from certero.stats.label_shift import Outcomes, compare_outputs
from certero.stats.shares import estimate_shares, reweigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: From fewer photos their shares are not found: chance would choose them.
FEWEST_PHOTOS = 30


@dataclass(frozen=True, slots=True)
class NewShares:
    """Shares of the classes that outputs are re-weighted to.

    Args:
        before: float [K], that the model's probabilities stand for.
        now: float [K], where the photos are from; None where they cannot be found.
        found: whether they were found from the photos, or given.
        n: photos that they were found from; 0 where they were given.
        reason: why they cannot be found; None where they were, or were given.
        plausible: whether other shares alone may explain the outputs; None where nothing was compared.
    """

    before: Floats
    now: Floats | None
    found: bool
    n: int = 0
    reason: Sentence | None = None
    plausible: bool | None = None

    @property
    def reached(self) -> Floats:
        """The shares that outputs end up with [K]: new ones, or those of before where none were found."""
        return self.before if self.now is None else self.now

    def reweigh(self, probabilities: NDArray[np.floating]) -> Floats:
        """The outputs [n, K] with these shares; as they are where none were found."""
        given = np.asarray(probabilities, dtype=np.float64)
        return given if self.now is None or not len(given) else reweigh(given, self.before, self.now)


def shares_of(card: Card) -> Floats:
    """The shares of the classes [K] that a model's probabilities stand for.

    Raises:
        ModelFileError: if the file is of a version that did not keep them.
    """
    if card.shares is None:
        raise ModelFileError(
            "--shares needs a model file that knows the shares of its training; this one is of an older certero. Train "
            "it again."
        )
    shares = np.array([card.shares[name] for name in card.classes])
    whole: Floats = shares / shares.sum()
    return whole


def give_shares(card: Card, given: Mapping[str, float]) -> NewShares:
    """Shares that somebody knows; classes that are not named divide the rest as they did in training.

    Args:
        card: of the model.
        given: shares of classes, see `parse_shares`.

    Raises:
        ConfigError: for a class that the model does not know, or shares that do not come to 1.
        ModelFileError: see `shares_of`.
    """
    before = shares_of(card)
    now = np.full(len(before), np.nan)
    for name, share in given.items():
        known = find_class(name, card.classes)
        if known is None:
            raise ConfigError(
                "--shares must name classes of the model (%(classes)s); found %(name)r. Give CLASS=SHARE,... by their "
                "names, or adapt.",
                classes=", ".join(card.classes),
                name=name,
            )
        now[card.classes.index(known)] = share
    others = np.isnan(now)
    rest = 1 - float(now[~others].sum())
    if not others.any() and abs(rest) > ROUNDED + 1e-9:
        raise ConfigError(
            "--shares of all classes must come to 1; found %(total).3g. Leave a class out, and it gets the rest.",
            total=1 - rest,
        )
    if others.any():
        now[others] = max(rest, 0.0) * before[others] / before[others].sum()
    return NewShares(before, now / now.sum(), found=False)


def find_shares(card: Card, probabilities: NDArray[np.floating]) -> NewShares:
    """The shares of the classes among photos without labels, if other shares alone may explain the outputs for them.

    Args:
        card: of the model.
        probabilities: its outputs [n, K].

    Raises:
        ModelFileError: see `shares_of`.
    """
    before, n = shares_of(card), len(probabilities)
    if n < FEWEST_PHOTOS:
        few = sentence(
            "the shares cannot be found from so few photos: %(photos)d of the %(least)d that it takes",
            photos=n,
            least=FEWEST_PHOTOS,
        )
        return NewShares(before, None, found=True, n=n, reason=few)
    now = estimate_shares(probabilities, before)
    outcomes = None if card.outcomes is None else Outcomes.from_json(card.outcomes, len(before))
    if outcomes is None or not outcomes.named.any():
        return NewShares(before, now, found=True, n=n)
    # Held against the shares that explain the photos best: few photos are drawn to those of training.
    fit = compare_outputs(outcomes, probabilities, estimate_shares(probabilities, before, prior=0.0))
    if fit.plausible:
        return NewShares(before, now, found=True, n=n, plausible=True)
    if fit.less_sure > fit.less_sure_allowed:
        why = sentence(
            "other shares alone do not explain these photos: the model is far less sure of them than of photos held "
            "out of its training (other light, another camera, or something that it never learnt)"
        )
    else:
        why = sentence(
            "other shares alone do not explain these photos: no mixture of the classes would be named as they are "
            "(other light, another camera, or something that the model never learnt)"
        )
    return NewShares(before, None, found=True, n=n, reason=why, plausible=False)


def new_shares(card: Card, wish: Shares, probabilities: NDArray[np.floating]) -> NewShares:
    """`give_shares` or `find_shares`, as it is wished."""
    return find_shares(card, probabilities) if wish == "adapt" else give_shares(card, wish)
